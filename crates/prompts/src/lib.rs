//! PromptService: prompts, their versions, labels and deployments.

mod input;
mod rows;

use keyset::{CatalogueError, List};
use platform::{Caller, Error, MAX_REQUEST_BYTES, Platform, Resource};
use quire_proto::prompts::v1::{
    AssignLabelRequest, AssignLabelResponse, BatchCreatePromptsRequest, BatchCreatePromptsResponse,
    CreatePromptRequest, CreatePromptResponse, CreatePromptVersionRequest, CreatePromptVersionResponse,
    DeletePromptRequest, DeletePromptResponse, GetPromptRequest, GetPromptResponse, GetPromptVersionRequest,
    GetPromptVersionResponse, ListDeploymentsRequest, ListDeploymentsResponse, ListLabelsRequest, ListLabelsResponse,
    ListPromptVersionsRequest, ListPromptVersionsResponse, ListPromptsRequest, ListPromptsResponse,
    ResolvePromptRequest, ResolvePromptResponse, UpdatePromptRequest, UpdatePromptResponse,
    prompt_service_server::{PromptService, PromptServiceServer},
};
pub use rows::PROMPTS;
use tonic::{Request, Response, Status};

use crate::rows::PromptRow;

/// The message type of a prompt.
const PROMPT: &str = "prompts.v1.Prompt";

/// The service.
#[derive(Debug, Clone)]
pub struct Prompts {
    platform: Platform,
    prompts: List,
}

impl Prompts {
    /// Opens the service on a database that has been migrated.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`] when the database is not as the service's lists need it.
    pub async fn open(platform: &Platform) -> Result<Self, CatalogueError> {
        Ok(Self { platform: platform.clone(), prompts: platform.paging.open(&PROMPTS).await? })
    }

    /// The service as tonic serves it.
    pub fn server(self) -> PromptServiceServer<Self> {
        PromptServiceServer::new(self).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl PromptService for Prompts {
    async fn create_prompt(&self, request: Request<CreatePromptRequest>) -> Answer<CreatePromptResponse> {
        let caller = Caller::of(&request)?;
        let new = input::new_prompt(request.into_inner(), &self.platform)?;
        rows::insert(&self.platform.paging.pool, &caller.workspace, std::slice::from_ref(&new), |_| String::new())
            .await?;
        Ok(Response::new(CreatePromptResponse { prompt: Some(new.prompt.into()), version: Some(new.version.into()) }))
    }

    async fn batch_create_prompts(
        &self,
        request: Request<BatchCreatePromptsRequest>,
    ) -> Answer<BatchCreatePromptsResponse> {
        let caller = Caller::of(&request)?;
        let new = input::new_prompts(request.into_inner().requests, &self.platform)?;
        rows::insert(&self.platform.paging.pool, &caller.workspace, &new, input::request_path).await?;
        let prompts = new.into_iter().map(|new| new.prompt.into()).collect();
        Ok(Response::new(BatchCreatePromptsResponse { prompts }))
    }

    async fn get_prompt(&self, request: Request<GetPromptRequest>) -> Answer<GetPromptResponse> {
        let caller = Caller::of(&request)?;
        let GetPromptRequest { id } = request.into_inner();
        let key = input::id("id", &id)?;
        let prompt = PromptRow::get(&self.platform.paging.pool, &caller.workspace, key).await?;
        let prompt = prompt.ok_or_else(|| no_prompt(id))?;
        Ok(Response::new(GetPromptResponse { prompt: Some(prompt.into()) }))
    }

    async fn list_prompts(&self, request: Request<ListPromptsRequest>) -> Answer<ListPromptsResponse> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let page = self
            .prompts
            .page(request.page, &request.order_by)
            .scope(caller.workspace)
            .filter("surface", request.surface)
            .filter("name_prefix", request.name_prefix)
            .filter("tag", request.tag)
            .fetch::<PromptRow>()
            .await?
            .map(Into::into);
        Ok(Response::new(ListPromptsResponse { prompts: page.rows, page: Some(page.response) }))
    }

    async fn update_prompt(&self, _: Request<UpdatePromptRequest>) -> Answer<UpdatePromptResponse> {
        Err(Error::Unimplemented("UpdatePrompt").into())
    }

    async fn delete_prompt(&self, request: Request<DeletePromptRequest>) -> Answer<DeletePromptResponse> {
        let caller = Caller::of(&request)?;
        let DeletePromptRequest { id } = request.into_inner();
        let key = input::id("id", &id)?;
        let existed = PromptRow::delete(&self.platform.paging.pool, &caller.workspace, key).await?;
        if existed { Ok(Response::new(DeletePromptResponse {})) } else { Err(no_prompt(id).into()) }
    }

    async fn create_prompt_version(
        &self,
        _: Request<CreatePromptVersionRequest>,
    ) -> Answer<CreatePromptVersionResponse> {
        Err(Error::Unimplemented("CreatePromptVersion").into())
    }

    async fn get_prompt_version(&self, _: Request<GetPromptVersionRequest>) -> Answer<GetPromptVersionResponse> {
        Err(Error::Unimplemented("GetPromptVersion").into())
    }

    async fn list_prompt_versions(&self, _: Request<ListPromptVersionsRequest>) -> Answer<ListPromptVersionsResponse> {
        Err(Error::Unimplemented("ListPromptVersions").into())
    }

    async fn assign_label(&self, _: Request<AssignLabelRequest>) -> Answer<AssignLabelResponse> {
        Err(Error::Unimplemented("AssignLabel").into())
    }

    async fn list_labels(&self, _: Request<ListLabelsRequest>) -> Answer<ListLabelsResponse> {
        Err(Error::Unimplemented("ListLabels").into())
    }

    async fn list_deployments(&self, _: Request<ListDeploymentsRequest>) -> Answer<ListDeploymentsResponse> {
        Err(Error::Unimplemented("ListDeployments").into())
    }

    async fn resolve_prompt(&self, _: Request<ResolvePromptRequest>) -> Answer<ResolvePromptResponse> {
        Err(Error::Unimplemented("ResolvePrompt").into())
    }
}

fn no_prompt(id: String) -> Error {
    Error::NotFound(Resource { kind: PROMPT, field: "id".to_owned(), name: id })
}
