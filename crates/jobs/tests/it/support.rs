//! The service behind a real socket, on a database of the test's own, and short ways to say what it is asked.
pub mod outcome;

use jobs::SERVICE;
pub use platform::testing::{id, there_and_back, told};
use platform::{
    Platform,
    testing::{self, Hands, from},
};
use prost_types::Timestamp;
use quire_proto::{
    jobs::v1::{
        AppendJobEventsRequest, BatchCreateJobsRequest, CreateJobRequest, DeleteJobRequest, GetJobRequest,
        GetJobResponse, GetQueueStatsRequest, GetQueueStatsResponse, Job, JobEvent, JobEventKind, JobOperation,
        JobStatus, ListJobEventsRequest, ListJobsRequest, RetryJobRequest, job_service_client::JobServiceClient,
    },
    pagination::v1::{PageRequest, PageResponse, TotalCount, TotalCountPrecision},
};
use tonic::{Response, Status, transport::Channel};

/// The orders of ListJobs, the default first.
pub const ORDERS: [&str; 4] = ["create_time desc", "create_time", "end_time desc", "priority desc, create_time"];

/// The statuses that a job can have.
pub const STATUSES: [JobStatus; 6] = [
    JobStatus::Submitted,
    JobStatus::Processing,
    JobStatus::Completed,
    JobStatus::Failed,
    JobStatus::PartialFailure,
    JobStatus::Skipped,
];

/// The service on a new database, with a caller of the workspace `default`.
pub async fn start() -> Caller {
    start_on(testing::platform().await).await
}

/// The service on a platform that a test made.
pub async fn start_on(platform: Platform) -> Caller {
    let client = JobServiceClient::new(testing::serve_on(&platform, &SERVICE).await);
    Caller { platform, client, workspace: "default" }
}

/// The service on a new database, by a clock that stands still unless the test has time pass.
pub async fn start_at_rest() -> (Caller, Hands) {
    let hands = Hands::at(1_800_000_000);
    (start_on(Platform { clock: hands.clock(), ..testing::platform().await }).await, hands)
}

/// A caller of a workspace.
#[derive(Debug, Clone)]
pub struct Caller {
    pub platform: Platform,
    client: JobServiceClient<Channel>,
    workspace: &'static str,
}

macro_rules! call {
    ($caller:ident.$method:ident($request:expr)) => {
        $caller.client.clone().$method(from($caller.workspace, $request)).await.map(Response::into_inner)
    };
}

impl Caller {
    /// A caller of another workspace.
    pub fn of(&self, workspace: &'static str) -> Self {
        Self { workspace, ..self.clone() }
    }

    pub async fn create(&self, job: &Job) -> Result<Job, Status> {
        Ok(call!(self.create_job(CreateJobRequest { job: Some(job.clone()) }))?.job.unwrap())
    }

    /// Creates jobs, all or none: their ids.
    pub async fn batch(&self, jobs: &[Job], pass_over_existing: bool) -> Result<Vec<String>, Status> {
        let requests = jobs.iter().map(|job| CreateJobRequest { job: Some(job.clone()) }).collect();
        Ok(call!(self.batch_create_jobs(BatchCreateJobsRequest { requests, pass_over_existing }))?.ids)
    }

    pub async fn get(&self, id: &str) -> Result<GetJobResponse, Status> {
        call!(self.get_job(GetJobRequest { id: id.to_owned() }))
    }

    /// A job that exists, without its hosts.
    pub async fn job(&self, id: &str) -> Job {
        self.get(id).await.unwrap().job.unwrap()
    }

    pub async fn delete(&self, id: &str) -> Result<(), Status> {
        call!(self.delete_job(DeleteJobRequest { id: id.to_owned() })).map(drop)
    }

    pub async fn retry(&self, id: &str) -> Result<Job, Status> {
        Ok(call!(self.retry_job(RetryJobRequest { id: id.to_owned() }))?.job.unwrap())
    }

    /// Records events: how many were recorded, and how many were skipped.
    pub async fn append(&self, events: &[JobEvent]) -> Result<(i32, i32), Status> {
        let response = call!(self.append_job_events(AppendJobEventsRequest { events: events.to_vec() }))?;
        Ok((response.recorded_count, response.passed_over_count))
    }

