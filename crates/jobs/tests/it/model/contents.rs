//! What is sent and asked for. A job and its events follow from its id, so that writers who know nothing of each other
//! send the same.

use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::{
    prelude::RngExt,
    test_runner::{RngAlgorithm, TestRng},
};
use quire_proto::jobs::v1::{
    Job, JobEvent,
    JobEventKind::{self, Acknowledged, Completed, Failed, Retried, Skipped, Started, Submitted},
    JobOperation, JobResult, JobStatus, ListJobsRequest,
};

use crate::support::at;

/// How many events a job may have.
pub const EVENTS: usize = 8;

const TYPES: [&str; 3] = ["patch", "scan", "sync"];
const TARGETS: [&str; 3] = ["", "database", "web"];
const POLICY_TYPES: [&str; 2] = ["", "strict"];
const DATA: [&str; 2] = ["{}", r#"{"paths": [ "/etc" ]}"#];
const HOSTS: [&str; 3] = ["a", "b", "c"];
const KINDS: [JobEventKind; 9] =
    [Submitted, Acknowledged, Started, Completed, Completed, Failed, Skipped, Skipped, Retried];

/// Random numbers that follow from a seed.
#[derive(Debug, Clone)]
pub struct Dice(TestRng);

impl Dice {
    pub fn new(seed: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&hasher.finish().to_le_bytes());
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    /// One of the numbers from 0 on that are less than this.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// Whether what happens once in so many times happens now.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// Some job.
pub fn job(dice: &mut Dice) -> Job {
    Job {
        operation: Some(JobOperation { r#type: dice.pick(&TYPES).to_owned(), data: dice.pick(&DATA).to_owned() }),
        target: dice.pick(&TARGETS).to_owned(),
        priority: dice.below(3) as i32,
        policy_type: dice.pick(&POLICY_TYPES).to_owned(),
        status: JobStatus::Submitted.into(),
        ..Default::default()
    }
}

/// The job with this id that everybody means.
pub fn job_of(id: &str) -> Job {
    Job { id: id.to_owned(), ..job(&mut Dice::new(id)) }
}

/// The event of a job with this number that everybody means.
pub fn event(job_id: &str, number: usize) -> JobEvent {
    let host_count = 1 + Dice::new(job_id).below(HOSTS.len());
    let mut dice = Dice::new((job_id, number));
    let kind = dice.pick(&KINDS);
    let has_result = matches!(kind, Completed | Failed | Skipped) && !dice.once_in(4);
    JobEvent {
        id: format!("{job_id}/{number}"),
        job_id: job_id.to_owned(),
        kind: kind.into(),
        host: if dice.once_in(10) { String::new() } else { dice.pick(&HOSTS[..host_count]).to_owned() },
        message: dice.pick(&["", "on its way"]).to_owned(),
        error: if kind == Failed { format!("error {number}") } else { String::new() },
        result: has_result.then(|| JobResult {
            changed: dice.once_in(3),
            exit_status: (!dice.once_in(3)).then(|| dice.below(5) as i32 - 1),
            bytes: dice.below(1_000) as i64,
            files: dice.below(10) as i64,
        }),
        // So few that many are at the same time.
        occur_time: at(dice.below(30) as i64),
        create_time: None,
    }
}

/// Whether a writer sent the event. The service makes those of retries.
pub fn is_of_writer(event: &JobEvent) -> bool {
    event.id.contains('/')
}

/// An event with the same id and other content.
pub fn contradicting(event: &JobEvent, other_job: &str, dice: &mut Dice) -> JobEvent {
    let mut event = event.clone();
    match dice.below(4) {
        0 => event.message.push_str(", it seems"),
        1 => event.host = "d".to_owned(),
        2 => event.occur_time = at(31),
        _ => other_job.clone_into(&mut event.job_id),
    }
    event
}

/// Filters by everything but the time when a job was made.
pub fn filters() -> Vec<ListJobsRequest> {
    use JobStatus::{Completed, Failed, PartialFailure, Processing, Skipped, Submitted};
    let all = ListJobsRequest::default();
    let with =
        |statuses: &[JobStatus], operation_type: Option<&str>, target: Option<&str>, policy_type: Option<&str>| {
            ListJobsRequest {
                statuses: statuses.iter().map(|&status| status.into()).collect(),
                operation_type: operation_type.map(str::to_owned),
                target: target.map(str::to_owned),
                policy_type: policy_type.map(str::to_owned),
                ..Default::default()
            }
        };
    vec![
        all.clone(),
        with(&[Submitted], None, None, None),
        with(&[Processing], None, None, None),
        with(&[Completed], None, None, None),
        with(&[Failed], None, None, None),
        with(&[PartialFailure], None, None, None),
        with(&[Skipped], None, None, None),
        with(&[Failed, Processing, PartialFailure], None, None, None),
        with(&[], Some("sync"), None, None),
        with(&[], Some("no such"), None, None),
        with(&[], None, Some(""), None),
        with(&[], None, Some("web"), None),
        with(&[], None, None, Some("strict")),
        with(&[Failed, Completed], Some("scan"), None, None),
        with(&[Submitted, Processing], Some("patch"), Some("database"), Some("")),
        ListJobsRequest { end_time_from: at(10), ..all.clone() },
        ListJobsRequest { end_time_before: at(20), ..all },
        ListJobsRequest { end_time_from: at(10), end_time_before: at(20), ..with(&[], Some("sync"), None, None) },
    ]
}
