//! The lists and statements of the service.

pub(crate) mod events;
pub(crate) mod jobs;
mod stats;

pub use events::{EVENTS, event_fields};
pub use jobs::{JOBS, job_fields};
use platform::Names;
use quire_proto::jobs::v1::{JobEventKind, JobStatus};
pub use stats::OPERATION_TYPES;
pub(crate) use stats::stats;

/// How a job is that no host has told of.
pub(crate) const SUBMITTED: &str = "submitted";
/// How a job is while a host has not ended.
pub(crate) const PROCESSING: &str = "processing";

/// Begins a transaction. What it looks up it finds by an index, also where Postgres has planned it when the tables were small:
/// it keeps such a plan until the tables are analyzed again, however large they have become.
const BEGIN: &str = "begin; set local enable_seqscan = off";

/// What the rows call each status.
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

/// What the rows call each kind of event.
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

/// The kinds of events with which a host ends.
pub(crate) const ENDINGS: [&str; 3] = ["completed", "failed", "skipped"];
