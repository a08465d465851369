//! What is sent and asked for. A job and its events follow from its id, so that writers who know nothing of each other
//! send the same.

use std::hash::{DefaultHasher, Hash, Hasher};

use quire_proto::jobs::v1::{
    Job, JobEvent,
    JobEventKind::{Acknowledged, Completed, Failed, Retried, Skipped, Started, Submitted},
    JobOperation, JobResult, JobStatus,
};

use crate::support::at;

/// The ends of the ids of a job's events, whose order is that of their bytes.
const EVENTS: [&str; 8] = ["10", "9", "B", "a", "a ", "z", "é", "éa"];

/// Numbers that follow from a seed.
#[derive(Debug, Clone, Default)]
pub struct Dice(DefaultHasher);

impl Dice {
    pub fn new(seed: impl Hash) -> Self {
        let mut dice = Self::default();
        seed.hash(&mut dice.0);
        dice
    }

    /// One of the numbers from 0 on that are less than this.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.write_u8(0);
        self.0.finish() as usize % end
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
    let data = dice.pick(&["{}", r#"{"a": [ "/etc" ]}"#]).into();
    Job {
        operation: Some(JobOperation { r#type: dice.pick(&["patch", "scan", "sync"]).into(), data }),
        target: dice.pick(&["", "database", "web"]).into(),
        priority: dice.below(3) as i32,
        policy_type: dice.pick(&["", "strict"]).into(),
        status: JobStatus::Submitted.into(),
        ..Default::default()
    }
}

/// The job with this id that everybody means.
pub fn job_of(id: &str) -> Job {
    Job { id: id.to_owned(), ..job(&mut Dice::new(id)) }
}

/// An event of a job that everybody means.
pub fn event(job_id: &str, dice: &mut Dice) -> JobEvent {
    let name = dice.pick(&EVENTS);
    let host_count = 1 + Dice::new(job_id).below(3);
    let mut dice = Dice::new((job_id, name));
    let kind = dice.pick(&[Submitted, Acknowledged, Started, Completed, Completed, Failed, Skipped, Skipped, Retried]);
    let has_result = matches!(kind, Completed | Failed | Skipped) && !dice.once_in(4);
    JobEvent {
        id: format!("{job_id}/{name}"),
        job_id: job_id.to_owned(),
        kind: kind.into(),
        host: if dice.once_in(10) { String::new() } else { dice.pick(&["a", "A", "é"][..host_count]).to_owned() },
        message: dice.pick(&["", "on its way"]).to_owned(),
        error: dice.pick(&[String::new(), format!("error {name}")]),
        result: has_result.then(|| JobResult {
            changed: dice.once_in(3),
            exit_status: (!dice.once_in(3)).then(|| dice.below(5) as i32 - 1),
            bytes: dice.below(1_000) as i64,
            files: dice.below(10) as i64,
        }),
        // So few that many are at the same time.
        occur_time: at(dice.below(8) as i64),
        create_time: None,
    }
}

/// An event with the same id and other content.
pub fn contradicting(event: &JobEvent, other_job: &str, dice: &mut Dice) -> JobEvent {
    let mut event = event.clone();
    match dice.below(4) {
        0 => event.message.push_str(", it seems"),
        1 => event.host = "d".to_owned(),
        2 => event.occur_time = at(9),
        _ => other_job.clone_into(&mut event.job_id),
    }
    event
}
