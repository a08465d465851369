//! The listener: accepts connections and serves each of them, within limits.

mod activity;
mod answer;
mod lasting;
mod places;
mod socket;

use std::{
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::{
    Request, Response,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::rustls::{self, InvalidMessage};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{codegen::Service, transport::server::TcpConnectInfo};

use self::{
    activity::Activity,
    answer::{Answer, Calls},
    places::Place,
    socket::Socket,
};
pub(crate) use self::{activity::reached, places::Places};
use crate::{protocol::MAX_READ_HEADERS, tls::CurrentTls};
use platform::Rarely;

/// The interval of HTTP/2 keepalive pings.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long the client may take to answer a ping.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the client may take to close a connection without calls after it was asked to.
const GOODBYE: Duration = Duration::from_secs(2);
/// The maximum size of the headers of an HTTP/1 request.
const MAX_HEADERS: usize = 16 * 1024;
/// How many connections may be closing, to make room for others, before no further one is accepted for a moment.
const CLOSING: usize = 16;
/// How long to wait for connections to close.
const MOMENT: Duration = Duration::from_millis(10);
/// How long to wait after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a connection may be in each state. Then it is closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// Until the TLS handshake is done, and then until the first call.
    pub(crate) connection: Duration,
    /// While something waits to be sent, and the client takes nothing.
    pub(crate) stall: Duration,
    /// Without a call in flight.
    pub(crate) idle: Duration,
    /// In all, more or less a tenth.
    pub(crate) age: Duration,
    /// With calls in flight, after the client was asked to close it.
    pub(crate) call: Duration,
}

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/2 only.
    Grpc,
    /// HTTP/1 only.
    Admin,
}

/// Serves connections.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) protocol: Protocol,
    pub(crate) router: Router,
    /// Connections use TLS if it is configured.
    pub(crate) tls: Option<CurrentTls>,
    pub(crate) timeouts: Timeouts,
    /// The maximum number of calls in flight on a connection.
    pub(crate) max_calls: u32,
    pub(crate) places: Arc<Places>,
    /// Once it is cancelled, no connection is accepted, and existing connections close when their calls in flight are
    /// answered.
    pub(crate) stopping: CancellationToken,
}

