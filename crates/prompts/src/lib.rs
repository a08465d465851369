//! PromptService: prompts, their versions, labels and deployments.

mod input;
mod lists;

use database::Database;
use keyset::{CatalogueError, List};
pub use lists::{DEPLOYMENTS, LABELS, PROMPT, PROMPTS, PROMPTS_WITH_LATEST_VERSION, VERSIONS, version_fields};
use platform::{
    Caller, Error, Existing, Import, MAX_REQUEST_BYTES, Opened, Platform, Resource, Resources, Service, create,
    parse_id,
};
use quire_proto::{
    pagination::v1::EncodedPage,
    prompts::v1::{
        AssignLabelRequest, AssignLabelResponse, BatchCreatePromptsRequest, BatchCreatePromptsResponse,
        CreatePromptRequest, CreatePromptResponse, CreatePromptVersionRequest, CreatePromptVersionResponse,
        DeletePromptRequest, DeletePromptResponse, GetPromptRequest, GetPromptResponse, GetPromptVersionRequest,
        GetPromptVersionResponse, ListDeploymentsRequest, ListLabelsRequest, ListPromptVersionsRequest,
        ListPromptsRequest, Prompt, RemoveLabelRequest, RemoveLabelResponse, ResolvePromptRequest,
        ResolvePromptResponse, UpdatePromptRequest, UpdatePromptResponse,
        prompt_service_server::{PromptService, PromptServiceServer, SERVICE_NAME},
    },
};

use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::lists::{
    labels,
    versions::{self, Wanted},
};

/// The registration of the service.
pub static SERVICE: Service = Service {
    name: "prompts",
    grpc_name: SERVICE_NAME,
    open: |platform| Box::pin(async { Ok(Opened::new(Prompts::open(platform).await?.server())) }),
    imports: &[Import {
        noun: "prompts",
        records: "prompts",
        batch_method: "BatchCreatePrompts",
        list_method: "ListPrompts",
        order: "id",
        samples: include_str!("../samples/prompts.ndjson"),
    }],
};

/// The service.
#[derive(Debug, Clone)]
pub struct Prompts {
    platform: Platform,
    database: Database,
    prompts: Resources<Prompt>,
    with_latest_version: List,
    versions: List,
    labels: List,
    deployments: List,
}

impl Prompts {
    /// Opens the service on a migrated database.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`] when the tables do not fit the service's lists.
    pub async fn open(platform: &Platform) -> Result<Self, CatalogueError> {
        Ok(Self {
            platform: platform.clone(),
            database: platform.database.clone(),
            prompts: Resources::open(platform, &PROMPT).await?,
            with_latest_version: platform.paging.open(&PROMPTS_WITH_LATEST_VERSION).await?,
            versions: platform.paging.open(&VERSIONS).await?,
            labels: platform.paging.open(&LABELS).await?,
            deployments: platform.paging.open(&DEPLOYMENTS).await?,
        })
    }

