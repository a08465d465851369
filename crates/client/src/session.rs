//! The session that is created with an API key.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use pagination::Walk;
use prost_types::Timestamp;
use quire_proto::identity::v1::{
    self as api, CreateSessionRequest, CreateSessionResponse, Credentials, RefreshSessionRequest,
    RefreshSessionResponse, identity_service_client::IdentityServiceClient,
};
use tokio::{sync::Mutex, time::Instant};
use tonic::{
    Code, Request, Response, Status,
    codegen::http::{HeaderValue, header::InvalidHeaderValue},
    transport::Channel,
};

/// How long before its expiry an access token is refreshed.
const MARGIN: Duration = Duration::from_secs(60);
/// How long creating or refreshing a session may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A session that was created with an API key. Clones share it.
#[derive(Clone)]
pub(crate) struct Session {
    secret: Arc<str>,
    current: Arc<Mutex<Current>>,
}

struct Current {
    authorization: HeaderValue,
    /// Absent if the server has refused the access token.
    refresh_token: Option<String>,
    /// When to refresh the access token.
    refresh_at: Instant,
}

impl Session {
    /// Creates it. The call is retried as that for a page: an API key can create only so many sessions in a minute, and
    /// the server says how long to wait.
    pub(crate) async fn begin(channel: &Channel, secret: String) -> Result<Self, Status> {
        let secret: Arc<str> = secret.into();
        let (channel, given) = (channel.clone(), secret.clone());
        let created = Walk::new(move |_| {
            let (channel, secret) = (channel.clone(), given.clone());
            async move { Ok((vec![create(&channel, &secret).await?], None)) }
        });
        let current = created.prefetch(false).try_next().await?;
        let current = current.ok_or_else(|| Status::internal("the server returned no session"))?;
        Ok(Self { secret, current: Arc::new(Mutex::new(current)) })
    }

    /// The `authorization` of a call. Refreshes an access token that is about to expire. The calls of other clones wait
    /// meanwhile.
    pub(crate) async fn authorization(&self, channel: &Channel) -> Result<HeaderValue, Status> {
        let mut current = self.current.lock().await;
        if current.refresh_at <= Instant::now() {
            *current = self.renew(channel, current.refresh_token.clone()).await?;
        }
        Ok(current.authorization.clone())
    }

    /// Begins a new session before the next call: the server has refused the access token, because the session was
    /// revoked or the server's keys have changed.
    pub(crate) async fn is_refused(&self) {
        let mut current = self.current.lock().await;
        (current.refresh_token, current.refresh_at) = (None, Instant::now());
    }

    async fn renew(&self, channel: &Channel, refresh_token: Option<String>) -> Result<Current, Status> {
        if let Some(refresh_token) = refresh_token {
            match refresh(channel, refresh_token).await {
                // The session has ended.
                Err(status) if is_refusal(status.code()) => {}
                renewed => return renewed,
            }
        }
        create(channel, &self.secret).await
    }
}

fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::NotFound
            | Code::FailedPrecondition
            | Code::InvalidArgument
    )
}

async fn create(channel: &Channel, secret: &str) -> Result<Current, Status> {
    let asked = Instant::now();
    let request = in_time(CreateSessionRequest { secret: secret.to_owned(), scopes: Vec::new() });
    let created = IdentityServiceClient::new(channel.clone()).create_session(request).await?;
    let CreateSessionResponse { session, credentials } = created.into_inner();
    usable(asked, session, credentials)
}

async fn refresh(channel: &Channel, refresh_token: String) -> Result<Current, Status> {
    let asked = Instant::now();
    let request = in_time(RefreshSessionRequest { refresh_token });
    let refreshed = IdentityServiceClient::new(channel.clone()).refresh_session(request).await;
    let RefreshSessionResponse { session, credentials } = refreshed.map(Response::into_inner)?;
    usable(asked, session, credentials)
}

fn in_time<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

/// The credentials that a call at this time has returned, and when to refresh them: a minute before the access token
/// expires. How long it is valid is the difference of two times of the server, because this machine may have another clock.
fn usable(asked: Instant, session: Option<api::Session>, credentials: Option<Credentials>) -> Result<Current, Status> {
    let credentials = credentials.unwrap_or_default();
    let seconds = |time: Option<Timestamp>| time.unwrap_or_default().seconds;
    let lifetime = seconds(credentials.access_token_expire_time) - seconds(session.unwrap_or_default().refresh_time);
    let lifetime = Duration::from_secs(lifetime.try_into().unwrap_or_default());
    let mut authorization = HeaderValue::from_str(&format!("Bearer {}", credentials.access_token))
        .map_err(|_: InvalidHeaderValue| Status::internal("the server returned an invalid access token"))?;
    authorization.set_sensitive(true);
    let refresh_at = asked + lifetime.saturating_sub(MARGIN);
    Ok(Current { authorization, refresh_token: Some(credentials.refresh_token), refresh_at })
}