impl Connections {
    /// Accepts connections until the server stops. Returns when all connections are closed.
    pub(crate) async fn accept(self, listener: TcpListener) {
        static FAILED: Rarely = Rarely::new();
        let tasks = TaskTracker::new();
        while let Some(accepted) = self.stopping.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, remote)) => {
                    if let Some(place) = self.places.take(remote.ip()) {
                        tasks.spawn(self.clone().serve(stream, remote, place));
                    }
                    // Lets the connections close that had to make room, so that their files are closed before more are opened.
                    tokio::task::yield_now().await;
                    if tasks.len() > self.places.in_all + CLOSING {
                        sleep(MOMENT).await;
                    }
                }
                Err(error) => {
                    if let Some(times) = FAILED.times() {
                        tracing::warn!(%error, times, "cannot accept a connection");
                    }
                    // For example, the process has too many open files: an immediate retry would fail too.
                    sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        tasks.close();
        tasks.wait().await;
    }

    async fn serve(self, stream: TcpStream, remote: SocketAddr, place: Place) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %remote, "cannot set TCP_NODELAY on a connection");
        }
        let info = TcpConnectInfo { local_addr: stream.local_addr().ok(), remote_addr: Some(remote) };
        let activity = &place.activity;
        let socket = Socket::new(stream, activity.clone());
        tokio::select! {
            () = self.secure(socket, info, activity) => {}
            () = activity.closing.cancelled() => {}
            () = activity.blocked.longer_than(self.timeouts.stall) => reached("stall_timeout"),
        }
    }

    /// Does the TLS handshake, if TLS is configured, and answers the calls of a connection.
    async fn secure(&self, socket: Socket, info: TcpConnectInfo, activity: &Arc<Activity>) {
        let Some(tls) = &self.tls else { return self.answer(socket, info, activity).await };
        let handshake = tls.load().acceptor(self.protocol).accept(socket).into_fallible();
        let handshake = timeout(self.timeouts.connection, handshake);
        match self.stopping.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => {
                activity.silent.begin();
                self.answer(stream, info, activity).await;
            }
            Some(Ok(Err((error, socket)))) => {
                handshake_failed(&error, info.remote_addr);
                self.stopping.run_until_cancelled(timeout(GOODBYE, take_leave(socket))).await;
            }
            Some(Err(_elapsed)) => reached("connection_timeout"),
            None => {}
        }
    }

    /// Answers the calls of a connection.
    async fn answer(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        info: TcpConnectInfo,
        activity: &Arc<Activity>,
    ) {
        let remote = info.remote_addr;
        let service = service(self.router.clone(), info, activity.clone());
        let stream = TokioIo::new(stream);
        let served = match self.protocol {
            Protocol::Grpc => {
                let calls = Calls { activity: activity.clone(), timeout: self.timeouts.stall };
                self.until_a_limit(http2(calls, self.max_calls).serve_connection(stream, service), activity).await
            }
            Protocol::Admin => {
                let mut http = http1::Builder::new();
                http.max_buf_size(MAX_HEADERS).header_read_timeout(None);
                self.until_a_limit(http.serve_connection(stream, service), activity).await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, ?remote, "a connection failed");
        }
    }

    /// Serves a connection until it ends. When it reaches a limit, or the server stops, the client is asked to close
    /// it. A client with another call opens a new connection.
    async fn until_a_limit(
        &self,
        connection: impl GracefulConnection<Error = hyper::Error>,
        activity: &Activity,
    ) -> hyper::Result<()> {
        let Timeouts { connection: silence, idle, age, call, .. } = self.timeouts;
        let mut connection = pin!(connection);
        tokio::select! {
            served = connection.as_mut() => return served,
            () = activity.silent.longer_than(silence) => reached("connection_timeout"),
            () = activity.idle.longer_than(idle) => reached("idle_timeout"),
            () = sleep(about(age)) => reached("connection_age"),
            () = self.stopping.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            served = connection => served,
            // No call takes longer, only streams do.
            () = sleep(call) => Ok(()),
            // Not from the time at which the connection became idle: the client has yet to learn of it.
            () = async { sleep(GOODBYE).await; activity.idle.longer_than(GOODBYE).await } => Ok(()),
        }
    }
}

/// Logs a failed handshake.
fn handshake_failed(error: &io::Error, remote: Option<SocketAddr>) {
    static PLAIN: Rarely = Rarely::new();
    static FAILED: Rarely = Rarely::new();
    let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return tracing::debug!(%error, ?remote, "a connection ended during the TLS handshake");
    };
    if matches!(cause, rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) {
        if let Some(times) = PLAIN.times() {
            tracing::warn!(
                ?remote,
                times,
                "a client does not use TLS: its address of the server must begin with https://"
            );
        }
    } else if let Some(times) = FAILED.times() {
        tracing::warn!(%cause, ?remote, times, "the TLS handshake failed");
    }
}

/// Ends a connection after a failed handshake. If it was closed while the client still sends, the client could lose the
/// alert that tells it the cause.
async fn take_leave(mut socket: Socket) -> io::Result<()> {
    socket.shutdown().await?;
    tokio::io::copy(&mut socket, &mut tokio::io::sink()).await?;
    Ok(())
}

/// The settings of HTTP/2.
fn http2(calls: Calls, max_calls: u32) -> http2::Builder<Calls> {
    let mut http = http2::Builder::new(calls);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(max_calls)
        .max_header_list_size(MAX_READ_HEADERS)
        // A call that is refused before its message is read resets its stream, and data that the caller still sends
        // counts as an error of the caller. After 1,024 such errors the connection would be closed, with all other
        // calls on it. `Socket` bounds what such errors cost.
        .max_local_error_reset_streams(None)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    http
}

/// Calls the router, and records the calls.
fn service(
    router: Router,
    info: TcpConnectInfo,
    activity: Arc<Activity>,
) -> impl hyper::service::Service<Request<Incoming>, Response = Response<Answer>, Error = Infallible, Future: Send + 'static>
{
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(info.clone());
        let call = activity.call();
        let answer = router.clone().call(request);
        async move { answer.await.map(|answer: Response<_>| answer.map(|body| Answer::new(body, call))) }
    })
}

/// This time, more or less up to a tenth, so that connections that were opened together are not closed together.
fn about(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    time.mul_f64(0.9 + 0.2 * random)
}