    /// The first 200 events of a job.
    pub async fn events(&self, job_id: &str) -> Result<Vec<JobEvent>, Status> {
        let page = Some(PageRequest { page_size: 200, ..Default::default() });
        let request = ListJobEventsRequest { job_id: job_id.to_owned(), page, ..Default::default() };
        Ok(call!(self.list_job_events(request))?.events)
    }

    pub async fn list(&self, request: &ListJobsRequest) -> Result<(Vec<Job>, PageResponse), Status> {
        let response = call!(self.list_jobs(request.clone()))?;
        Ok((response.jobs, response.page.unwrap()))
    }

    /// All jobs that a request lists.
    pub async fn walk(&self, request: &ListJobsRequest, page_size: i32) -> Vec<Job> {
        let fetch = async |page| self.list(&ListJobsRequest { page: Some(page), ..request.clone() }).await.unwrap();
        there_and_back(page_size, fetch).await.concat()
    }

    /// The exact number of jobs that a request lists.
    pub async fn total(&self, request: &ListJobsRequest) -> i64 {
        let page = PageRequest { page_size: 1, total_count: TotalCount::Exact.into(), ..Default::default() };
        let (_, page) = self.list(&ListJobsRequest { page: Some(page), ..request.clone() }).await.unwrap();
        assert_eq!(page.total_count_precision(), TotalCountPrecision::Exact);
        page.total_count.unwrap()
    }

    pub async fn stats(&self) -> GetQueueStatsResponse {
        call!(self.get_queue_stats(GetQueueStatsRequest::default())).unwrap()
    }

    /// The counts of the workspace's jobs in a line, without those that are zero. A full count finds the same.
    pub async fn numbers(&self) -> String {
        assert_counted(&self.platform).await;
        let GetQueueStatsResponse { stats, operation_types, .. } = self.stats().await;
        let stats = stats.unwrap();
        let statuses = stats.statuses.iter().filter(|count| count.job_count != 0);
        let statuses = statuses.map(|count| format!(", {} {}", count.job_count, status_name(count.status())));
        let types = operation_types.iter().map(|count| format!(", {} {}", count.job_count, count.operation_type));
        let [statuses, types] = [statuses.collect::<String>(), types.collect()];
        format!("{} jobs{statuses}, {} dead letters{types}", stats.job_count, stats.dead_letter_count)
    }
}

/// A short name of a status.
pub fn status_name(status: JobStatus) -> String {
    status.as_str_name().trim_start_matches("JOB_STATUS_").to_lowercase()
}

/// Holds the counters to what a full count finds.
pub async fn assert_counted(platform: &Platform) {
    let sql = "
        with counters as (
            select workspace_id, 'type' as kind, operation_type as name, false as retried, row_count
            from job_operation_type_counts
            union all select workspace_id, 'status', status, retried, row_count from job_status_counts
            union all select workspace_id, 'type', operation_type, false, -1 from jobs
            union all select workspace_id, 'status', status, retried_as is not null, -1 from jobs
        )
        select workspace_id, kind, name, retried, sum(row_count)::int8 from counters
        group by workspace_id, kind, name, retried having sum(row_count) <> 0 order by 1, 2, 3, 4";
    let pool = testing::pool(platform);
    let wrong: Vec<(String, String, String, bool, i64)> = sqlx::query_as(sql).fetch_all(&pool).await.unwrap();
    assert_eq!(wrong, [], "counters that are wrong, and by how much");
}

/// A job of which nothing is given but what it must have.
pub fn of_type(operation_type: &str) -> Job {
    let operation = JobOperation { r#type: operation_type.to_owned(), ..Default::default() };
    Job { operation: Some(operation), ..Default::default() }
}

/// The same with an id.
pub fn numbered(number: u128) -> Job {
    Job { id: id(number), ..of_type("sync") }
}

/// A time: so many seconds since the beginning of 2026.
pub fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_767_225_600 + seconds, nanos: 0 })
}

/// An event of a job on a host, so many seconds since the beginning of 2026.
pub fn event(id: &str, job: &Job, kind: JobEventKind, host: &str, seconds: i64) -> JobEvent {
    JobEvent {
        id: id.to_owned(),
        job_id: job.id.clone(),
        kind: kind.into(),
        host: host.to_owned(),
        occur_time: at(seconds),
        ..Default::default()
    }
}
