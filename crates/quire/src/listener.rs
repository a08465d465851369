//! The listener: accepts connections and serves each of them.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{error::Elapsed, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{codegen::Service, transport::server::TcpConnectInfo};

/// The maximum number of calls in flight on a connection.
const MAX_CALLS: u32 = 100;
/// The interval of HTTP/2 keepalive pings.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long the client may take to answer a ping.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves connections, with HTTP/2 only.
#[derive(Clone)]
pub(crate) struct Connections {
    http: http2::Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    router: Router,
    /// Cancelled when no more calls may start.
    stopping: CancellationToken,
}

impl Connections {
    /// Connections that call this router, over TLS if it is configured. Once `stopping` is cancelled, no connection is
    /// accepted, and existing connections close when their calls in flight are answered.
    pub(crate) fn new(router: Router, tls: Option<TlsAcceptor>, stopping: CancellationToken) -> Self {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(MAX_CALLS)
            // A call that is refused before its message is read resets its stream, and data that the caller still sends
            // counts as an error of the caller. After 1,024 such errors the connection would be closed, with all other
            // calls on it.
            .max_local_error_reset_streams(None)
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        Self { http, tls, router, stopping }
    }

    /// Accepts connections until the server stops. Returns when all connections are closed.
    pub(crate) async fn accept(self, listener: TcpListener) {
        let tasks = TaskTracker::new();
        while let Some(accepted) = self.stopping.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, remote)) => {
                    tasks.spawn(self.clone().serve(stream, remote));
                }
                Err(error) => {
                    // For example, the process has too many open files: an immediate retry would fail too.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        tasks.close();
        tasks.wait().await;
    }

    async fn serve(self, stream: TcpStream, remote: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %remote, "cannot set TCP_NODELAY on a connection");
        }
        let info = TcpConnectInfo { local_addr: stream.local_addr().ok(), remote_addr: Some(remote) };
        let Some(tls) = &self.tls else { return self.answer(stream, info).await };
        match self.stopping.run_until_cancelled(shake_hands(tls, stream)).await {
            Some(Ok(stream)) => self.answer(stream, info).await,
            Some(Err(error)) => tracing::debug!(%error, %remote, "the TLS handshake failed"),
            None => {}
        }
    }

    /// Answers the calls of a connection.
    async fn answer(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, info: TcpConnectInfo) {
        let remote = info.remote_addr;
        let router = self.router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(info.clone());
            router.clone().call(request)
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, ?remote, "a connection failed");
        }
    }
}

async fn shake_hands(tls: &TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(accepted) => accepted,
        Err(Elapsed { .. }) => Err(io::ErrorKind::TimedOut.into()),
    }
}
