//! The lists and statements of the service.

pub(crate) mod events;
mod hosts;
pub(crate) mod jobs;
mod stats;

pub use events::{EVENTS, event_fields};
pub use jobs::{JOBS, job_fields};
use platform::Names;
use quire_proto::jobs::v1::{JobEventKind, JobStatus};
pub use stats::OPERATION_TYPES;
pub(crate) use stats::stats;

/// The status of a job without events from hosts.
pub(crate) const SUBMITTED: &str = "submitted";
/// The status of a job while a host has not ended.
pub(crate) const PROCESSING: &str = "processing";

/// Begins a transaction that never uses sequential scans. Postgres would choose them while the tables are small, and
/// would keep such a plan until the tables are analyzed again, even if they have grown.
const BEGIN: &str = "begin; set local enable_seqscan = off";

/// The name of each status in the rows.
pub(crate) const STATUSES: Names<JobStatus> = Names {
    in_contract: JobStatus::as_str_name,
    in_service: &[
        (JobStatus::Submitted, SUBMITTED),
        (JobStatus::Processing, PROCESSING),
        (JobStatus::Completed, "completed"),
        (JobStatus::Failed, "failed"),
        (JobStatus::PartialFailure, "partial_failure"),
        (JobStatus::Skipped, "skipped"),
    ],
};

/// The name of each kind of event in the rows.
pub(crate) const KINDS: Names<JobEventKind> = Names {
    in_contract: JobEventKind::as_str_name,
    in_service: &[
        (JobEventKind::Submitted, "submitted"),
        (JobEventKind::Acknowledged, "acknowledged"),
        (JobEventKind::Started, "started"),
        (JobEventKind::Completed, "completed"),
        (JobEventKind::Failed, "failed"),
        (JobEventKind::Skipped, "skipped"),
        (JobEventKind::Retried, "retried"),
    ],
};

/// The kinds of events that end a host.
pub(crate) const ENDINGS: [&str; 3] = ["completed", "failed", "skipped"];
