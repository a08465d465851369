use std::{
    fmt, mem,
    task::{Context, Poll},
    time::Duration,
};

use pagination::proto::{ListClient, ListRequest};
use prost::Message;
use quire_proto::{WORKSPACE_METADATA, is_workspace};
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    client::Grpc,
    codegen::{
        BoxFuture, Service, StdError,
        http::{self, HeaderValue, header::AUTHORIZATION, uri::PathAndQuery},
    },
    transport::Channel,
};
use tonic_prost::ProstCodec;

use crate::{Builder, DEFAULT_DEADLINE, Error, session::Session};

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

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.channel.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // The channel that is ready.
        let clone = self.channel.clone();
        let mut channel = mem::replace(&mut self.channel, clone);
        let (caller, deadline) = (self.caller.clone(), self.deadline);
        Box::pin(async move {
            let headers = request.headers_mut();
            headers.entry(TIMEOUT).or_insert_with(|| timeout(deadline));
            let session = match caller {
                Caller::Workspace(workspace) => {
                    headers.insert(WORKSPACE_METADATA, workspace);
                    None
                }
                Caller::Session(session) => {
                    headers.insert(AUTHORIZATION, session.authorization(&channel).await?);
                    Some(session)
                }
            };
            let response = channel.call(request).await?;
            let code = response.headers().get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
            if let (Some(session), Some(Code::Unauthenticated)) = (session, code) {
                session.is_refused().await;
            }
            Ok(response)
        })
    }
}

/// A time in milliseconds, as gRPC writes it.
fn timeout(time: Duration) -> HeaderValue {
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
