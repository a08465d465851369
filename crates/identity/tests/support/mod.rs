//! The service behind a real socket, on a database of the test's own, and short ways to say what it is asked.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use identity::Identity;
use pagination::Clock;
pub use platform::testing::{from, there_and_back, told};
use platform::{Caller, Platform, Scope, testing};
use prost_types::Timestamp;
use quire_proto::identity::v1::{
    ApiKey, CreateApiKeyRequest, CreateSessionRequest, Credentials, GetSessionRequest, RefreshSessionRequest, Session,
    identity_service_client::IdentityServiceClient,
};
use tonic::{Request, Status, transport::Channel};
use uuid::Uuid;

pub type Client = IdentityServiceClient<Channel>;

/// A clock that stands still until it is told to go on. It begins at the system's time.
#[derive(Debug, Clone)]
pub struct Hands(Arc<AtomicU64>);

impl Hands {
    pub fn new() -> Self {
        let now = Clock::system().now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Self(Arc::new(AtomicU64::new(now)))
    }

    pub fn clock(&self) -> Clock {
        let seconds = self.0.clone();
        Clock::new(move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::SeqCst)))
    }

    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The time that many seconds from now.
    pub fn time(&self, seconds: i64) -> Timestamp {
        Timestamp { seconds: self.0.load(Ordering::SeqCst) as i64 + seconds, nanos: 0 }
    }
}

/// The service with authentication, on a new database and a clock of the test's own.
pub struct World {
    pub hands: Hands,
    pub platform: Platform,
    pub client: Client,
}

impl World {
    pub async fn new() -> Self {
        Self::on(testing::platform().await).await
    }

    pub async fn on(platform: Platform) -> Self {
        let hands = Hands::new();
        let clock = hands.clock();
        let access_tokens = Some(testing::new_access_tokens(&clock));
        let platform = Platform { clock, access_tokens, ..platform };
        let identity = Identity::open(&platform).await.unwrap();
        let channel = testing::serve_to(platform.access_tokens.clone(), identity.server()).await;
        Self { hands, platform, client: Client::new(channel) }
    }

    /// A message from whoever may do everything in this workspace.
    pub fn admin<T>(&self, workspace: &str, message: T) -> Request<T> {
        self.from(workspace, &["identity:read", "identity:write", "memory:read", "memory:write"], message)
    }

    /// A message from whoever has these scopes in this workspace.
    pub fn from<T>(&self, workspace: &str, scopes: &[&str], message: T) -> Request<T> {
        let scopes = scopes.iter().map(|scope| Scope((*scope).to_owned())).collect();
        let caller = Caller { workspace: workspace.to_owned(), subject: "admin".to_owned(), scopes };
        let tokens = self.platform.access_tokens.as_ref().unwrap();
        let far = platform::now(&self.platform.clock) + time::Duration::days(1);
        bearer(&tokens.sign(&caller, Uuid::nil(), far).unwrap().token, message)
    }

    /// Makes a key with these scopes. The key and its secret.
    pub async fn key(&self, workspace: &str, scopes: &[&str]) -> (ApiKey, String) {
        self.make(workspace, key("ada", scopes)).await.unwrap()
    }

    pub async fn make(&self, workspace: &str, api_key: ApiKey) -> Result<(ApiKey, String), Status> {
        let request = self.admin(workspace, CreateApiKeyRequest { api_key: Some(api_key) });
        let made = self.client.clone().create_api_key(request).await?.into_inner();
        Ok((made.api_key.unwrap(), made.secret))
    }

    /// Begins a session with a key's secret.
    pub async fn begin(&self, secret: &str) -> Result<(Session, Credentials), Status> {
        let request = CreateSessionRequest { secret: secret.to_owned(), scopes: Vec::new() };
        let begun = self.client.clone().create_session(request).await?.into_inner();
        Ok((begun.session.unwrap(), begun.credentials.unwrap()))
    }

    pub async fn refresh(&self, refresh_token: &str) -> Result<(Session, Credentials), Status> {
        let request = RefreshSessionRequest { refresh_token: refresh_token.to_owned() };
        let refreshed = self.client.clone().refresh_session(request).await?.into_inner();
        Ok((refreshed.session.unwrap(), refreshed.credentials.unwrap()))
    }

    /// Reads a session as an administrator.
    pub async fn session(&self, workspace: &str, id: &str) -> Result<Session, Status> {
        let request = self.admin(workspace, GetSessionRequest { id: id.to_owned() });
        Ok(self.client.clone().get_session(request).await?.into_inner().session.unwrap())
    }
}

/// A key of this subject, with these scopes.
pub fn key(subject: &str, scopes: &[&str]) -> ApiKey {
    let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
    ApiKey { name: "a key".to_owned(), subject: subject.to_owned(), scopes, ..Default::default() }
}

/// A message with an access token.
pub fn bearer<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// The one answer that everybody gets who is not known.
pub const UNKNOWN: &str = "Unauthenticated: a valid credential is required";
