//! The service behind a real socket, on a database of the test's own, and short ways to say what it is asked.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use pagination::Clock;
pub use platform::testing::{from, there_and_back, told};
use platform::{Platform, testing};
use quire_proto::{
    pagination::v1::{PageRequest, PageResponse},
    registry::v1::{
        Agent, AgentStatus, BatchRegisterAgentsRequest, DiscoverAgentsRequest, GetAgentRequest, HeartbeatRequest,
        ListAgentsRequest, RegisterAgentRequest, registry_service_client::RegistryServiceClient,
    },
};
use registry::Registry;
use tonic::{Status, transport::Channel};

pub type Client = RegistryServiceClient<Channel>;

/// The orders of ListAgents, the default first.
pub const ORDERS: [&str; 2] = ["register_time desc", "name"];

/// The service on a new database.
pub async fn start() -> (Platform, Client) {
    let platform = testing::platform().await;
    let client = start_on(&platform).await;
    (platform, client)
}

/// The service on a platform that a test made.
pub async fn start_on(platform: &Platform) -> Client {
    let registry = Registry::open(platform).await.unwrap();
    RegistryServiceClient::new(testing::serve(registry.server()).await)
}

/// A clock that a test sets.
#[derive(Debug, Clone)]
pub struct Seconds(Arc<AtomicU64>);

impl Seconds {
    /// Makes it so much later.
    pub fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Makes it so much earlier.
    pub fn go_back(&self, seconds: u64) {
        self.0.fetch_sub(seconds, Ordering::SeqCst);
    }
}

/// The service on a new database, by a clock that stands still unless the test has time pass.
pub async fn start_at_rest() -> (Platform, Client, Seconds) {
    let seconds = Seconds(Arc::new(AtomicU64::new(1_800_000_000)));
    let Seconds(read) = seconds.clone();
    let clock = Clock::new(move || UNIX_EPOCH + Duration::from_secs(read.load(Ordering::SeqCst)));
    let platform = Platform { clock, ..testing::platform().await };
    let client = start_on(&platform).await;
    (platform, client, seconds)
}

/// The service on a new database, by a clock that is a second later each time it is asked.
pub async fn start_ticking() -> (Platform, Client) {
    let seconds = AtomicU64::new(1_800_000_000);
    let clock = Clock::new(move || UNIX_EPOCH + Duration::from_secs(seconds.fetch_add(1, Ordering::Relaxed)));
    let platform = Platform { clock, ..testing::platform().await };
    let client = start_on(&platform).await;
    (platform, client)
}

/// Asks for this agent.
pub fn with(agent: Agent) -> RegisterAgentRequest {
    RegisterAgentRequest { agent: Some(agent) }
}

/// Asks for an agent of which nothing is given but what it must have.
pub fn named(name: impl Into<String>) -> RegisterAgentRequest {
    with(Agent { name: name.into(), ..Default::default() })
}

/// Makes agents, in one batch.
pub async fn make(client: &Client, workspace: &str, requests: &[RegisterAgentRequest]) -> Vec<Agent> {
    let requests = BatchRegisterAgentsRequest { requests: requests.to_vec(), ..Default::default() };
    client.clone().batch_register_agents(from(workspace, requests)).await.unwrap().into_inner().agents
}

/// Makes an agent with this name in the workspace `default`.
pub async fn one(client: &Client, name: &str) -> Agent {
    make(client, "default", &[named(name)]).await.remove(0)
}

/// Reads an agent of the workspace `default`.
pub async fn get(client: &Client, id: &str) -> Result<Agent, Status> {
    Ok(client.clone().get_agent(GetAgentRequest { id: id.to_owned() }).await?.into_inner().agent.unwrap())
}

/// A heartbeat that says nothing but that the agent lives.
pub fn alive(agent: &Agent) -> HeartbeatRequest {
    HeartbeatRequest { id: agent.id.clone(), ..Default::default() }
}

/// Sends a heartbeat, as a caller of the workspace `default`.
pub async fn beat(client: &Client, heartbeat: HeartbeatRequest) -> Result<Agent, Status> {
    Ok(client.clone().heartbeat(heartbeat).await?.into_inner().agent.unwrap())
}

/// A page of agents, as a caller of this workspace.
pub async fn list_in(
    client: &Client,
    workspace: &str,
    request: &ListAgentsRequest,
) -> Result<(Vec<Agent>, Option<PageResponse>), Status> {
    let response = client.clone().list_agents(from(workspace, request.clone())).await?.into_inner();
    Ok((response.agents, response.page))
}

/// The agents that a request asks for, up to 200, as a caller of the workspace `default`.
pub async fn list(client: &Client, request: &ListAgentsRequest) -> Vec<Agent> {
    let page = Some(PageRequest { page_size: 200, ..Default::default() });
    list_in(client, "default", &ListAgentsRequest { page, ..request.clone() }).await.unwrap().0
}

/// A page of agents that have room, as a caller of this workspace.
pub async fn discover_in(
    client: &Client,
    workspace: &str,
    request: &DiscoverAgentsRequest,
) -> Result<(Vec<Agent>, Option<PageResponse>), Status> {
    let response = client.clone().discover_agents(from(workspace, request.clone())).await?.into_inner();
    Ok((response.agents, response.page))
}

/// Asks for those that can do this.
pub fn able(capability: &str) -> DiscoverAgentsRequest {
    DiscoverAgentsRequest { capability: capability.to_owned(), ..Default::default() }
}

/// The first page of a size, or the one that a token leads to.
pub fn page(page_size: i32, page_token: &str) -> Option<PageRequest> {
    Some(PageRequest { page_size, page_token: page_token.to_owned(), ..Default::default() })
}

/// The names of agents, in their sequence.
pub fn names(agents: &[Agent]) -> Vec<&str> {
    agents.iter().map(|agent| agent.name.as_str()).collect()
}
