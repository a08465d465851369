//! The service behind a real socket, on a database of the test's own, and short ways to say what it is asked.
pub use platform::testing::{from, page, there_and_back, told};
use platform::{
    Platform,
    testing::{self, Hands},
};
use quire_proto::{
    pagination::v1::PageResponse,
    registry::v1::{
        Agent, BatchRegisterAgentsRequest, DiscoverAgentsRequest, GetAgentRequest, HeartbeatRequest, ListAgentsRequest,
        RegisterAgentRequest, registry_service_client::RegistryServiceClient,
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

/// The service on a new database, by a clock that is a second later each time it is asked.
pub async fn start_ticking() -> (Platform, Client) {
    let platform = Platform { clock: testing::ticking(), ..testing::platform().await };
    let client = start_on(&platform).await;
    (platform, client)
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

/// Reads an agent, as a caller of this workspace.
pub async fn get_in(client: &Client, workspace: &str, id: &str) -> Result<Agent, Status> {
    let response = client.clone().get_agent(from(workspace, GetAgentRequest { id: id.to_owned() })).await?;
    Ok(response.into_inner().agent.unwrap())
}

/// Reads an agent, as a caller of the workspace `default`.
pub async fn get(client: &Client, id: &str) -> Result<Agent, Status> {
    get_in(client, "default", id).await
}

/// A heartbeat that says nothing but that the agent lives.
pub fn alive(agent: &Agent) -> HeartbeatRequest {
    HeartbeatRequest { id: agent.id.clone(), ..Default::default() }
}

/// Sends a heartbeat, as a caller of the workspace `default`.
pub async fn beat(client: &Client, heartbeat: HeartbeatRequest) -> Result<Agent, Status> {
    Ok(client.clone().heartbeat(heartbeat).await?.into_inner().agent.unwrap())
}

/// A page of agents and where it stands, as a caller of this workspace.
pub async fn list_in(
    client: &Client,
    workspace: &str,
    request: &ListAgentsRequest,
) -> Result<(Vec<Agent>, PageResponse), Status> {
    let response = client.clone().list_agents(from(workspace, request.clone())).await?.into_inner();
    Ok((response.agents, response.page.unwrap()))
}

/// All agents that a request lists, as a caller of this workspace.
pub async fn walk_in(client: &Client, workspace: &str, request: &ListAgentsRequest, page_size: i32) -> Vec<Agent> {
    let fetch = async |page| {
        list_in(client, workspace, &ListAgentsRequest { page: Some(page), ..request.clone() }).await.unwrap()
    };
    there_and_back(page_size, fetch).await.concat()
}

/// All agents that a request lists, as a caller of the workspace `default`.
pub async fn walk(client: &Client, request: &ListAgentsRequest) -> Vec<Agent> {
    walk_in(client, "default", request, 200).await
}

/// Asks for agents in an order.
pub fn by(order_by: &str) -> ListAgentsRequest {
    ListAgentsRequest { order_by: order_by.to_owned(), ..Default::default() }
}

/// A page of agents that have room and where it stands, as a caller of this workspace.
pub async fn discover_in(
    client: &Client,
    workspace: &str,
    request: &DiscoverAgentsRequest,
) -> Result<(Vec<Agent>, PageResponse), Status> {
    let response = client.clone().discover_agents(from(workspace, request.clone())).await?.into_inner();
    Ok((response.agents, response.page.unwrap()))
}

/// Asks for those that can do this.
pub fn able(capability: &str) -> DiscoverAgentsRequest {
    DiscoverAgentsRequest { capability: capability.to_owned(), ..Default::default() }
}

/// The names of agents, in their sequence.
pub fn names(agents: &[Agent]) -> Vec<&str> {
    agents.iter().map(|agent| agent.name.as_str()).collect()
}
