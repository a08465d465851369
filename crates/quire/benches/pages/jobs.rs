//! Jobs: their workspaces, and the calls that list jobs and record events.

use quire_proto::{
    jobs::v1::{
        AppendJobEventsRequest, BatchCreateJobsRequest, CreateJobRequest, GetQueueStatsRequest, Job, JobEvent,
        JobOperation, JobStatus, ListJobsRequest, job_service_client::JobServiceClient,
    },
    pagination::v1::{PageRequest, TotalCount, TotalCountPrecision},
};
use tonic::transport::Channel;

use crate::{
    Result,
    arguments::Arguments,
    client::in_workspace,
    server::Server,
    timing::{Stopwatch, Time},
};

/// The jobs of the smallest workspace.
pub(crate) const LEAST_JOBS: u64 = 10_000;
/// One in this many jobs has the rare status.
pub(crate) const RARE: u64 = 100_000;
/// The rare status, and its name in the database.
pub(crate) const RARE_STATUS: (JobStatus, &str) = (JobStatus::Skipped, "skipped");

/// The workspaces for writes, with and without counters.
pub(crate) const COUNTED: &str = "jobs-counted";
pub(crate) const UNCOUNTED: &str = "jobs-uncounted";

/// The maximum number of jobs that a call creates.
const BATCH: usize = 1_000;

/// A workspace that is only read.
pub(crate) struct Workspace {
    pub(crate) name: String,
    pub(crate) jobs: u64,
    /// Whether each job has three events, or none.
    pub(crate) has_events: bool,
}

/// The workspaces that are only read, from the smallest to the largest.
pub(crate) fn workspaces(arguments: &Arguments) -> Vec<Workspace> {
    let with_events = |jobs: u64| Workspace { name: format!("jobs-{jobs}-with-events"), jobs, has_events: true };
    let without = |jobs: u64| Workspace { name: format!("jobs-{jobs}"), jobs, has_events: false };
    let mut workspaces = vec![with_events(LEAST_JOBS), with_events(arguments.rows)];
    workspaces.extend(arguments.jobs.map(without));
    workspaces.sort_by_key(|workspace| workspace.jobs);
    workspaces
}

/// The workspace with 100,000 ended jobs: one in twenty jobs is being processed, except one with the rare status.
pub(crate) fn ended() -> Workspace {
    Workspace { name: "jobs-ended".to_owned(), jobs: 105_262, has_events: false }
}

/// A call that only reads.
#[derive(Debug, Clone)]
pub(crate) enum Read {
    Page(Box<ListJobsRequest>),
    Stats,
}

impl Read {
    /// A page by `create_time desc`, newest first.
    pub(crate) fn page(page_size: u64, page_token: &str, total_count: TotalCount) -> Result<Self> {
        let (page_size, total_count) = (page_size.try_into()?, total_count.into());
        let page = PageRequest { page_size, page_token: page_token.to_owned(), total_count, skip: 0 };
        Ok(Self::Page(Box::new(ListJobsRequest { page: Some(page), ..Default::default() })))
    }

    /// Whether the answer contains the exact number of jobs.
    pub(crate) fn tells_total(&self) -> bool {
        match self {
            Self::Page(request) => request.page.as_ref().is_some_and(|page| page.total_count() == TotalCount::Exact),
            Self::Stats => true,
        }
    }

    /// The first page of jobs with the rare status.
    pub(crate) fn page_of_rare(page_size: u64) -> Result<Self> {
        let page = PageRequest { page_size: page_size.try_into()?, ..Default::default() };
        let statuses = vec![RARE_STATUS.0.into()];
        Ok(Self::Page(Box::new(ListJobsRequest { page: Some(page), statuses, ..Default::default() })))
    }
}

/// The answer to a call.
pub(crate) struct Answer {
    /// How long the call took.
    pub(crate) time: Time,
    pub(crate) rows: u64,
    /// The exact number of jobs, if the answer contains it.
    pub(crate) total: Option<i64>,
    /// The token of the next page.
    pub(crate) next: String,
}

/// A caller with its own connection, and one call in flight at a time.
pub(crate) struct Jobs {
    stub: JobServiceClient<Channel>,
}

impl Jobs {
    pub(crate) async fn connect(server: &Server) -> Result<Self> {
        Ok(Self { stub: JobServiceClient::new(server.connect().await?) })
    }

    /// Makes a call that only reads.
    pub(crate) async fn read(&mut self, workspace: &str, read: &Read) -> Result<Answer> {
        match read.clone() {
            Read::Page(request) => {
                let request = in_workspace(workspace, *request)?;
                let stopwatch = Stopwatch::start();
                let response = self.stub.list_jobs(request).await?.into_inner();
                let time = stopwatch.elapsed();
                let page = response.page.unwrap_or_default();
                let total = page.total_count.filter(|_| page.total_count_precision() == TotalCountPrecision::Exact);
                Ok(Answer { time, rows: response.jobs.len().try_into()?, total, next: page.next_page_token })
            }
            Read::Stats => {
                let request = in_workspace(workspace, GetQueueStatsRequest::default())?;
                let stopwatch = Stopwatch::start();
                let response = self.stub.get_queue_stats(request).await?.into_inner();
                let time = stopwatch.elapsed();
                let total = response.stats.map(|stats| stats.job_count);
                Ok(Answer { time, rows: response.operation_types.len().try_into()?, total, next: String::new() })
            }
        }
    }

    /// Creates this many jobs, and returns their ids.
    pub(crate) async fn create(&mut self, workspace: &str, count: usize) -> Result<Vec<String>> {
        let operation = JobOperation { r#type: "deploy".to_owned(), data: r#"{"version": 7}"#.to_owned() };
        let job = Job { operation: Some(operation), target: "fleet".to_owned(), ..Default::default() };
        let mut ids = Vec::new();
        while ids.len() < count {
            let request = CreateJobRequest { job: Some(job.clone()) };
            let requests = vec![request; BATCH.min(count - ids.len())];
            let request = in_workspace(workspace, BatchCreateJobsRequest { requests, ..Default::default() })?;
            ids.extend(self.stub.batch_create_jobs(request).await?.into_inner().ids);
        }
        Ok(ids)
    }

    /// Records events, all of them new.
    pub(crate) async fn append(&mut self, workspace: &str, events: Vec<JobEvent>) -> Result<()> {
        let sent = events.len();
        let request = in_workspace(workspace, AppendJobEventsRequest { events })?;
        let recorded = self.stub.append_job_events(request).await?.into_inner().recorded_count;
        if usize::try_from(recorded)? == sent { Ok(()) } else { Err(format!("recorded {recorded} of {sent}").into()) }
    }
}
