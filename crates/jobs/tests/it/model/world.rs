//! What is known of a workspace: what was asked for, what was acknowledged, and what has no answer yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};

use quire_proto::jobs::v1::{GetJobResponse, Job, JobEvent};
use tonic::{Code, Status};

use crate::support::outcome;

/// Calls that do the same: those without an answer yet, and those that were acknowledged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Calls {
    pub open: usize,
    pub done: usize,
}

impl Calls {
    pub fn all(self) -> usize {
        self.open + self.done
    }

    /// One has its answer.
    pub fn end(&mut self) {
        self.open -= 1;
        self.done += 1;
    }
}

/// What was sent under one id: one thing or, where writers contradict each other, several.
#[derive(Debug, Clone)]
pub struct Sent<T>(Vec<(T, Calls)>);

impl<T> Default for Sent<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq + Clone> Sent<T> {
    /// The calls that sent this.
    pub fn calls(&mut self, content: &T) -> &mut Calls {
        let place = self.0.iter().position(|(sent, _)| sent == content).unwrap_or_else(|| {
            self.0.push((content.clone(), Calls::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }

    /// Whether this was acknowledged.
    pub fn is_done(&self, content: &T) -> bool {
        self.0.iter().any(|(sent, calls)| sent == content && calls.done > 0)
    }

    /// What was acknowledged.
    pub fn done(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter(|(_, calls)| calls.done > 0).map(|(sent, _)| sent)
    }

    /// What may be there: it was acknowledged, or has no answer yet.
    pub fn possible(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter(|(_, calls)| calls.all() > 0).map(|(sent, _)| sent)
    }
}

/// What is known of a job.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub made: Sent<Job>,
    pub retried: Calls,
    pub deleted: Calls,
    /// Its retry, when that was acknowledged.
    pub retried_as: String,
    /// What was sent of it, whatever became of that.
    pub event_ids: BTreeSet<String>,
    /// The calls that may have changed it; those with any answer are done.
    pub changes: Calls,
}

impl Known {
    /// Whether it was there all the time since then.
    pub fn was_there(&self, before: &Self) -> bool {
        before.made.done().next().is_some() && self.deleted.all() == 0
    }

    /// Whether it may have been there at some time since then.
    pub fn may_have_been_there(&self, before: &Self) -> bool {
        self.made.possible().next().is_some() && before.deleted.done == 0
    }

    /// Whether none but so many calls that had begun then can have changed it since.
    pub fn is_unchanged(&self, before: &Self, but: usize) -> bool {
        before.changes.open == but && self.changes.all() == before.changes.all()
    }
}

/// Everything that is known of a workspace.
#[derive(Debug, Default)]
pub struct World {
    pub jobs: BTreeMap<String, Known>,
    /// The ids of jobs, as they became known.
    pub ids: Vec<String>,
    pub events: BTreeMap<String, Sent<JobEvent>>,
    /// The jobs that are made and deleted again and again: how many are there of each. They have no events.
    pub returning: BTreeMap<String, i64>,
    /// All jobs that were made, but those.
    pub made: Calls,
    /// All jobs that were deleted, but those.
    pub deleted: Calls,
    /// How many events were recorded, as the answers say.
    pub recorded_count: usize,
    /// The kinds of answers that were given, by call.
    pub answers: BTreeSet<String>,
}

impl World {
    pub fn job(&mut self, id: &str) -> &mut Known {
        self.jobs.entry(id.to_owned()).or_default()
    }

    /// The calls that sent an event.
    pub fn event(&mut self, event: &JobEvent) -> &mut Calls {
        self.job(&event.job_id).event_ids.insert(event.id.clone());
        self.events.entry(event.id.clone()).or_default().calls(event)
    }

    /// The events of a job that were acknowledged.
    pub fn events_of(&self, id: &str) -> Vec<JobEvent> {
        let sent = self.jobs[id].event_ids.iter().flat_map(|event| self.events[event].done());
        sent.filter(|event| event.job_id == id).cloned().collect()
    }

    /// A job that was acknowledged, as it is after its events.
    pub fn outcome(&self, id: &str) -> GetJobResponse {
        let Known { made, retried_as, .. } = &self.jobs[id];
        let job = made.done().next().unwrap().clone();
        outcome::after(Job { retried_as: retried_as.clone(), ..job }, &self.events_of(id))
    }

    /// The jobs that are certainly there.
    pub fn there(&self) -> impl Iterator<Item = (&String, &Known)> {
        self.jobs.iter().filter(|(_, known)| known.was_there(known))
    }

    /// Keeps what kind of answer a call got.
    pub fn note<T>(&mut self, call: &str, answer: &Result<T, Status>) {
        let code = answer.as_ref().err().map_or(Code::Ok, Status::code);
        self.answers.insert(format!("{call}: {code:?}"));
    }
}

/// A workspace.
#[derive(Debug)]
pub struct Workspace {
    pub name: &'static str,
    world: Mutex<World>,
}

impl Workspace {
    pub fn new(name: &'static str) -> Self {
        Self { name, world: Mutex::default() }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}
