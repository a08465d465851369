//! The service behind a real socket, on its own database, and helpers for requests.
use memory::SERVICE;
pub use platform::testing::{from, there_and_back};
use platform::{Platform, testing};
use quire_proto::{
    memory::v1::{
        BatchStoreMemoriesRequest, ListMemoriesRequest, Memory, MemoryScope, RecallMemoriesRequest, RecalledMemory,
        StoreMemoryRequest, memory_service_client::MemoryServiceClient,
    },
    pagination::v1::PageResponse,
};
use tonic::{Status, transport::Channel};

pub type Client = MemoryServiceClient<Channel>;

/// The orders of ListMemories, the default first.
pub const ORDERS: [&str; 3] = ["create_time desc", "create_time", "update_time desc"];

/// The service on a new database.
pub async fn start() -> (Platform, Client) {
    let platform = testing::platform().await;
    let client = start_on(&platform).await;
    (platform, client)
}

/// The service on this platform.
pub async fn start_on(platform: &Platform) -> Client {
    MemoryServiceClient::new(testing::serve_on(platform, &SERVICE).await)
}

/// A memory with only the required fields.
pub fn text(content: impl Into<String>) -> Memory {
    Memory { scope: MemoryScope::User.into(), content: content.into(), ..Default::default() }
}

/// A memory with every field set that the service does not set. The id can be empty.
pub fn full(id: &str, content: &str) -> Memory {
    Memory {
        id: id.into(),
        scope: MemoryScope::Project.into(),
        content: content.into(),
        r#type: "fact".into(),
        source: "standup".into(),
        confidence: Some(0.75),
        pinned: true,
        policy: true,
        user_id: "ada".into(),
        team_id: "web".into(),
        project_id: "quire".into(),
        repository: "quire/quire".into(),
        agent: "scribe".into(),
        tags: vec!["z".into(), "a".into()],
        metadata: [("room".into(), "4".into()), ("empty".into(), String::new())].into(),
        ..Default::default()
    }
}

/// A request that stores this memory.
pub fn with(memory: Memory) -> StoreMemoryRequest {
    StoreMemoryRequest { memory: Some(memory) }
}

/// Stores a memory, as a caller of the workspace `default`.
pub async fn store(client: &Client, memory: Memory) -> Result<Memory, Status> {
    Ok(client.clone().store_memory(with(memory)).await?.into_inner().memory.unwrap())
}

/// A request that stores memories in one batch.
pub fn batch(memories: &[Memory]) -> BatchStoreMemoriesRequest {
    BatchStoreMemoriesRequest { requests: memories.iter().cloned().map(with).collect(), ..Default::default() }
}

/// Stores memories in one batch, and returns their ids.
pub async fn make(client: &Client, workspace: &str, memories: &[Memory]) -> Vec<String> {
    client.clone().batch_store_memories(from(workspace, batch(memories))).await.unwrap().into_inner().ids
}

/// A page of memories and where it stands, as a caller of this workspace.
pub async fn list_in(
    client: &Client,
    workspace: &str,
    request: &ListMemoriesRequest,
) -> Result<(Vec<Memory>, PageResponse), Status> {
    let response = client.clone().list_memories(from(workspace, request.clone())).await?.into_inner();
    Ok((response.memories, response.page.unwrap()))
}

/// A request for memories in this order.
pub fn by(order_by: &str) -> ListMemoriesRequest {
    ListMemoriesRequest { order_by: order_by.to_owned(), ..Default::default() }
}

/// A page of recalled memories and its `PageResponse`, as a caller of this workspace.
pub async fn recall_in(
    client: &Client,
    workspace: &str,
    request: &RecallMemoriesRequest,
) -> Result<(Vec<RecalledMemory>, PageResponse), Status> {
    let response = client.clone().recall_memories(from(workspace, request.clone())).await?.into_inner();
    Ok((response.memories, response.page.unwrap()))
}

/// A request for the memories that match these words.
pub fn words(query: &str) -> RecallMemoriesRequest {
    RecallMemoriesRequest { query: query.to_owned(), ..Default::default() }
}

/// The contents of the memories that a request recalls, the best first.
pub async fn recalled(client: &Client, request: &RecallMemoriesRequest) -> Vec<String> {
    let fetch = async |page| {
        recall_in(client, "default", &RecallMemoriesRequest { page: Some(page), ..request.clone() }).await.unwrap()
    };
    let found = there_and_back(200, fetch).await.concat();
    found.into_iter().map(|found| found.memory.unwrap().content).collect()
}
