//! A JobService whose answers a test decides.
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use prost::Message;
use prost_types::Timestamp;
use quire_proto::{
    jobs::v1::{
        AppendJobEventsRequest, AppendJobEventsResponse, BatchCreateJobsRequest, BatchCreateJobsResponse,
        CreateJobRequest, CreateJobResponse, DeleteJobRequest, DeleteJobResponse, GetJobRequest, GetJobResponse,
        GetQueueStatsRequest, GetQueueStatsResponse, Job, JobOperation, JobStatus, ListJobEventsRequest,
        ListJobsRequest, ListJobsResponse, OperationTypeCount, QueueStats, RetryJobRequest, RetryJobResponse,
        job_service_server::{JobService, JobServiceServer},
    },
    pagination::v1::{EncodedPage, PageRequest, PageResponse},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, transport};

/// What the service does. A test may change it at any time.
#[derive(Default)]
pub struct Script {
    pub jobs: Vec<Job>,
    pub operation_types: Vec<OperationTypeCount>,
    pub stats: QueueStats,
    /// Whether GetQueueStats leaves them out.
    pub leaves_out_stats: bool,
    /// The page of jobs for which the call fails, and its code.
    pub fails: Option<(usize, Code)>,
    /// The page of jobs whose call is not answered while this is set.
    pub hangs: Option<usize>,
    /// The calls of ListJobs.
    pub calls: Vec<ListJobsRequest>,
    /// How many of them are in flight.
    pub in_flight: usize,
    /// The number of calls of GetQueueStats.
    pub stats_calls: usize,
}

/// The service.
#[derive(Clone, Default)]
pub struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    /// Serves on an address of its own.
    pub async fn start(script: Script) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Self(Arc::new(Mutex::new(script)));
        let server = transport::Server::builder().add_service(JobServiceServer::new(service.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (service, address)
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }
}

/// An ended job of this type.
pub fn ended(operation_type: &str, policy_type: &str) -> Job {
    Job {
        operation: Some(JobOperation { r#type: operation_type.to_owned(), ..Default::default() }),
        policy_type: policy_type.to_owned(),
        status: JobStatus::Completed.into(),
        bytes: 10,
        files: 2,
        start_time: Some(Timestamp { seconds: 1_800_000_000, nanos: 500_000_000 }),
        end_time: Some(Timestamp { seconds: 1_800_000_002, nanos: 0 }),
        ..Default::default()
    }
}

/// A call in flight.
struct InFlight(Scripted);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.script().in_flight -= 1;
    }
}

/// The rows of a page, and its number and token.
fn page_of<T: Clone>(rows: &[T], page: &PageRequest) -> (usize, Vec<T>, PageResponse) {
    let number: usize = page.page_token.parse().unwrap_or_default();
    let size = usize::try_from(page.page_size).unwrap();
    let next = if rows.len() > (number + 1) * size { (number + 1).to_string() } else { String::new() };
    let rows = rows.iter().skip(number * size).take(size).cloned().collect();
    (number, rows, PageResponse { next_page_token: next, ..Default::default() })
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl JobService for Scripted {
    async fn list_jobs(&self, request: Request<ListJobsRequest>) -> Answer<EncodedPage> {
        let request = request.into_inner();
        let (number, jobs, page) = {
            let mut script = self.script();
            script.calls.push(request.clone());
            script.in_flight += 1;
            page_of(&script.jobs, &request.page.unwrap())
        };
        let _in_flight = InFlight(self.clone());
        while self.script().hangs == Some(number) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if let Some((page, code)) = self.script().fails
            && page == number
        {
            return Err(Status::new(code, "scripted"));
        }
        let response = ListJobsResponse { jobs, page: Some(page) }.encode_to_vec();
        Ok(Response::new(EncodedPage::decode(response.as_slice()).unwrap()))
    }

    async fn get_queue_stats(&self, request: Request<GetQueueStatsRequest>) -> Answer<GetQueueStatsResponse> {
        let mut script = self.script();
        script.stats_calls += 1;
        let (_, operation_types, page) = page_of(&script.operation_types, &request.into_inner().page.unwrap());
        let stats = (!script.leaves_out_stats).then(|| script.stats.clone());
        Ok(Response::new(GetQueueStatsResponse { stats, operation_types, page: Some(page) }))
    }

    async fn create_job(&self, _: Request<CreateJobRequest>) -> Answer<CreateJobResponse> {
        Err(Status::unimplemented(""))
    }

    async fn batch_create_jobs(&self, _: Request<BatchCreateJobsRequest>) -> Answer<BatchCreateJobsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn get_job(&self, _: Request<GetJobRequest>) -> Answer<GetJobResponse> {
        Err(Status::unimplemented(""))
    }

    async fn delete_job(&self, _: Request<DeleteJobRequest>) -> Answer<DeleteJobResponse> {
        Err(Status::unimplemented(""))
    }

    async fn retry_job(&self, _: Request<RetryJobRequest>) -> Answer<RetryJobResponse> {
        Err(Status::unimplemented(""))
    }

    async fn append_job_events(&self, _: Request<AppendJobEventsRequest>) -> Answer<AppendJobEventsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_job_events(&self, _: Request<ListJobEventsRequest>) -> Answer<EncodedPage> {
        Err(Status::unimplemented(""))
    }
}
