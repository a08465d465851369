//! The service behind a real socket, on a database of the test's own, and short ways to say what it is asked.
pub mod outcome;

use jobs::Jobs;
pub use platform::testing::{from, id, page, there_and_back, told};
use platform::{Platform, testing};
use prost_types::Timestamp;
use quire_proto::{
    jobs::v1::{
        AppendJobEventsRequest, BatchCreateJobsRequest, CreateJobRequest, DeleteJobRequest, GetJobRequest,
        GetJobResponse, GetQueueStatsRequest, GetQueueStatsResponse, Job, JobEvent, JobEventKind, JobOperation,
        JobStatus, ListJobEventsRequest, ListJobsRequest, RetryJobRequest, job_service_client::JobServiceClient,
    },
    pagination::v1::PageResponse,
};
use tonic::{Status, transport::Channel};

pub type Client = JobServiceClient<Channel>;

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

/// The service on a new database.
pub async fn start() -> (Platform, Client) {
    let platform = testing::platform().await;
    let client = start_on(&platform).await;
    (platform, client)
}

/// The service on a platform that a test made.
pub async fn start_on(platform: &Platform) -> Client {
    let jobs = Jobs::open(platform).await.unwrap();
    JobServiceClient::new(testing::serve(jobs.server()).await)
}

