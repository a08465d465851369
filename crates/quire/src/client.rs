//! The program as a client of a server.

use std::time::Duration;

use access::{WORKSPACE_METADATA, is_workspace};
use prost_types::Timestamp;
use quire_proto::identity::v1::{
    self as api, CreateSessionRequest, CreateSessionResponse, Credentials, RefreshSessionRequest,
    RefreshSessionResponse, identity_service_client::IdentityServiceClient,
};
use tokio::time::Instant;
use tonic::{
    Request, Response, Status,
    metadata::{AsciiMetadataValue, errors::InvalidMetadataValue},
    transport::Channel,
};

use crate::{arguments::Connect, connection, error::Error};

/// How long before its expiry an access token is refreshed.
const MARGIN: Duration = Duration::from_secs(60);

/// A connection to a server, with the caller's identity.
pub(crate) struct Client {
    pub(crate) channel: Channel,
    caller: Caller,
}

enum Caller {
    /// An anonymous caller in this workspace.
    Workspace(AsciiMetadataValue),
    /// The subject of an API key, in the workspace of the key.
    Session(Box<Session>),
}

/// A session that was created with an API key.
struct Session {
    secret: String,
    credentials: Credentials,
    /// When to refresh the access token.
    refresh_at: Instant,
}

impl Client {
    /// Connects to the server that the arguments name.
    pub(crate) async fn connect(arguments: Connect) -> Result<Self, Error> {
        let channel = connection::open(&arguments).await?;
        match arguments.api_key {
            Some(secret) => {
                let session = Session::begin(&channel, secret).await?;
                Ok(Self { channel, caller: Caller::Session(Box::new(session)) })
            }
            None => Self::in_workspace(channel, &arguments.workspace),
        }
    }

    /// An anonymous client in this workspace.
    pub(crate) fn in_workspace(channel: Channel, workspace: &str) -> Result<Self, Error> {
        if !is_workspace(workspace) {
            return Err(Error::Workspace);
        }
        let workspace = workspace.parse().map_err(|_: InvalidMetadataValue| Error::Workspace)?;
        Ok(Self { channel, caller: Caller::Workspace(workspace) })
    }

    /// A request with the metadata that identifies the caller.
    pub(crate) async fn request<T>(&mut self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        let (name, value) = match &mut self.caller {
            Caller::Workspace(workspace) => (WORKSPACE_METADATA, workspace.clone()),
            Caller::Session(session) => ("authorization", session.authorization(&self.channel).await?),
        };
        request.metadata_mut().insert(name, value);
        Ok(request)
    }
}

impl Session {
    async fn begin(channel: &Channel, secret: String) -> Result<Self, Error> {
        let (credentials, refresh_at) = credentials(channel, &secret).await.map_err(Error::Session)?;
        Ok(Self { secret, credentials, refresh_at })
    }

    /// The `authorization` metadata of a call. Refreshes an access token that is about to expire.
    async fn authorization(&mut self, channel: &Channel) -> Result<AsciiMetadataValue, Status> {
        if self.refresh_at <= Instant::now() {
            let refresh_token = std::mem::take(&mut self.credentials.refresh_token);
            let asked = Instant::now();
            let mut client = IdentityServiceClient::new(channel.clone());
            let refreshed = client.refresh_session(RefreshSessionRequest { refresh_token }).await;
            (self.credentials, self.refresh_at) = match refreshed.map(Response::into_inner) {
                Ok(RefreshSessionResponse { session, credentials }) => usable(asked, session, credentials),
                // The session has ended, or an earlier answer was lost.
                Err(_) => credentials(channel, &self.secret).await?,
            };
        }
        let authorization = format!("Bearer {}", self.credentials.access_token);
        authorization
            .parse()
            .map_err(|_: InvalidMetadataValue| Status::internal("the server returned an invalid access token"))
    }
}

/// Creates a session.
async fn credentials(channel: &Channel, secret: &str) -> Result<(Credentials, Instant), Status> {
    let asked = Instant::now();
    let request = CreateSessionRequest { secret: secret.to_owned(), scopes: Vec::new() };
    let begun = IdentityServiceClient::new(channel.clone()).create_session(request).await?;
    let CreateSessionResponse { session, credentials } = begun.into_inner();
    Ok(usable(asked, session, credentials))
}

/// The credentials that a call at this time has returned, and when to refresh them: a minute before the access token
/// expires. How long it is valid is the difference of two times of the server, because this machine may have another clock.
fn usable(asked: Instant, session: Option<api::Session>, credentials: Option<Credentials>) -> (Credentials, Instant) {
    let credentials = credentials.unwrap_or_default();
    let seconds = |time: Option<Timestamp>| time.unwrap_or_default().seconds;
    let lifetime = seconds(credentials.access_token_expire_time) - seconds(session.unwrap_or_default().refresh_time);
    let lifetime = Duration::from_secs(lifetime.try_into().unwrap_or_default());
    (credentials, asked + lifetime.saturating_sub(MARGIN))
}
