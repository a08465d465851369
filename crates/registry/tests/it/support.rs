//! The service behind a real socket, on its own database, and helpers for requests.
pub use platform::testing::from;
use platform::{Platform, testing};
use quire_proto::{
    pagination::v1::PageRequest,
    registry::v1::{
        Agent, BatchRegisterAgentsRequest, GetAgentRequest, HeartbeatRequest, ListAgentsRequest, RegisterAgentRequest,
        registry_service_client::RegistryServiceClient,
    },
};
use registry::SERVICE;
use tonic::{Status, transport::Channel};

pub type Client = RegistryServiceClient<Channel>;

/// The service on a new database.
pub async fn start() -> (Platform, Client) {
    let platform = testing::platform().await;
    let client = start_on(&platform).await;
    (platform, client)
}

/// The service on this platform.
pub async fn start_on(platform: &Platform) -> Client {
    RegistryServiceClient::new(testing::serve_on(platform, &SERVICE).await)
}

/// Makes all agents silent for this many seconds longer.
pub async fn pass(platform: &Platform, seconds: i32) {
    let sql = "update agents set heartbeat_time = heartbeat_time - $1 * interval '1 second'";
    sqlx::query(sql).bind(seconds).execute(&testing::pool(platform)).await.unwrap();
}

/// A request that registers this agent.
pub fn with(agent: Agent) -> RegisterAgentRequest {
    RegisterAgentRequest { agent: Some(agent), ..Default::default() }
}

/// A request with only the required fields.
pub fn named(name: impl Into<String>) -> RegisterAgentRequest {
    with(Agent { name: name.into(), ..Default::default() })
}

/// Registers agents in one batch.
pub async fn make(client: &Client, workspace: &str, requests: &[RegisterAgentRequest]) -> Vec<Agent> {
    let requests = BatchRegisterAgentsRequest { requests: requests.to_vec(), ..Default::default() };
    client.clone().batch_register_agents(from(workspace, requests)).await.unwrap().into_inner().agents
}

/// Registers an agent with this name in the workspace `default`.
pub async fn one(client: &Client, name: &str) -> Agent {
    make(client, "default", &[named(name)]).await.remove(0)
}

/// Reads an agent, as a caller of the workspace `default`.
pub async fn get(client: &Client, id: &str) -> Result<Agent, Status> {
    Ok(client.clone().get_agent(GetAgentRequest { id: id.to_owned() }).await?.into_inner().agent.unwrap())
}

/// A heartbeat without optional fields.
pub fn alive(agent: &Agent) -> HeartbeatRequest {
    HeartbeatRequest { id: agent.id.clone(), ..Default::default() }
}

/// Sends a heartbeat, as a caller of the workspace `default`.
pub async fn beat(client: &Client, heartbeat: HeartbeatRequest) -> Result<Agent, Status> {
    Ok(client.clone().heartbeat(heartbeat).await?.into_inner().agent.unwrap())
}

/// Lists the first 200 agents, as a caller of the workspace `default`.
pub async fn list(client: &Client, request: &ListAgentsRequest) -> Vec<Agent> {
    let page = Some(PageRequest { page_size: 200, ..Default::default() });
    client.clone().list_agents(ListAgentsRequest { page, ..request.clone() }).await.unwrap().into_inner().agents
}

/// The names of agents, in the same order.
pub fn names(agents: &[Agent]) -> Vec<&str> {
    agents.iter().map(|agent| agent.name.as_str()).collect()
}