/// A job of which nothing is given but what it must have.
pub fn of_type(operation_type: &str) -> Job {
    let operation = JobOperation { r#type: operation_type.to_owned(), ..Default::default() };
    Job { operation: Some(operation), ..Default::default() }
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

/// Makes a job, as a caller of this workspace.
pub async fn create_in(client: &Client, workspace: &str, job: &Job) -> Result<Job, Status> {
    let request = CreateJobRequest { job: Some(job.clone()) };
    Ok(client.clone().create_job(from(workspace, request)).await?.into_inner().job.unwrap())
}

/// Makes a job, as a caller of the workspace `default`.
pub async fn create(client: &Client, job: &Job) -> Result<Job, Status> {
    create_in(client, "default", job).await
}

/// A job and its hosts, as a caller of the workspace `default`.
pub async fn get(client: &Client, id: &str) -> Result<GetJobResponse, Status> {
    let request = GetJobRequest { id: id.to_owned() };
    Ok(client.clone().get_job(from("default", request)).await?.into_inner())
}

/// Deletes a job, as a caller of the workspace `default`.
pub async fn delete(client: &Client, id: &str) -> Result<(), Status> {
    let request = DeleteJobRequest { id: id.to_owned() };
    client.clone().delete_job(from("default", request)).await.map(drop)
}

/// Retries a job, as a caller of the workspace `default`.
pub async fn retry(client: &Client, id: &str) -> Result<Job, Status> {
    let request = RetryJobRequest { id: id.to_owned() };
    Ok(client.clone().retry_job(from("default", request)).await?.into_inner().job.unwrap())
}

/// Records events, as a caller of this workspace: how many were recorded, and how many passed over.
pub async fn append_in(client: &Client, workspace: &str, events: &[JobEvent]) -> Result<(i32, i32), Status> {
    let request = AppendJobEventsRequest { events: events.to_vec() };
    let response = client.clone().append_job_events(from(workspace, request)).await?.into_inner();
    Ok((response.recorded_count, response.passed_over_count))
}

/// Records events, as a caller of the workspace `default`.
pub async fn append(client: &Client, events: &[JobEvent]) -> Result<(i32, i32), Status> {
    append_in(client, "default", events).await
}

/// A page of jobs and where it stands, as a caller of this workspace.
pub async fn list_in(
    client: &Client,
    workspace: &str,
    request: &ListJobsRequest,
) -> Result<(Vec<Job>, PageResponse), Status> {
    let response = client.clone().list_jobs(from(workspace, request.clone())).await?.into_inner();
    Ok((response.jobs, response.page.unwrap()))
}

/// All jobs that a request lists, as a caller of this workspace.
pub async fn walk_in(client: &Client, workspace: &str, request: &ListJobsRequest, page_size: i32) -> Vec<Job> {
    let fetch = async |page| {
        list_in(client, workspace, &ListJobsRequest { page: Some(page), ..request.clone() }).await.unwrap()
    };
    there_and_back(page_size, fetch).await.concat()
}

/// All jobs that a request lists, as a caller of the workspace `default`.
pub async fn walk(client: &Client, request: &ListJobsRequest) -> Vec<Job> {
    walk_in(client, "default", request, 200).await
}

/// Asks for jobs in an order.
pub fn by(order_by: &str) -> ListJobsRequest {
    ListJobsRequest { order_by: order_by.to_owned(), ..Default::default() }
}

/// A page of a job's events and where it stands, as a caller of the workspace `default`.
pub async fn list_events(
    client: &Client,
    request: &ListJobEventsRequest,
) -> Result<(Vec<JobEvent>, PageResponse), Status> {
    let response = client.clone().list_job_events(from("default", request.clone())).await?.into_inner();
    Ok((response.events, response.page.unwrap()))
}

/// All events of a job, as a caller of the workspace `default`.
pub async fn events(client: &Client, job_id: &str) -> Vec<JobEvent> {
    let request = ListJobEventsRequest { job_id: job_id.to_owned(), ..Default::default() };
    let fetch =
        async |page| list_events(client, &ListJobEventsRequest { page: Some(page), ..request.clone() }).await.unwrap();
    there_and_back(200, fetch).await.concat()
}

/// The numbers of a workspace's jobs.
pub async fn stats_in(client: &Client, workspace: &str) -> GetQueueStatsResponse {
    client.clone().get_queue_stats(from(workspace, GetQueueStatsRequest::default())).await.unwrap().into_inner()
}

/// The service on a new database, by a clock that is a second later each time it is asked.
pub async fn start_ticking() -> (Platform, Client) {
    let platform = Platform { clock: testing::ticking(), ..testing::platform().await };
    let client = start_on(&platform).await;
    (platform, client)
}

/// Makes jobs, all or none, as a caller of this workspace: their ids.
pub async fn batch_in(
    client: &Client,
    workspace: &str,
    jobs: &[Job],
    pass_over_existing: bool,
) -> Result<Vec<String>, Status> {
    let requests = jobs.iter().map(|job| CreateJobRequest { job: Some(job.clone()) }).collect();
    let request = BatchCreateJobsRequest { requests, pass_over_existing };
    Ok(client.clone().batch_create_jobs(from(workspace, request)).await?.into_inner().ids)
}

/// A job and its hosts, as a caller of this workspace.
pub async fn get_in(client: &Client, workspace: &str, id: &str) -> Result<GetJobResponse, Status> {
    let request = GetJobRequest { id: id.to_owned() };
    Ok(client.clone().get_job(from(workspace, request)).await?.into_inner())
}

/// A status, as it is called for short.
pub fn status_name(status: JobStatus) -> String {
    status.as_str_name().trim_start_matches("JOB_STATUS_").to_lowercase()
}

/// The numbers of a workspace's jobs in a line, without those that are zero. They are what a full count finds.
pub async fn numbers(platform: &Platform, client: &Client, workspace: &str) -> String {
    assert_counted(platform).await;
    let GetQueueStatsResponse { stats, operation_types, .. } = stats_in(client, workspace).await;
    let stats = stats.unwrap();
    let statuses = stats.statuses.iter().filter(|count| count.job_count != 0);
    let statuses = statuses.map(|count| format!(", {} {}", count.job_count, status_name(count.status())));
    let types = operation_types.iter().map(|count| format!(", {} {}", count.job_count, count.operation_type));
    let [statuses, types] = [statuses.collect::<String>(), types.collect()];
    format!("{} jobs{statuses}, {} dead letters{types}", stats.job_count, stats.dead_letter_count)
}

/// That the counters say what a full count finds.
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
