//! The service behind a real socket, on its own database, and helpers for requests.
use std::sync::Arc;

use identity::Identity;
pub use platform::testing::told;
use platform::{
    Caller, Platform, Scope,
    testing::{self, Hands},
};
use quire_proto::identity::v1::{
    ApiKey, CreateApiKeyRequest, CreateSessionRequest, Credentials, GetSessionRequest, RefreshSessionRequest,
    RevokeApiKeyRequest, RevokeSessionRequest, Session, identity_service_client::IdentityServiceClient,
    identity_service_server::IdentityService,
};
use tonic::{Request, Status, transport::Channel};

pub type Client = IdentityServiceClient<Channel>;

/// The service with authentication, on a new database and with its own clock.
pub struct World {
    pub hands: Hands,
    pub platform: Platform,
    pub client: Client,
    identity: Identity,
}

impl World {
    pub async fn new() -> Self {
        Self::on(testing::platform().await).await
    }

    pub async fn on(platform: Platform) -> Self {
        let hands = Hands::at_present();
        set_clock(&platform, &hands).await;
        let clock = hands.clock();
        let signing_keys = Some(testing::new_signing_keys());
        let platform = Platform { clock, signing_keys, ..platform };
        let identity = Identity::open(&platform).await.unwrap();
        let channel = testing::serve_to(&platform, identity.clone().server()).await;
        Self { hands, platform, client: Client::new(channel), identity }
    }

    /// Advances the clocks of the service and of the database.
    pub async fn pass(&self, seconds: u64) {
        self.hands.pass(seconds);
        set_clock(&self.platform, &self.hands).await;
    }

    /// A request from a caller with all scopes in this workspace.
    pub fn admin<T>(&self, workspace: &str, message: T) -> Request<T> {
        self.from(workspace, &ADMIN, message)
    }

    /// A request from a caller with these scopes in this workspace.
    pub fn from<T>(&self, workspace: &str, scopes: &[&str], message: T) -> Request<T> {
        let key = self.platform.signing_keys.as_ref().unwrap().private().unwrap();
        let now = platform::now(&self.platform.clock);
        let token = key.sign(&caller(workspace, scopes), now, now + time::Duration::days(1)).unwrap();
        bearer(&token.token, message)
    }

    /// Creates a key with these scopes. Returns the key and its secret.
    pub async fn key(&self, workspace: &str, scopes: &[&str]) -> (ApiKey, String) {
        self.make(workspace, key("ada", scopes)).await.unwrap()
    }

    /// Creates a key without a session, as `quire keys bootstrap` does.
    pub async fn make(&self, workspace: &str, api_key: ApiKey) -> Result<(ApiKey, String), Status> {
        let mut request = Request::new(CreateApiKeyRequest { api_key: Some(api_key), ..Default::default() });
        request.extensions_mut().insert(caller(workspace, &ADMIN));
        let made = self.identity.create_api_key(request).await?.into_inner();
        Ok((made.api_key.unwrap(), made.secret))
    }

    /// Creates a session with a key's secret.
    pub async fn begin(&self, secret: &str) -> Result<(Session, Credentials), Status> {
        let request = CreateSessionRequest { secret: secret.to_owned(), scopes: Vec::new() };
        let begun = self.client.clone().create_session(request).await?.into_inner();
        Ok((begun.session.unwrap(), begun.credentials.unwrap()))
    }

    /// Creates a key with the access token of a session.
    pub async fn make_as(&self, credentials: &Credentials, api_key: ApiKey) -> Result<ApiKey, Status> {
        let request =
            bearer(&credentials.access_token, CreateApiKeyRequest { api_key: Some(api_key), ..Default::default() });
        Ok(self.client.clone().create_api_key(request).await?.into_inner().api_key.unwrap())
    }

    /// Revokes a key as an administrator.
    pub async fn revoke_key(&self, workspace: &str, id: &str) -> Result<ApiKey, Status> {
        let request = self.admin(workspace, RevokeApiKeyRequest { id: id.to_owned(), ..Default::default() });
        Ok(self.client.clone().revoke_api_key(request).await?.into_inner().api_key.unwrap())
    }

    /// Revokes a session as an administrator.
    pub async fn revoke_session(&self, workspace: &str, id: &str) -> Result<Session, Status> {
        let request = self.admin(workspace, RevokeSessionRequest { id: id.to_owned() });
        Ok(self.client.clone().revoke_session(request).await?.into_inner().session.unwrap())
    }

    /// Asserts that the secret cannot create a session, and that the refresh token is refused.
    pub async fn assert_unknown(&self, secret: &str, refresh_token: &str) {
        assert_eq!(told(&self.begin(secret).await.unwrap_err()), UNKNOWN);
        assert_eq!(told(&self.refresh(refresh_token).await.unwrap_err()), UNKNOWN);
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

const ADMIN: [&str; 5] = ["identity:read", "identity:write", "identity:any_subject", "memory:read", "memory:write"];

/// Sets the time that connections to the database read.
async fn set_clock(platform: &Platform, hands: &Hands) {
    let pool = testing::pool(platform);
    let name = platform.database.options().get_database().unwrap().to_owned();
    let sql = format!(
        "create schema if not exists other;
        create or replace function other.now() returns timestamptz language sql stable return to_timestamp({});
        alter database {name} set search_path = public, other, pg_catalog",
        hands.time(0).seconds
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    // The next connections read it.
    platform.database.forget_connections();
}

/// A caller with these scopes in this workspace, without a session.
fn caller(workspace: &str, scopes: &[&str]) -> Caller {
    let scopes = Arc::new(scopes.iter().map(|scope| Scope((*scope).to_owned())).collect());
    Caller { workspace: workspace.to_owned(), subject: "admin".to_owned(), scopes, session: None }
}

/// A key for this subject, with these scopes.
pub fn key(subject: &str, scopes: &[&str]) -> ApiKey {
    let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
    ApiKey { name: "a key".to_owned(), subject: subject.to_owned(), scopes, ..Default::default() }
}

/// A request with an access token.
pub fn bearer<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// The answer that every unknown caller gets.
pub const UNKNOWN: &str = "Unauthenticated: a valid credential is required";
