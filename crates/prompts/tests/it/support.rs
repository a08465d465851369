//! The service behind a real socket, on its own database, and helpers for requests.
use std::collections::BTreeMap;

pub use platform::testing::{from, there_and_back, told};
use platform::{Platform, testing};
use prompts::SERVICE;
use quire_proto::{
    pagination::v1::PageRequest,
    prompts::v1::{
        AssignLabelRequest, BatchCreatePromptsRequest, CreatePromptRequest, CreatePromptVersionRequest, Deployment,
        GetPromptRequest, Label, ListDeploymentsRequest, Prompt, PromptVersion, RemoveLabelRequest,
        prompt_service_client::PromptServiceClient,
    },
};
use tonic::{Status, transport::Channel};

pub type Client = PromptServiceClient<Channel>;

/// The service on a new database.
pub async fn start() -> (Platform, Client) {
    let platform = testing::platform().await;
    let client = start_on(&platform).await;
    (platform, client)
}

/// The service on this platform.
pub async fn start_on(platform: &Platform) -> Client {
    PromptServiceClient::new(testing::serve_on(platform, &SERVICE).await)
}

/// The service on a new database, with a clock that advances by a second at each reading.
pub async fn start_ticking() -> (Platform, Client) {
    let platform = Platform { clock: testing::ticking(), ..testing::platform().await };
    let client = start_on(&platform).await;
    (platform, client)
}

/// A request that creates this prompt, with some content.
pub fn with(prompt: Prompt) -> CreatePromptRequest {
    let version = PromptVersion { content: "Hello".to_owned(), ..Default::default() };
    CreatePromptRequest { prompt: Some(prompt), version: Some(version) }
}

/// A request with only the required fields.
pub fn named(name: impl Into<String>) -> CreatePromptRequest {
    with(Prompt { name: name.into(), ..Default::default() })
}

/// Creates prompts in one batch, at most 1,000.
pub async fn make(client: &Client, workspace: &str, requests: &[CreatePromptRequest]) -> Vec<Prompt> {
    let request = BatchCreatePromptsRequest { requests: requests.to_vec(), ..Default::default() };
    client.clone().batch_create_prompts(from(workspace, request)).await.unwrap().into_inner().prompts
}

/// Creates a prompt with this name in the workspace `default`.
pub async fn one(client: &Client, name: &str) -> Prompt {
    make(client, "default", &[named(name)]).await.remove(0)
}

/// Reads a prompt, as a caller of the workspace `default`.
pub async fn get(client: &Client, id: &str) -> Result<Prompt, Status> {
    let response = client.clone().get_prompt(GetPromptRequest { id: id.to_owned() }).await?;
    Ok(response.into_inner().prompt.unwrap())
}

/// A version with this content.
pub fn text(prompt_id: &str, content: impl Into<String>) -> PromptVersion {
    PromptVersion { prompt_id: prompt_id.to_owned(), content: content.into(), ..Default::default() }
}

/// Adds a version, as a caller of this workspace.
pub async fn add(client: &Client, workspace: &str, version: PromptVersion) -> Result<PromptVersion, Status> {
    let request = CreatePromptVersionRequest { version: Some(version) };
    let response = client.clone().create_prompt_version(from(workspace, request)).await?;
    Ok(response.into_inner().version.unwrap())
}

/// Points a label at a version, as a caller of this workspace.
pub async fn assign(client: &Client, workspace: &str, request: AssignLabelRequest) -> Result<Label, Status> {
    Ok(client.clone().assign_label(from(workspace, request)).await?.into_inner().label.unwrap())
}

/// Removes a label, as a caller of the workspace `default`.
pub async fn remove(client: &Client, prompt_id: &str, label: &str, removed_by: &str) -> Result<(), Status> {
    let (prompt_id, label, removed_by) = (prompt_id.to_owned(), label.to_owned(), removed_by.to_owned());
    client.clone().remove_label(RemoveLabelRequest { prompt_id, label, removed_by }).await.map(drop)
}

/// A request that points a label at a version.
pub fn label(prompt_id: &str, label: &str, version: i32) -> AssignLabelRequest {
    AssignLabelRequest { prompt_id: prompt_id.to_owned(), label: label.to_owned(), version, ..Default::default() }
}

/// Lists up to 200 deployments, as a caller of this workspace.
pub async fn deployments(client: &Client, workspace: &str, request: ListDeploymentsRequest) -> Vec<Deployment> {
    let request =
        ListDeploymentsRequest { page: Some(PageRequest { page_size: 200, ..Default::default() }), ..request };
    client.clone().list_deployments(from(workspace, request)).await.unwrap().into_inner().deployments
}

/// Asserts that the moves of one label lead from no version to this version, and that each starts where another ended.
pub fn assert_lead_to(version: i32, moves: &[Deployment]) {
    assert!(moves.iter().all(|moved| moved.version != moved.previous_version), "{moves:?}");
    // The label reached every version as often as it left it, except the start and the end.
    let mut balance = BTreeMap::from([(0, 1), (version, -1)]);
    for moved in moves {
        *balance.entry(moved.version).or_default() += 1;
        *balance.entry(moved.previous_version).or_default() -= 1;
    }
    assert!(balance.values().all(|&balance| balance == 0), "to {version} by {moves:?}");
}
