//! What can be imported, and how a server is told of it.

use prost::Message;
use quire_proto::{
    jobs::v1::{BatchCreateJobsRequest, CreateJobRequest, ListJobsRequest, job_service_client::JobServiceClient},
    memory::v1::{
        BatchStoreMemoriesRequest, ListMemoriesRequest, StoreMemoryRequest, memory_service_client::MemoryServiceClient,
    },
    meter::v1::{ListUsageRequest, RecordUsageRequest, UsageRecord, meter_service_client::MeterServiceClient},
    prompts::v1::{
        BatchCreatePromptsRequest, CreatePromptRequest, ListPromptsRequest, prompt_service_client::PromptServiceClient,
    },
    registry::v1::{
        BatchRegisterAgentsRequest, ListAgentsRequest, RegisterAgentRequest,
        registry_service_client::RegistryServiceClient,
    },
};
use tonic::Status;

use crate::client::Client;

/// A kind of thing that can be imported, many in a call. What is there already, and the same, is passed over.
pub(crate) trait Kind {
    /// What stands on a line.
    type Line: Message + Default;
    /// The full name of its message.
    const MESSAGE: &str;
    /// What several of them are called.
    const NAMES: &str;

    /// The bytes of a line that the answer repeats.
    fn answered_bytes(line: &Self::Line) -> usize;

    /// Has the server make all of these, or none.
    async fn make(client: &mut Client, lines: Vec<Self::Line>) -> Result<(), Status>;

    /// Whether the server has any.
    async fn are_there(client: &mut Client) -> Result<bool, Status>;
}

pub(crate) struct Prompts;

impl Kind for Prompts {
    type Line = CreatePromptRequest;
    const MESSAGE: &str = "prompts.v1.CreatePromptRequest";
    const NAMES: &str = "prompts";

    fn answered_bytes(line: &CreatePromptRequest) -> usize {
        line.prompt.as_ref().map_or(0, Message::encoded_len)
    }

    async fn make(client: &mut Client, requests: Vec<CreatePromptRequest>) -> Result<(), Status> {
        let request = client.request(BatchCreatePromptsRequest { requests, pass_over_existing: true }).await?;
        PromptServiceClient::new(client.channel.clone()).batch_create_prompts(request).await.map(drop)
    }

    async fn are_there(client: &mut Client) -> Result<bool, Status> {
        let request = client.request(ListPromptsRequest::default()).await?;
        let page = PromptServiceClient::new(client.channel.clone()).list_prompts(request).await?;
        Ok(!page.into_inner().prompts.is_empty())
    }
}

pub(crate) struct Memories;

impl Kind for Memories {
    type Line = StoreMemoryRequest;
    const MESSAGE: &str = "memory.v1.StoreMemoryRequest";
    const NAMES: &str = "memories";

    fn answered_bytes(_: &StoreMemoryRequest) -> usize {
        0
    }

    async fn make(client: &mut Client, requests: Vec<StoreMemoryRequest>) -> Result<(), Status> {
        let request = client.request(BatchStoreMemoriesRequest { requests, pass_over_existing: true }).await?;
        MemoryServiceClient::new(client.channel.clone()).batch_store_memories(request).await.map(drop)
    }

    async fn are_there(client: &mut Client) -> Result<bool, Status> {
        let request = client.request(ListMemoriesRequest::default()).await?;
        let page = MemoryServiceClient::new(client.channel.clone()).list_memories(request).await?;
        Ok(!page.into_inner().memories.is_empty())
    }
}

pub(crate) struct Agents;

impl Kind for Agents {
    type Line = RegisterAgentRequest;
    const MESSAGE: &str = "registry.v1.RegisterAgentRequest";
    const NAMES: &str = "agents";

    fn answered_bytes(line: &RegisterAgentRequest) -> usize {
        line.agent.as_ref().map_or(0, Message::encoded_len)
    }

    async fn make(client: &mut Client, requests: Vec<RegisterAgentRequest>) -> Result<(), Status> {
        let request = client.request(BatchRegisterAgentsRequest { requests, pass_over_existing: true }).await?;
        RegistryServiceClient::new(client.channel.clone()).batch_register_agents(request).await.map(drop)
    }

    async fn are_there(client: &mut Client) -> Result<bool, Status> {
        let request = client.request(ListAgentsRequest::default()).await?;
        let page = RegistryServiceClient::new(client.channel.clone()).list_agents(request).await?;
        Ok(!page.into_inner().agents.is_empty())
    }
}

pub(crate) struct Usage;

impl Kind for Usage {
    type Line = UsageRecord;
    const MESSAGE: &str = "meter.v1.UsageRecord";
    const NAMES: &str = "usage records";

    fn answered_bytes(_: &UsageRecord) -> usize {
        0
    }

    async fn make(client: &mut Client, records: Vec<UsageRecord>) -> Result<(), Status> {
        let request = client.request(RecordUsageRequest { records }).await?;
        MeterServiceClient::new(client.channel.clone()).record_usage(request).await.map(drop)
    }

    async fn are_there(client: &mut Client) -> Result<bool, Status> {
        let request = client.request(ListUsageRequest::default()).await?;
        let page = MeterServiceClient::new(client.channel.clone()).list_usage(request).await?;
        Ok(!page.into_inner().records.is_empty())
    }
}

pub(crate) struct Jobs;

impl Kind for Jobs {
    type Line = CreateJobRequest;
    const MESSAGE: &str = "jobs.v1.CreateJobRequest";
    const NAMES: &str = "jobs";

    fn answered_bytes(_: &CreateJobRequest) -> usize {
        0
    }

    async fn make(client: &mut Client, requests: Vec<CreateJobRequest>) -> Result<(), Status> {
        let request = client.request(BatchCreateJobsRequest { requests, pass_over_existing: true }).await?;
        JobServiceClient::new(client.channel.clone()).batch_create_jobs(request).await.map(drop)
    }

    async fn are_there(client: &mut Client) -> Result<bool, Status> {
        let request = client.request(ListJobsRequest::default()).await?;
        let page = JobServiceClient::new(client.channel.clone()).list_jobs(request).await?;
        Ok(!page.into_inner().jobs.is_empty())
    }
}
