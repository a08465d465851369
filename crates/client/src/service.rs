use std::{
    error, fmt,
    future::poll_fn,
    iter::successors,
    task::{Context, Poll},
    time::Duration,
};

use pagination::proto::{ListClient, ListRequest};
use prost::Message;
use quire_proto::{
    WORKSPACE_METADATA,
    identity::v1::{RevokeSessionRequest, identity_service_client::IdentityServiceClient},
    is_workspace,
};
use tokio::time::timeout;
use tonic::{
    Code, Request, Response, Status, TimeoutExpired,
    body::Body,
    client::Grpc,
    codegen::{
        BoxFuture, Service, StdError,
        http::{self, HeaderValue, header::AUTHORIZATION, uri::PathAndQuery},
    },
    transport::{self, Channel},
};
use tonic_prost::ProstCodec;

use crate::{Builder, DEFAULT_DEADLINE, Error, session::Session, timeout::grpc_timeout};

/// The header with the time that a call may take.
const TIMEOUT: &str = "grpc-timeout";
/// The largest number in that header.
const MAX_TIMEOUT: u128 = 99_999_999;

/// A connection to a server, with the caller's credential. Clones share both.
///
/// The generated clients take it, as in `JobServiceClient::new(client.clone())`. It adds the credential or the workspace
/// to each call, and a deadline if the call has none. By itself it can [walk](pagination::WalkExt::walk) through every
/// list.
#[derive(Clone)]
pub struct Client {
    pub(crate) channel: Channel,
    pub(crate) caller: Caller,
    pub(crate) deadline: Duration,
}

#[derive(Clone)]
pub(crate) enum Caller {
    /// An anonymous caller in this workspace.
    Workspace(HeaderValue),
    /// The subject of an API key, in the workspace of the key.
    Session(Session),
}

impl Caller {
    pub(crate) fn workspace(name: &str) -> Result<Self, Error> {
        let name = Some(name).filter(|name| is_workspace(name)).and_then(|name| HeaderValue::from_str(name).ok());
        name.map(Self::Workspace).ok_or(Error::Workspace)
    }
}

impl Client {
    /// Begins the settings of a client of the server with this address, as in `http://127.0.0.1:50051` or
    /// `https://quire.example:50051`.
    pub fn builder(server: impl Into<String>) -> Builder {
        Builder::new(server.into())
    }

    /// Ends the session, if there is one. A program calls it at its end; otherwise the session stays valid until it
    /// expires. That it cannot be ended is not an error: the session then expires.
    pub async fn close(self) {
        if let Caller::Session(session) = &self.caller {
            let id = session.id();
            drop(IdentityServiceClient::new(self).revoke_session(RevokeSessionRequest { id }).await);
        }
    }

    /// An anonymous client in this workspace, over a channel that is connected already.
    ///
    /// # Errors
    ///
    /// [`Error::Workspace`] if the name is not valid.
    pub fn in_workspace(channel: Channel, workspace: &str) -> Result<Self, Error> {
        Ok(Self { channel, caller: Caller::workspace(workspace)?, deadline: DEFAULT_DEADLINE })
    }
}

impl Service<http::Request<Body>> for Client {
    type Response = http::Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Self::Response, StdError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        // The call waits for the channel: after the session is renewed, so that the calls that wait for the session do not
        // take the channel's places for the calls that renew it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let Self { channel, caller, deadline } = self.clone();
        let header = request.headers_mut().entry(TIMEOUT).or_insert_with(|| timeout_header(deadline));
        let deadline = grpc_timeout(header).unwrap_or(deadline);
        // The channel's own timeout begins when it is connected.
        Box::pin(async move { Ok(in_time(deadline, send(channel, caller, request)).await?) })
    }
}

async fn send(
    mut channel: Channel,
    caller: Caller,
    mut request: http::Request<Body>,
) -> Result<http::Response<Body>, Status> {
    let access = match caller {
        Caller::Workspace(workspace) => {
            request.headers_mut().insert(WORKSPACE_METADATA, workspace);
            None
        }
        Caller::Session(session) => {
            let access = session.access(&channel).await?;
            request.headers_mut().insert(AUTHORIZATION, access.authorization.clone());
            Some((session, access))
        }
    };
    let of_transport = |error: transport::Error| Status::from_error(Box::new(error));
    poll_fn(|context| channel.poll_ready(context)).await.map_err(of_transport)?;
    let response = channel.call(request).await.map_err(of_transport)?;
    if let Some((session, access)) = access {
        let code = response.headers().get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
        session.answered(&access, code)?;
    }
    Ok(response)
}

/// Ends a call after this time with DEADLINE_EXCEEDED.
pub(crate) async fn in_time<T>(time: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = || Status::deadline_exceeded(format!("the server did not answer within {time:?}"));
    match timeout(time, call).await {
        // The channel's own timeout, which is CANCELLED in tonic.
        Ok(Err(status)) if has_timed_out(&status) => Err(late()),
        Ok(answer) => answer,
        Err(_) => Err(late()),
    }
}

fn has_timed_out(status: &Status) -> bool {
    successors(error::Error::source(status), |&cause| cause.source()).any(|cause| cause.is::<TimeoutExpired>())
}

/// A time in milliseconds, as gRPC writes it.
fn timeout_header(time: Duration) -> HeaderValue {
    let text = format!("{}m", time.as_millis().min(MAX_TIMEOUT));
    HeaderValue::from_str(&text).unwrap_or_else(|_: http::header::InvalidHeaderValue| HeaderValue::from_static("60S"))
}

impl<R> ListClient<R> for Client
where
    R: ListRequest + Message,
    R::Response: Message + Default + 'static,
{
    async fn list(&mut self, request: Request<R>) -> Result<Response<R::Response>, Status> {
        let mut grpc = Grpc::new(self.clone());
        grpc.ready().await.map_err(Status::from_error)?;
        grpc.unary(request, PathAndQuery::from_static(R::METHOD), ProstCodec::default()).await
    }
}

/// Without the credential.
impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
