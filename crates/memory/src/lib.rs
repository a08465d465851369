//! MemoryService: memories, listed and recalled by their words.

mod input;
mod lists;
mod sweep;
pub mod words;

use database::Database;
use keyset::{CatalogueError, List, Query};
pub use lists::{MEMORIES, MEMORY, RECALLED};
use platform::{Caller, Error, Existing, Import, MAX_REQUEST_BYTES, Opened, Platform, Resources, Service, create};
use quire_proto::{
    memory::v1::{
        BatchStoreMemoriesRequest, BatchStoreMemoriesResponse, DeleteMemoryRequest, DeleteMemoryResponse,
        GetMemoryRequest, GetMemoryResponse, ListMemoriesRequest, Memory, RecallMemoriesRequest,
        RecallMemoriesResponse, StoreMemoryRequest, StoreMemoryResponse, UpdateMemoryRequest, UpdateMemoryResponse,
        memory_service_server::{MemoryService, MemoryServiceServer, SERVICE_NAME},
    },
    pagination::v1::EncodedPage,
};
use tonic::{Request, Response, Status};

use crate::{lists::memories::NewMemory, sweep::StaleWords, words::words_of};

/// The registration of the service.
pub static SERVICE: Service = Service {
    name: "memory",
    grpc_name: SERVICE_NAME,
    open: |platform| {
        Box::pin(async { Ok(Opened::new(Memories::open(platform).await?.server()).with_sweep(StaleWords::default())) })
    },
    imports: &[Import {
        noun: "memories",
        records: "memories",
        batch_method: "BatchStoreMemories",
        list_method: "ListMemories",
        order: "id",
        samples: include_str!("../samples/memories.ndjson"),
    }],
};

/// The service.
#[derive(Debug, Clone)]
pub struct Memories {
    platform: Platform,
    database: Database,
    memories: Resources<Memory>,
    recalled: List,
}

impl Memories {
    /// Opens the service on a migrated database.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`] when the tables do not fit the service's lists.
    pub async fn open(platform: &Platform) -> Result<Self, CatalogueError> {
        Ok(Self {
            platform: platform.clone(),
            database: platform.database.clone(),
            memories: Resources::open(platform, &MEMORY).await?,
            recalled: platform.paging.open(&RECALLED).await?,
        })
    }

    /// The service as a tonic server.
    pub fn server(self) -> MemoryServiceServer<Self> {
        MemoryServiceServer::new(self).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl MemoryService for Memories {
    async fn store_memory(&self, request: Request<StoreMemoryRequest>) -> Answer<StoreMemoryResponse> {
        let caller = Caller::of(&request)?;
        let mut new = [input::new_memory(request.into_inner(), &self.platform)?];
        read_words(&caller.workspace, &mut new).await?;
        create(self, &caller.workspace, &new, Existing::Refused).await?;
        let [new] = new;
        Ok(Response::new(StoreMemoryResponse { memory: Some(new.memory) }))
    }

    async fn batch_store_memories(
        &self,
        request: Request<BatchStoreMemoriesRequest>,
    ) -> Answer<BatchStoreMemoriesResponse> {
        let caller = Caller::of(&request)?;
        let BatchStoreMemoriesRequest { requests, pass_over_existing } = request.into_inner();
        let mut new = input::new_memories(requests, pass_over_existing, &self.platform)?;
        read_words(&caller.workspace, &mut new).await?;
        let existing_is = if pass_over_existing { Existing::PassedOver } else { Existing::Refused };
        create(self, &caller.workspace, &new, existing_is).await?;
        // A skipped memory has the same id.
        let ids = new.iter().map(|new| new.memory.id.clone());
        Ok(Response::new(BatchStoreMemoriesResponse { ids: ids.collect() }))
    }

    async fn get_memory(&self, request: Request<GetMemoryRequest>) -> Answer<GetMemoryResponse> {
        let caller = Caller::of(&request)?;
        let memory = self.memories.get(&caller.workspace, &request.into_inner().id).await?;
        Ok(Response::new(GetMemoryResponse { memory: Some(memory) }))
    }

    async fn list_memories(&self, request: Request<ListMemoriesRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let scope = input::scope_filter(request.scope)?;
        Ok(Response::new(query(&self.memories.list, &caller, request, scope).fetch().await?))
    }

    async fn update_memory(&self, request: Request<UpdateMemoryRequest>) -> Answer<UpdateMemoryResponse> {
        let caller = Caller::of(&request)?;
        let UpdateMemoryRequest { memory, update_mask } = request.into_inner();
        let memory = self.memories.update(&caller.workspace, memory, update_mask).await?;
        Ok(Response::new(UpdateMemoryResponse { memory: Some(memory) }))
    }

    async fn delete_memory(&self, request: Request<DeleteMemoryRequest>) -> Answer<DeleteMemoryResponse> {
        let caller = Caller::of(&request)?;
        self.memories.delete(&caller.workspace, &request.into_inner().id).await?;
        Ok(Response::new(DeleteMemoryResponse {}))
    }

    async fn recall_memories(&self, request: Request<RecallMemoriesRequest>) -> Answer<RecallMemoriesResponse> {
        let caller = Caller::of(&request)?;
        let (words, scope, request) = input::recall(request.into_inner()).await?;
        let page = query(&self.recalled, &caller, request, scope)
            .parameter("workspace", caller.workspace)
            .parameter("query", words.text)
            .fetch_messages()
            .await?;
        let omitted_words = words.omitted_words.try_into().unwrap_or(i32::MAX);
        Ok(Response::new(RecallMemoriesResponse { memories: page.rows, page: Some(page.response), omitted_words }))
    }
}

/// Reads the words of the contents.
async fn read_words(workspace: &str, new: &mut [NewMemory]) -> Result<(), Error> {
    for new in new {
        new.words = words_of(workspace, &new.memory.content).await?;
    }
    Ok(())
}

/// Queries a page of one of the lists. Both lists have the same filters.
fn query<'a>(list: &'a List, caller: &Caller, request: ListMemoriesRequest, scope: Option<&'static str>) -> Query<'a> {
    list.page(request.page, &request.order_by)
        .scope(&caller.workspace)
        .filter("agent", request.agent)
        .filter("user_id", request.user_id)
        .filter("project_id", request.project_id)
        .filter("scope", scope)
        .filter("repository", request.repository)
        .filter("type", request.r#type)
        .filter("tag", request.tag)
        .filter("pinned", request.pinned)
        .filter("policy", request.policy)
}
