//! The collector `queue`: exact counts of all jobs, from GetQueueStats.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    time::SystemTime,
};

use client::Client;
use pagination::{Walk, proto::PageRequest};
use prometheus::proto::MetricFamily;
use quire_proto::jobs::v1::{
    GetQueueStatsRequest, GetQueueStatsResponse, QueueStats, job_service_client::JobServiceClient,
};
use tracing::{Span, field::Empty};

use super::{
    labels::{self, Labels, MAX_OPERATION_TYPES},
    metrics::{gauge, gauges},
    reading::Source,
};

/// How many operation types are in memory at most. It is more than have series of their own, so that they are seldom
/// sorted.
const MAX_COUNTS: usize = 1_000;

/// The counts of a reading.
#[derive(Default)]
pub(super) struct Queue {
    /// Those of the first page.
    stats: Option<QueueStats>,
    operation_types: HashMap<String, f64>,
}

impl Source for Queue {
    const NAME: &'static str = "queue";
    const ROWS: &'static str = "operation_types";
    /// A page.
    type Row = GetQueueStatsResponse;

    fn walk(client: Client, _window_begin: SystemTime) -> Walk<GetQueueStatsResponse> {
        Walk::new(move |page: PageRequest| {
            let mut client = JobServiceClient::new(client.clone());
            async move {
                let request = GetQueueStatsRequest { page: Some(page) };
                let mut response = client.get_queue_stats(request).await?.into_inner();
                let page = response.page.take();
                Ok((vec![response], page))
            }
        })
    }

    fn span() -> Span {
        tracing::debug_span!(
            "page",
            otel.name = "jobs.v1.JobService/GetQueueStats",
            otel.kind = "client",
            operation_types = Empty
        )
    }

    fn add(&mut self, pages: Vec<GetQueueStatsResponse>) -> usize {
        let mut rows = 0;
        for page in pages {
            self.stats = self.stats.take().or(page.stats);
            rows += page.operation_types.len();
            for counted in page.operation_types {
                *self.operation_types.entry(counted.operation_type).or_default() += counted.job_count as f64;
            }
        }
        if self.operation_types.len() > MAX_COUNTS {
            self.fold();
        }
        rows
    }

    fn families(mut self) -> Result<Vec<MetricFamily>, &'static str> {
        self.fold();
        let QueueStats { statuses, dead_letter_count, .. } = self.stats.ok_or("the server's answer has no counts")?;
        // Statuses that this release does not know have the same label.
        let mut by_status = BTreeMap::<_, f64>::new();
        for counted in statuses {
            *by_status.entry(labels::status(counted.status())).or_default() += counted.job_count as f64;
        }
        let statuses = by_status.into_iter().map(|(status, jobs)| (vec![("status", status)], jobs));
        let types = self.operation_types.into_iter().map(|(name, jobs)| (vec![("operation_type", name)], jobs));
        let families = [
            gauges("quire_queue_jobs", "All jobs, by status.", statuses.collect()),
            gauges(
                "quire_queue_operation_type_jobs",
                "All jobs, by operation type: the 50 with most jobs, and the rest as other.",
                types.collect(),
            ),
            gauge(
                "quire_queue_dead_letter_jobs",
                "Jobs that have failed, partly or wholly, and were not retried.",
                dead_letter_count as f64,
            ),
        ];
        Ok(families.into_iter().flatten().collect())
    }
}

impl Queue {
    /// Keeps the operation types with most jobs. Each type comes once in a reading, so one that is left out is not among
    /// those with most jobs at the end.
    fn fold(&mut self) {
        let counts = self.operation_types.iter().map(|(name, jobs)| (name.as_str(), *jobs));
        let labels = Labels::most_frequent(counts, MAX_OPERATION_TYPES);
        for (name, jobs) in mem::take(&mut self.operation_types) {
            *self.operation_types.entry(labels.of(name)).or_default() += jobs;
        }
    }
}
