//! The session that is created with an API key.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use prost_types::Timestamp;
use quire_proto::identity::v1::{
    self as api, CreateSessionRequest, CreateSessionResponse, Credentials, RefreshSessionRequest,
    RefreshSessionResponse, identity_service_client::IdentityServiceClient,
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::JoinError,
    time::Instant,
};
use tonic::{
    Code, Request, Response, Status,
    codegen::http::{HeaderValue, header::InvalidHeaderValue},
    transport::Channel,
};

use crate::service::in_time;

/// How long before its expiry an access token is refreshed. One that is valid for less than four times as long is
/// refreshed after three quarters of its time.
const MARGIN: Duration = Duration::from_secs(60);
/// How long creating or refreshing a session may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// The longest lifetime of an access token that is believed.
const MAX_LIFETIME: Duration = Duration::from_secs(86_400);
/// How long after a failure an access token that is still valid is not refreshed again.
const PAUSE: Duration = Duration::from_secs(5);

/// A session that was created with an API key. Clones share it.
#[derive(Clone)]
pub(crate) struct Session {
    secret: Arc<str>,
    access: Arc<ArcSwap<Access>>,
    /// Locked while a call renews the access.
    renewal: Arc<Mutex<Option<Failure>>>,
}

/// What a call is made with.
pub(crate) struct Access {
    pub(crate) authorization: HeaderValue,
    /// Absent if the server has refused the access token.
    refresh_token: Option<String>,
    /// When to refresh the access token.
    refresh_at: Instant,
    /// When the access token expires.
    expire_at: Instant,
    /// Whether the server has accepted the access token once.
    is_accepted: AtomicBool,
}

/// Why the access was last not renewed.
struct Failure {
    at: Instant,
    status: Status,
}

impl Session {
    pub(crate) async fn begin(channel: &Channel, secret: String) -> Result<Self, Status> {
        let access = create(channel, &secret).await?;
        Ok(Self { secret: secret.into(), access: Arc::new(ArcSwap::from_pointee(access)), renewal: Arc::default() })
    }

    /// What the next call is made with. An access token that is about to expire is refreshed by the first call, and no
    /// call waits for it. Calls wait for a new one when it has expired; if it then cannot be renewed, all that wait fail.
    pub(crate) async fn access(&self, channel: &Channel) -> Result<Arc<Access>, Status> {
        let asked = Instant::now();
        let access = self.access.load_full();
        if asked < access.expire_at {
            if access.refresh_at <= asked
                && let Ok(last) = Arc::clone(&self.renewal).try_lock_owned()
                && last.as_ref().is_none_or(|failure| failure.at + PAUSE <= asked)
            {
                drop(tokio::spawn(self.clone().renew(channel.clone(), last)));
            }
            return Ok(access);
        }
        let last = Arc::clone(&self.renewal).lock_owned().await;
        if let Some(failure) = last.as_ref()
            && asked <= failure.at
        {
            return Err(failure.status.clone());
        }
        // In a task: a caller that drops its call would lose the refresh token that the server has returned.
        let renewed = tokio::spawn(self.clone().renew(channel.clone(), last)).await;
        renewed.map_err(|_: JoinError| Status::cancelled("the runtime is shutting down"))??;
        Ok(self.access.load_full())
    }

    /// Handles the code of a call that was made with this access. If the server has accepted the access token before and
    /// now refuses it, the session was revoked, or the server's keys have changed: the next call begins a new one.
    pub(crate) fn answered(&self, access: &Arc<Access>, code: Option<Code>) -> Result<(), Status> {
        if code != Some(Code::Unauthenticated) {
            access.is_accepted.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let now = Instant::now();
        let ended = Access {
            authorization: access.authorization.clone(),
            refresh_token: None,
            refresh_at: now,
            expire_at: now,
            is_accepted: AtomicBool::new(false),
        };
        // Unless another call has renewed it.
        self.access.compare_and_swap(access, Arc::new(ended));
        if access.is_accepted.load(Ordering::Relaxed) {
            return Err(Status::unavailable("the session has ended; the next call begins another"));
        }
        Ok(())
    }

    async fn renew(self, channel: Channel, mut last: OwnedMutexGuard<Option<Failure>>) -> Result<(), Status> {
        let access = self.access.load_full();
        // Another call has renewed it.
        if Instant::now() < access.refresh_at {
            return Ok(());
        }
        match self.renewed(&channel, access.refresh_token.clone()).await {
            Ok(access) => {
                self.access.store(Arc::new(access));
                *last = None;
                Ok(())
            }
            Err(status) => {
                *last = Some(Failure { at: Instant::now(), status: status.clone() });
                Err(status)
            }
        }
    }

    async fn renewed(&self, channel: &Channel, refresh_token: Option<String>) -> Result<Access, Status> {
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

async fn create(channel: &Channel, secret: &str) -> Result<Access, Status> {
    let asked = Instant::now();
    let request = CreateSessionRequest { secret: secret.to_owned(), scopes: Vec::new() };
    let mut client = IdentityServiceClient::new(channel.clone());
    let created = in_time(DEADLINE, client.create_session(Request::new(request))).await?;
    let CreateSessionResponse { session, credentials } = created.into_inner();
    usable(asked, session, credentials)
}

async fn refresh(channel: &Channel, refresh_token: String) -> Result<Access, Status> {
    let asked = Instant::now();
    let mut client = IdentityServiceClient::new(channel.clone());
    let request = Request::new(RefreshSessionRequest { refresh_token });
    let refreshed = in_time(DEADLINE, client.refresh_session(request)).await;
    let RefreshSessionResponse { session, credentials } = refreshed.map(Response::into_inner)?;
    usable(asked, session, credentials)
}

/// The credentials that a call at this time has returned, and when to refresh them. How long it is valid is the difference of two times of the server, because this machine may have another clock.
fn usable(asked: Instant, session: Option<api::Session>, credentials: Option<Credentials>) -> Result<Access, Status> {
    let credentials = credentials.unwrap_or_default();
    let seconds = |time: Option<Timestamp>| time.unwrap_or_default().seconds;
    let issued = seconds(session.unwrap_or_default().refresh_time);
    let lifetime = seconds(credentials.access_token_expire_time).saturating_sub(issued);
    let lifetime = Duration::from_secs(lifetime.try_into().unwrap_or_default()).min(MAX_LIFETIME);
    let mut authorization = HeaderValue::from_str(&format!("Bearer {}", credentials.access_token))
        .map_err(|_: InvalidHeaderValue| Status::internal("the server returned an invalid access token"))?;
    authorization.set_sensitive(true);
    let expire_at = asked + lifetime;
    let refresh_at = expire_at - MARGIN.min(lifetime / 4);
    let refresh_token = Some(credentials.refresh_token);
    Ok(Access { authorization, refresh_token, refresh_at, expire_at, is_accepted: AtomicBool::new(false) })
}