    /// The service as a tonic server.
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
        create(self, &caller.workspace, std::slice::from_ref(&new), Existing::Refused).await?;
        Ok(Response::new(CreatePromptResponse { prompt: Some(new.prompt), version: Some(new.version.version) }))
    }

    async fn batch_create_prompts(
        &self,
        request: Request<BatchCreatePromptsRequest>,
    ) -> Answer<BatchCreatePromptsResponse> {
        let caller = Caller::of(&request)?;
        let BatchCreatePromptsRequest { requests, pass_over_existing } = request.into_inner();
        let new = input::new_prompts(requests, pass_over_existing, &self.platform)?;
        let existing_is = if pass_over_existing { Existing::PassedOver } else { Existing::Refused };
        let existing = create(self, &caller.workspace, &new, existing_is).await?;
        let prompts = new.into_iter().zip(existing);
        let prompts = prompts.map(|(new, existing)| existing.map_or(new.prompt, |existing| existing.prompt));
        Ok(Response::new(BatchCreatePromptsResponse { prompts: prompts.collect() }))
    }

    async fn get_prompt(&self, request: Request<GetPromptRequest>) -> Answer<GetPromptResponse> {
        let caller = Caller::of(&request)?;
        let prompt = self.prompts.get(&caller.workspace, &request.into_inner().id).await?;
        Ok(Response::new(GetPromptResponse { prompt: Some(prompt) }))
    }

    async fn list_prompts(&self, request: Request<ListPromptsRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let list = if request.with_latest_version { &self.with_latest_version } else { &self.prompts.list };
        let page = list
            .page(request.page, &request.order_by)
            .scope(caller.workspace)
            .filter("surface", request.surface)
            .filter("name_prefix", request.name_prefix)
            .filter("tag", request.tag)
            .fetch()
            .await?;
        Ok(Response::new(page))
    }

    async fn update_prompt(&self, request: Request<UpdatePromptRequest>) -> Answer<UpdatePromptResponse> {
        let caller = Caller::of(&request)?;
        let UpdatePromptRequest { prompt, update_mask } = request.into_inner();
        let prompt = self.prompts.update(&caller.workspace, prompt, update_mask).await?;
        Ok(Response::new(UpdatePromptResponse { prompt: Some(prompt) }))
    }

    async fn delete_prompt(&self, request: Request<DeletePromptRequest>) -> Answer<DeletePromptResponse> {
        let caller = Caller::of(&request)?;
        self.prompts.delete(&caller.workspace, &request.into_inner().id).await?;
        Ok(Response::new(DeletePromptResponse {}))
    }

    async fn create_prompt_version(
        &self,
        request: Request<CreatePromptVersionRequest>,
    ) -> Answer<CreatePromptVersionResponse> {
        let caller = Caller::of(&request)?;
        let new = input::new_version(request.into_inner().version.unwrap_or_default(), &self.platform)?;
        let prompt_id = new.prompt_id;
        let version = versions::add(self, &caller.workspace, &new, self.platform.ids.next()).await?;
        let version = version
            .ok_or_else(|| Error::NotFound(self.prompts.resource("version.prompt_id", &prompt_id.to_string())))?;
        Ok(Response::new(CreatePromptVersionResponse { version: Some(version) }))
    }

    async fn get_prompt_version(&self, request: Request<GetPromptVersionRequest>) -> Answer<GetPromptVersionResponse> {
        let caller = Caller::of(&request)?;
        let (prompt_id, number) = input::version(&request.into_inner())?;
        let version = versions::get(self, &caller.workspace, prompt_id, number).await?;
        let version = version.ok_or_else(|| no_version(prompt_id, number))?;
        Ok(Response::new(GetPromptVersionResponse { version: Some(version) }))
    }

    async fn list_prompt_versions(&self, request: Request<ListPromptVersionsRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let prompt_id = parse_id("prompt_id", &request.prompt_id)?;
        let page = self.versions.page(request.page, &request.order_by).scope(&caller.workspace).scope(prompt_id);
        let page = page.fetch().await?;
        if page.rows.is_empty() {
            self.prompts.check_exists(&caller.workspace, "prompt_id", prompt_id).await?;
        }
        Ok(Response::new(page))
    }

    async fn assign_label(&self, request: Request<AssignLabelRequest>) -> Answer<AssignLabelResponse> {
        let caller = Caller::of(&request)?;
        let new = input::label(request.into_inner(), &self.platform)?;
        let (prompt_id, number) = (new.prompt_id, new.version);
        let label = labels::assign(self, &caller.workspace, &new).await?;
        let label = label.ok_or_else(|| no_version(prompt_id, number))?;
        Ok(Response::new(AssignLabelResponse { label: Some(label) }))
    }

    async fn remove_label(&self, request: Request<RemoveLabelRequest>) -> Answer<RemoveLabelResponse> {
        let caller = Caller::of(&request)?;
        let removal = input::removal(request.into_inner(), &self.platform)?;
        labels::remove(self, &caller.workspace, removal).await?;
        Ok(Response::new(RemoveLabelResponse {}))
    }

    async fn list_labels(&self, request: Request<ListLabelsRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let prompt_id = parse_id("prompt_id", &request.prompt_id)?;
        let page = self.labels.page(request.page, &request.order_by).scope(&caller.workspace).scope(prompt_id);
        let page = page.fetch().await?;
        if page.rows.is_empty() {
            self.prompts.check_exists(&caller.workspace, "prompt_id", prompt_id).await?;
        }
        Ok(Response::new(page))
    }

    async fn list_deployments(&self, request: Request<ListDeploymentsRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let prompt_id = request.prompt_id.map(|id| parse_id("prompt_id", &id)).transpose()?;
        let page = self
            .deployments
            .page(request.page, &request.order_by)
            .scope(caller.workspace)
            .filter("prompt_id", prompt_id)
            .filter("label", request.label)
            .fetch()
            .await?;
        Ok(Response::new(page))
    }

    async fn resolve_prompt(&self, request: Request<ResolvePromptRequest>) -> Answer<ResolvePromptResponse> {
        let caller = Caller::of(&request)?;
        let (name, wanted) = input::resolve(request.into_inner())?;
        let version = versions::resolve(self, &caller.workspace, &name, &wanted).await?;
        let version = version.ok_or_else(|| not_resolved(&name, wanted))?;
        Ok(Response::new(ResolvePromptResponse { version: Some(version) }))
    }
}

fn no_version(prompt_id: Uuid, version: i32) -> Error {
    Error::NotFound(Resource {
        kind: VERSIONS.message,
        field: "version".to_owned(),
        name: format!("{prompt_id}/{version}"),
    })
}

fn not_resolved(name: &str, wanted: Wanted) -> Error {
    let (kind, field, wanted) = match wanted {
        Wanted::Label(label) => (LABELS.message, "label", label),
        Wanted::Version(version) => (VERSIONS.message, "version", version.to_string()),
    };
    Error::NotFound(Resource { kind, field: field.to_owned(), name: format!("{name}/{wanted}") })
}
