//! The summary of `quire jobs list`: the only list with something of its own.

use client::Client;
use futures_util::TryStreamExt;
use pagination::{Walk, WalkError};
use quire_proto::jobs::v1::{GetQueueStatsRequest, JobStatus, QueueStats, job_service_client::JobServiceClient};
use serde_json::{Map, Value};

/// The method of the list that has a summary.
pub(super) const LIST_JOBS: &str = "jobs.v1.JobService.ListJobs";

/// The counts of all jobs of the workspace.
pub(super) struct Summary {
    total: i64,
    /// The number of jobs in each status.
    statuses: Vec<(String, i64)>,
}

impl Summary {
    /// Asks the server. The call is retried as that for a page.
    pub(super) async fn fetch(client: Client) -> Result<Self, WalkError> {
        let client = JobServiceClient::new(client);
        let call = move |page| {
            let mut client = client.clone();
            async move {
                let response = client.get_queue_stats(GetQueueStatsRequest { page: Some(page) }).await?.into_inner();
                Ok((vec![response.stats.unwrap_or_default()], None))
            }
        };
        let mut stats = Walk::new(call).page_size(1);
        let QueueStats { job_count, statuses, .. } = stats.try_next().await?.unwrap_or_default();
        let statuses = statuses.iter().map(|count| (word(count.status()), count.job_count));
        Ok(Self { total: job_count, statuses: statuses.collect() })
    }

    /// The lines above the table.
    pub(super) fn heading(&self, showing: &str) -> [String; 3] {
        let counts = self.statuses.iter().map(|(status, count)| format!("{status} {count}"));
        let counts = counts.collect::<Vec<_>>().join(", ");
        [format!("Total: {}", self.total), format!("Showing: {showing}"), format!("Status: {counts}")]
    }

    /// The members of the JSON document.
    pub(super) fn members(&self, displayed: u64) -> Map<String, Value> {
        let counts: Map<_, _> = self.statuses.iter().map(|(status, count)| (status.clone(), (*count).into())).collect();
        let members = [
            ("total_jobs", Value::from(self.total)),
            ("displayed_jobs", displayed.into()),
            ("status_counts", counts.into()),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn word(status: JobStatus) -> String {
    let name = status.as_str_name();
    name.strip_prefix("JOB_STATUS_").unwrap_or(name).to_ascii_lowercase()
}
