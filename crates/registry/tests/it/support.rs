//! The service behind a real socket, on a database of the test's own, and short ways to say what it is asked.
pub use platform::testing::from;
use platform::{
    Platform,
    testing::{self, Hands},
};
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

/// The service on a platform that a test made.
pub async fn start_on(platform: &Platform) -> Client {
    RegistryServiceClient::new(testing::serve_on(platform, &SERVICE).await)
}

/// The service on a new database, by a clock that stands still unless the test has time pass.
pub async fn start_at_rest() -> (Platform, Client, Hands) {
    let hands = Hands::at(1_800_000_000);
    let platform = Platform { clock: hands.clock(), ..testing::platform().await };
    let client = start_on(&platform).await;
    (platform, client, hands)
}

/// Asks for this agent.
pub fn with(agent: Agent) -> RegisterAgentRequest {
    RegisterAgentRequest { agent: Some(agent) }
}

/// Asks for an agent of which nothing is given but what it must have.
pub fn named(name: impl Into<String>) -> RegisterAgentRequest {
    with(Agent { name: name.into(), ..Default::default() })
}

/// Makes agents in one batch.
pub async fn make(client: &Client, workspace: &str, requests: &[RegisterAgentRequest]) -> Vec<Agent> {
    let requests = BatchRegisterAgentsRequest { requests: requests.to_vec(), ..Default::default() };
    client.clone().batch_register_agents(from(workspace, requests)).await.unwrap().into_inner().agents
}

/// Makes an agent with this name in the workspace `default`.
pub async fn one(client: &Client, name: &str) -> Agent {
    make(client, "default", &[named(name)]).await.remove(0)
}

/// Reads an agent, as a caller of the workspace `default`.
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

/// The first 200 agents that a request lists, as a caller of the workspace `default`.
pub async fn list(client: &Client, request: &ListAgentsRequest) -> Vec<Agent> {
    let page = Some(PageRequest { page_size: 200, ..Default::default() });
    client.clone().list_agents(ListAgentsRequest { page, ..request.clone() }).await.unwrap().into_inner().agents
}

/// The names of agents, in their sequence.
pub fn names(agents: &[Agent]) -> Vec<&str> {
    agents.iter().map(|agent| agent.name.as_str()).collect()
}
