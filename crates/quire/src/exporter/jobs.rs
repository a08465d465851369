//! The collector `jobs`: sums of the jobs that ended in the window, from ListJobs.

use std::{collections::HashMap, mem, time::SystemTime};

use client::Client;
use pagination::{Walk, WalkExt};
use prometheus::proto::MetricFamily;
use prost_types::Timestamp;
use quire_proto::jobs::v1::{Job, JobStatus, ListJobsRequest};
use tracing::{Span, field::Empty};

use super::{
    labels::{self, Labels, MAX_OPERATION_TYPES, MAX_POLICY_TYPES},
    metrics::gauges,
    reading::Source,
};

/// How many groups are in memory at most. With more, the less frequent types are summed as `other` already while the jobs
/// are read.
const MAX_GROUPS: usize = 5_000;

/// The sums of a reading, by group.
#[derive(Default)]
pub(super) struct Jobs(HashMap<Group, Totals>);

/// The labels of a series.
#[derive(PartialEq, Eq, Hash)]
struct Group {
    operation_type: String,
    policy_type: String,
    status: JobStatus,
}

#[derive(Default, Clone, Copy)]
struct Totals {
    jobs: f64,
    bytes: f64,
    files: f64,
    /// Jobs with a start time.
    timed_jobs: f64,
    seconds: f64,
    max_seconds: f64,
}

impl Source for Jobs {
    const NAME: &'static str = "jobs";
    const ROWS: &'static str = "jobs";
    type Row = Job;

    fn walk(client: Client, window_begin: SystemTime) -> Walk<Job> {
        client.walk(ListJobsRequest {
            order_by: "end_time desc".to_owned(),
            end_time_from: Some(Timestamp::from(window_begin)),
            ..Default::default()
        })
    }

    fn span() -> Span {
        tracing::debug_span!("page", otel.name = "jobs.v1.JobService/ListJobs", otel.kind = "client", jobs = Empty)
    }

    fn add(&mut self, jobs: Vec<Job>) -> usize {
        let rows = jobs.len();
        for job in jobs {
            let (totals, status) = (Totals::of(&job), job.status());
            let operation_type = job.operation.unwrap_or_default().r#type;
            let group = Group { operation_type, policy_type: job.policy_type, status };
            self.0.entry(group).or_default().add(totals);
        }
        if self.0.len() > MAX_GROUPS {
            self.fold();
        }
        rows
    }

    fn families(mut self) -> Result<Vec<MetricFamily>, &'static str> {
        self.fold();
        let groups: Vec<_> = self.0.into_iter().map(|(group, totals)| (group.labels(), totals)).collect();
        let metric = |name, help, value: fn(&Totals) -> f64| {
            gauges(name, help, groups.iter().map(|(labels, totals)| (labels.clone(), value(totals))).collect())
        };
        let families = [
            metric("quire_jobs_window_ended_jobs", "Over the window: jobs that have ended.", |totals| totals.jobs),
            metric("quire_jobs_window_bytes", "Over the window: bytes that ended jobs have processed.", |totals| {
                totals.bytes
            }),
            metric("quire_jobs_window_files", "Over the window: files that ended jobs have processed.", |totals| {
                totals.files
            }),
            metric(
                "quire_jobs_window_timed_jobs",
                "Over the window: ended jobs with a start time, so with a duration.",
                |totals| totals.timed_jobs,
            ),
            metric(
                "quire_jobs_window_duration_seconds",
                "Over the window: sum of the durations of ended jobs, each from the start of the first host to the end of the last.",
                |totals| totals.seconds,
            ),
            metric(
                "quire_jobs_window_max_duration_seconds",
                "Over the window: longest duration of an ended job.",
                |totals| totals.max_seconds,
            ),
        ];
        Ok(families.into_iter().flatten().collect())
    }
}

impl Jobs {
    /// Keeps the most frequent operation types and policy types, and sums the others as `other`.
    fn fold(&mut self) {
        let most_frequent = |name: fn(&Group) -> &str, most| {
            Labels::most_frequent(self.0.iter().map(|(group, totals)| (name(group), totals.jobs)), most)
        };
        let operation_types = most_frequent(|group| &group.operation_type, MAX_OPERATION_TYPES);
        let policy_types = most_frequent(|group| &group.policy_type, MAX_POLICY_TYPES);
        for (group, totals) in mem::take(&mut self.0) {
            let operation_type = operation_types.of(group.operation_type);
            let policy_type = policy_types.of(group.policy_type);
            self.0.entry(Group { operation_type, policy_type, ..group }).or_default().add(totals);
        }
    }
}

impl Group {
    fn labels(self) -> Vec<(&'static str, String)> {
        let Self { operation_type, policy_type, status } = self;
        vec![("operation_type", operation_type), ("policy_type", policy_type), ("status", labels::status(status))]
    }
}

impl Totals {
    fn of(job: &Job) -> Self {
        let totals = Self { jobs: 1.0, bytes: job.bytes as f64, files: job.files as f64, ..Default::default() };
        let (Some(start), Some(end)) = (&job.start_time, &job.end_time) else { return totals };
        let nanos = f64::from(end.nanos) - f64::from(start.nanos);
        let seconds = end.seconds as f64 - start.seconds as f64 + nanos / 1e9;
        // Negative if the clocks of the hosts differ.
        let seconds = seconds.max(0.0);
        Self { timed_jobs: 1.0, seconds, max_seconds: seconds, ..totals }
    }

    fn add(&mut self, other: Self) {
        self.jobs += other.jobs;
        self.bytes += other.bytes;
        self.files += other.files;
        self.timed_jobs += other.timed_jobs;
        self.seconds += other.seconds;
        self.max_seconds = self.max_seconds.max(other.max_seconds);
    }
}
