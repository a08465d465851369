//! RegistryService: agents, their heartbeats, and the discovery of agents with free capacity.

mod input;
mod lists;
mod sweep;

use database::Database;
use keyset::{CatalogueError, List};
pub use lists::{AGENT, AGENTS, DISCOVERED, agent_fields};
use platform::{Caller, Error, Existing, Import, MAX_REQUEST_BYTES, Opened, Platform, Resources, Service, create};
use quire_proto::{
    pagination::v1::EncodedPage,
    registry::v1::{
        Agent, BatchRegisterAgentsRequest, BatchRegisterAgentsResponse, DeregisterAgentRequest,
        DeregisterAgentResponse, DiscoverAgentsRequest, GetAgentRequest, GetAgentResponse, HeartbeatRequest,
        HeartbeatResponse, ListAgentsRequest, RegisterAgentRequest, RegisterAgentResponse, UpdateAgentRequest,
        UpdateAgentResponse,
        registry_service_server::{RegistryService, RegistryServiceServer, SERVICE_NAME},
    },
};
use tonic::{Request, Response, Status};

use crate::{
    lists::{TAKING_WORK, agents},
    sweep::{OldAgents, SilentAgents},
};

/// The registration of the service.
pub static SERVICE: Service = Service {
    name: "registry",
    grpc_name: SERVICE_NAME,
    open: |platform| {
        Box::pin(async {
            let opened = Opened::new(Registry::open(platform).await?.server()).with_sweep(SilentAgents::default());
            Ok(match platform.retention.agents {
                Some(retention) => opened.with_sweep(OldAgents::new(retention)),
                None => opened,
            })
        })
    },
    imports: &[Import {
        noun: "agents",
        records: "agents",
        batch_method: "BatchRegisterAgents",
        list_method: "ListAgents",
        order: "id",
        samples: include_str!("../samples/agents.ndjson"),
    }],
};

/// The service.
#[derive(Debug, Clone)]
pub struct Registry {
    platform: Platform,
    database: Database,
    agents: Resources<Agent>,
    discovered: List,
}

impl Registry {
    /// Opens the service on a migrated database.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`] when the tables do not fit the service's lists.
    pub async fn open(platform: &Platform) -> Result<Self, CatalogueError> {
        Ok(Self {
            platform: platform.clone(),
            database: platform.database.clone(),
            agents: Resources::open(platform, &AGENT).await?,
            discovered: platform.paging.open(&DISCOVERED).await?,
        })
    }

    /// The service as a tonic server.
    pub fn server(self) -> RegistryServiceServer<Self> {
        RegistryServiceServer::new(self).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl RegistryService for Registry {
    async fn register_agent(&self, request: Request<RegisterAgentRequest>) -> Answer<RegisterAgentResponse> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let take_over = request.take_over;
        let new = input::new_agent(request, &caller, &self.platform)?;
        let agent = if take_over {
            agents::create_or_take_over(self, &caller, new).await?
        } else {
            create(self, &caller.workspace, std::slice::from_ref(&new), Existing::Refused).await?;
            new.agent
        };
        Ok(Response::new(RegisterAgentResponse { agent: Some(agent) }))
    }

    async fn batch_register_agents(
        &self,
        request: Request<BatchRegisterAgentsRequest>,
    ) -> Answer<BatchRegisterAgentsResponse> {
        let caller = Caller::of(&request)?;
        let BatchRegisterAgentsRequest { requests, pass_over_existing } = request.into_inner();
        let new = input::new_agents(requests, pass_over_existing, &caller, &self.platform)?;
        let existing_is = if pass_over_existing { Existing::PassedOver } else { Existing::Refused };
        let existing = create(self, &caller.workspace, &new, existing_is).await?;
        let agents = new.into_iter().zip(existing);
        let agents = agents.map(|(new, existing)| existing.unwrap_or(new.agent));
        Ok(Response::new(BatchRegisterAgentsResponse { agents: agents.collect() }))
    }

    async fn get_agent(&self, request: Request<GetAgentRequest>) -> Answer<GetAgentResponse> {
        let caller = Caller::of(&request)?;
        let agent = self.agents.get(&caller.workspace, &request.into_inner().id).await?;
        Ok(Response::new(GetAgentResponse { agent: Some(agent) }))
    }

    async fn list_agents(&self, request: Request<ListAgentsRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let status = input::status_filter(request.status)?;
        let page = self
            .agents
            .list
            .page(request.page, &request.order_by)
            .scope(caller.workspace)
            .filter("status", status)
            .filter("surface", request.surface)
            .filter("capability", request.capability)
            .filter("name", request.name)
            .fetch()
            .await?;
        Ok(Response::new(page))
    }

    async fn update_agent(&self, request: Request<UpdateAgentRequest>) -> Answer<UpdateAgentResponse> {
        let caller = Caller::of(&request)?;
        let UpdateAgentRequest { agent, update_mask } = request.into_inner();
        let agent = self.agents.update(&caller.workspace, agent, update_mask).await?;
        Ok(Response::new(UpdateAgentResponse { agent: Some(agent) }))
    }

    async fn deregister_agent(&self, request: Request<DeregisterAgentRequest>) -> Answer<DeregisterAgentResponse> {
        let caller = Caller::of(&request)?;
        self.agents.delete(&caller.workspace, &request.into_inner().id).await?;
        Ok(Response::new(DeregisterAgentResponse {}))
    }

    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Answer<HeartbeatResponse> {
        let caller = Caller::of(&request)?;
        let (id, heartbeat) = input::heartbeat(&request.into_inner())?;
        let agent = agents::record_heartbeat(self, &caller.workspace, id, &heartbeat).await?;
        let agent = agent.ok_or_else(|| Error::NotFound(self.agents.resource("id", &id.to_string())))?;
        Ok(Response::new(HeartbeatResponse { agent: Some(agent) }))
    }

    async fn discover_agents(&self, request: Request<DiscoverAgentsRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let capability = input::capability(request.capability)?;
        let page = self
            .discovered
            .page(request.page, &request.order_by)
            .scope(caller.workspace)
            .filter("status", Some(TAKING_WORK))
            .filter("capability", Some(capability))
            .fetch()
            .await?;
        Ok(Response::new(page))
    }
}
