//! A server whose clock differs from the database's. Everything that lives or expires does so by the database's clock, so
//! servers agree whatever clocks they have. Here the database's clock is set, because a test cannot set its own.
use std::time::{Duration, UNIX_EPOCH};

use crate::support::{KeyFile, Server, database, eventually, quire};
use platform::Clock;
use prost_types::Timestamp;
use quire_proto::{
    identity::v1::{
        ApiKey, CreateApiKeyRequest, CreateSessionRequest, Credentials, GetSessionRequest, RefreshSessionRequest,
        Session, identity_service_client::IdentityServiceClient,
    },
    pagination::v1::PageRequest,
    registry::v1::{
        Agent, AgentStatus, DiscoverAgentsRequest, GetAgentRequest, HeartbeatRequest, ListAgentsRequest,
        RegisterAgentRequest, registry_service_client::RegistryServiceClient,
    },
};
use sqlx::ConnectOptions;
use tonic::{
    Code, Request,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

const HOUR: i64 = 3_600;

/// The URL of a new database whose clock differs from that of this machine by this many seconds.
async fn database_with_clock(seconds: i64) -> String {
    let (options, url) = database().await;
    let sql = [("now", "stable"), ("clock_timestamp", "volatile"), ("statement_timestamp", "stable")]
        .map(|(name, volatility)| {
            format!(
                "create function other.{name}() returns timestamptz language sql {volatility}
                return pg_catalog.{name}() + {seconds} * interval '1 second';"
            )
        })
        .concat();
    let name = options.get_database().unwrap();
    let sql = format!("create schema other; {sql} alter database {name} set search_path = public, other, pg_catalog");
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    url
}

/// The seconds by which a time is ahead of this machine's clock.
fn seconds_ahead(time: Option<Timestamp>) -> i64 {
    let now = Clock::system().now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    time.unwrap().seconds - i64::try_from(now).unwrap()
}

fn bearer(credentials: &Credentials) -> impl Interceptor + Clone + use<> {
    let bearer: tonic::metadata::AsciiMetadataValue = format!("Bearer {}", credentials.access_token).parse().unwrap();
    move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", bearer.clone());
        Ok(request)
    }
}

fn registry(
    channel: &Channel,
    credentials: &Credentials,
) -> RegistryServiceClient<InterceptedService<Channel, impl Interceptor + Clone + use<>>> {
    RegistryServiceClient::with_interceptor(channel.clone(), bearer(credentials))
}

async fn signed_in(channel: &Channel, secret: &str) -> (Session, Credentials) {
    let request = CreateSessionRequest { secret: secret.trim().to_owned(), scopes: vec![] };
    let answer = IdentityServiceClient::new(channel.clone()).create_session(request).await.unwrap().into_inner();
    (answer.session.unwrap(), answer.credentials.unwrap())
}

#[tokio::test]
async fn everything_lives_by_the_clock_of_the_database() {
    tokio::join!(check(HOUR), check(-HOUR));
}

async fn check(difference: i64) {
    let url = database_with_clock(difference).await;
    let is_now = |time| assert!((seconds_ahead(time) - difference).abs() < 120, "{difference}: {time:?}");
    let keys = KeyFile::new();
    let mut server = Server::on_database(&url, &["--signing-keys", keys.path()]);
    let channel = server.connect().await;

    // Sessions, keys and access tokens.
    let mut bootstrap = quire(&["keys", "bootstrap", "--workspace", "acme", "--database-url", &url]);
    let secret = String::from_utf8(bootstrap.output().unwrap().stdout).unwrap();
    let (session, credentials) = signed_in(&channel, &secret).await;
    is_now(session.create_time);
    is_now(session.refresh_time);
    let refresh_token = credentials.refresh_token.clone();
    let request = RefreshSessionRequest { refresh_token };
    let refreshed = IdentityServiceClient::new(channel.clone()).refresh_session(request).await.unwrap().into_inner();
    is_now(refreshed.session.unwrap().refresh_time);
    let credentials = refreshed.credentials.unwrap();
    let mut identity = IdentityServiceClient::with_interceptor(channel.clone(), bearer(&credentials));
    let expire_time = Some(Timestamp { seconds: session.create_time.unwrap().seconds + HOUR / 2, nanos: 0 });
    let new = |expire_time| {
        let api_key = ApiKey {
            name: "key".to_owned(),
            subject: session.subject.clone(),
            scopes: vec!["registry:read".to_owned()],
            expire_time,
            ..Default::default()
        };
        CreateApiKeyRequest { api_key: Some(api_key), ..Default::default() }
    };
    let created = identity.create_api_key(new(expire_time)).await.unwrap().into_inner();
    is_now(created.api_key.unwrap().create_time);
    let (short, _) = signed_in(&channel, &created.secret).await;
    assert_eq!(short.expire_time, expire_time);
    let past = Some(Timestamp { seconds: session.create_time.unwrap().seconds - 1, nanos: 0 });
    assert_eq!(identity.create_api_key(new(past)).await.unwrap_err().code(), Code::InvalidArgument);
    let is_alive = identity.get_session(GetSessionRequest { id: short.id }).await.unwrap().into_inner();
    assert_eq!(is_alive.session.unwrap().revoke_time, None);

    // Agents: one that sends heartbeats, and one that does not.
    let mut registry = registry(&channel, &credentials);
    let mut ids = Vec::new();
    for name in ["alive", "dead"] {
        let time_to_live = Some(prost_types::Duration { seconds: 2, nanos: 0 });
        let capabilities = vec!["work".to_owned()];
        let agent = Agent { name: name.to_owned(), time_to_live, capabilities, ..Default::default() };
        let request = RegisterAgentRequest { agent: Some(agent), ..Default::default() };
        let agent = registry.register_agent(request).await.unwrap().into_inner().agent.unwrap();
        is_now(agent.register_time);
        is_now(agent.heartbeat_time);
        ids.push(agent.id);
    }
    let [alive, dead] = ids.try_into().unwrap();
    eventually("the silent agent was offline", async || {
        let beat = HeartbeatRequest { id: alive.clone(), load: Some(0), ..Default::default() };
        let agent = registry.clone().heartbeat(beat).await.unwrap().into_inner().agent.unwrap();
        is_now(agent.heartbeat_time);
        assert_eq!(agent.status(), AgentStatus::Active);
        let request = GetAgentRequest { id: dead.clone() };
        let agent = registry.clone().get_agent(request).await.unwrap().into_inner().agent.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        (agent.status() == AgentStatus::Offline).then_some(())
    })
    .await;
    let request = DiscoverAgentsRequest { capability: "work".to_owned(), ..Default::default() };
    let found = registry.discover_agents(request).await.unwrap().into_inner().agents;
    assert_eq!(found.iter().map(|agent| &agent.name).collect::<Vec<_>>(), ["alive"]);

    // Page tokens.
    let page = |page_token| Some(PageRequest { page_size: 1, page_token, ..Default::default() });
    let list = |page| ListAgentsRequest { page, ..Default::default() };
    let first = registry.list_agents(list(page(String::new()))).await.unwrap().into_inner();
    let token = first.page.unwrap().next_page_token;
    assert_eq!(registry.list_agents(list(page(token))).await.unwrap().into_inner().agents.len(), 1);
}
