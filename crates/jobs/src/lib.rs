//! JobService: jobs, their events, and counts of jobs by status and operation type.

mod input;
mod lists;

use database::Database;
use keyset::{CatalogueError, List, internal_status};
pub use lists::{EVENTS, JOBS, OPERATION_TYPES, event_fields, job_fields};
use platform::{
    Caller, Error, Existing, Import, MAX_REQUEST_BYTES, Opened, Platform, Resource, Service, create, parse_id,
};
use quire_proto::{
    jobs::v1::{
        AppendJobEventsRequest, AppendJobEventsResponse, BatchCreateJobsRequest, BatchCreateJobsResponse,
        CreateJobRequest, CreateJobResponse, DeleteJobRequest, DeleteJobResponse, GetJobRequest, GetJobResponse,
        GetQueueStatsRequest, GetQueueStatsResponse, Job, ListJobEventsRequest, ListJobsRequest, RetryJobRequest,
        RetryJobResponse,
        job_service_server::{JobService, JobServiceServer, SERVICE_NAME},
    },
    pagination::v1::EncodedPage,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::lists::{jobs, stats};

/// The registration of the service.
pub static SERVICE: Service = Service {
    name: "jobs",
    grpc_name: SERVICE_NAME,
    open: |platform| Box::pin(async { Ok(Opened::new(Jobs::open(platform).await?.server())) }),
    imports: &[Import {
        noun: "jobs",
        records: "jobs",
        batch_method: "BatchCreateJobs",
        list_method: "ListJobs",
        order: "id",
        samples: include_str!("../samples/jobs.ndjson"),
    }],
};

/// The service.
#[derive(Debug, Clone)]
pub struct Jobs {
    platform: Platform,
    database: Database,
    jobs: List,
    events: List,
    operation_types: List,
}

impl Jobs {
    /// Opens the service on a migrated database.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`] when the tables do not fit the service's lists.
    pub async fn open(platform: &Platform) -> Result<Self, CatalogueError> {
        Ok(Self {
            platform: platform.clone(),
            database: platform.database.clone(),
            jobs: platform.paging.open(&JOBS).await?,
            events: platform.paging.open(&EVENTS).await?,
            operation_types: platform.paging.open(&OPERATION_TYPES).await?,
        })
    }

    /// The service as a tonic server.
    pub fn server(self) -> JobServiceServer<Self> {
        JobServiceServer::new(self).max_decoding_message_size(MAX_REQUEST_BYTES)
    }

    /// Checks that the job exists. This is called only if a page of its events is empty.
    async fn check_job(&self, workspace: &str, id: Uuid) -> Result<(), Error> {
        jobs::get(self, workspace, id).await?.map(|_: Job| ()).ok_or_else(|| no_job("job_id", id))
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl JobService for Jobs {
    async fn create_job(&self, request: Request<CreateJobRequest>) -> Answer<CreateJobResponse> {
        let caller = Caller::of(&request)?;
        let new = input::new_job(request.into_inner(), &self.platform)?;
        create(self, &caller.workspace, std::slice::from_ref(&new), Existing::Refused).await?;
        Ok(Response::new(CreateJobResponse { job: Some(new.job) }))
    }

    async fn batch_create_jobs(&self, request: Request<BatchCreateJobsRequest>) -> Answer<BatchCreateJobsResponse> {
        let caller = Caller::of(&request)?;
        let BatchCreateJobsRequest { requests, pass_over_existing } = request.into_inner();
        let new = input::new_jobs(requests, pass_over_existing, &self.platform)?;
        let existing_is = if pass_over_existing { Existing::PassedOver } else { Existing::Refused };
        create(self, &caller.workspace, &new, existing_is).await?;
        // A skipped job has the same id.
        let ids = new.iter().map(|new| new.job.id.clone());
        Ok(Response::new(BatchCreateJobsResponse { ids: ids.collect() }))
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Answer<GetJobResponse> {
        let caller = Caller::of(&request)?;
        let id = parse_id("id", &request.into_inner().id)?;
        let job = jobs::get_with_hosts(self, &caller.workspace, id).await?;
        Ok(Response::new(job.ok_or_else(|| no_job("id", id))?))
    }

    async fn list_jobs(&self, request: Request<ListJobsRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let filters = input::filters(&request)?;
        let page = self
            .jobs
            .page(request.page, &request.order_by)
            .scope(caller.workspace)
            .filter("statuses", Some(filters.statuses))
            .filter("operation_type", request.operation_type)
            .filter("target", request.target)
            .filter("policy_type", request.policy_type)
            .filter("create_time_from", filters.create_time.start)
            .filter("create_time_before", filters.create_time.end)
            .filter("end_time_from", filters.end_time.start)
            .filter("end_time_before", filters.end_time.end)
            .fetch()
            .await?;
        Ok(Response::new(page))
    }

    async fn delete_job(&self, request: Request<DeleteJobRequest>) -> Answer<DeleteJobResponse> {
        let caller = Caller::of(&request)?;
        let id = parse_id("id", &request.into_inner().id)?;
        let existed = jobs::delete(self, &caller.workspace, id).await?;
        if existed { Ok(Response::new(DeleteJobResponse {})) } else { Err(no_job("id", id).into()) }
    }

    async fn retry_job(&self, request: Request<RetryJobRequest>) -> Answer<RetryJobResponse> {
        let caller = Caller::of(&request)?;
        let retry = input::retry(&request.into_inner(), &self.platform)?;
        let Some(job) = jobs::retry(self, &caller.workspace, &retry).await? else {
            let job = jobs::get(self, &caller.workspace, retry.id).await?;
            let job = job.ok_or_else(|| no_job("id", retry.id))?;
            let why_not =
                if !job.retried_as.is_empty() { "the job was retried before" } else { "the job has not ended" };
            return Err(Error::FailedPrecondition(why_not).into());
        };
        Ok(Response::new(RetryJobResponse { job: Some(job) }))
    }

    async fn append_job_events(&self, request: Request<AppendJobEventsRequest>) -> Answer<AppendJobEventsResponse> {
        let caller = Caller::of(&request)?;
        let events = request.into_inner().events;
        let sent = events.len();
        let append = input::append(events, &self.platform)?;
        let recorded = append.run(self, &caller.workspace).await?;
        // The length of a batch fits in an i32.
        let [recorded_count, passed_over_count] = [recorded, sent - recorded].map(|count| count as i32);
        Ok(Response::new(AppendJobEventsResponse { recorded_count, passed_over_count }))
    }

    async fn list_job_events(&self, request: Request<ListJobEventsRequest>) -> Answer<EncodedPage> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let job_id = parse_id("job_id", &request.job_id)?;
        let page = self.events.page(request.page, &request.order_by).scope(&caller.workspace).scope(job_id);
        let page = page.fetch().await?;
        if page.rows.is_empty() {
            self.check_job(&caller.workspace, job_id).await?;
        }
        Ok(Response::new(page))
    }

    async fn get_queue_stats(&self, request: Request<GetQueueStatsRequest>) -> Answer<GetQueueStatsResponse> {
        let caller = Caller::of(&request)?;
        let page = self.operation_types.page(request.into_inner().page, "").scope(&caller.workspace);
        let page = page.fetch().await?;
        let stats = stats(&self.database, &caller.workspace).await?;
        Ok(Response::new(GetQueueStatsResponse {
            stats: Some(stats),
            operation_types: page.rows().map_err(|error| internal_status(&error))?,
            page: Some(page.page),
        }))
    }
}

fn no_job(field: &str, id: Uuid) -> Error {
    Error::NotFound(Resource { kind: JOBS.message, field: field.to_owned(), name: id.to_string() })
}
