//! The calls in a workspace: when each began and ended, what it asked for, and what was answered.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use quire_proto::jobs::v1::{GetJobResponse, Job, JobEvent, JobEventKind::Retried};
use tonic::{Code, Status};

use crate::support::outcome;

/// When a call began and ended. No two moments are the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    pub begin: usize,
    pub end: usize,
}

impl Span {
    pub fn is_before(self, other: Self) -> bool {
        self.end < other.begin
    }

    pub fn overlaps(self, other: Self) -> bool {
        !self.is_before(other) && !other.is_before(self)
    }
}

#[derive(Debug, Clone)]
pub enum Call {
    Create(Vec<Job>),
    /// Creates jobs, of which those that exist are skipped.
    Skip(Vec<Job>),
    Delete(String),
    Retry(String),
    Append(Vec<JobEvent>),
    Get(String),
    Count,
}

#[derive(Debug, Clone)]
pub enum Answer {
    Made(Vec<String>),
    Deleted,
    Retried(Job),
    /// How many events were recorded.
    Recorded(usize),
    Got(GetJobResponse),
    /// The number of jobs, found in several ways.
    Counted([i64; 3]),
}

/// The calls that created or changed a job, as their answers show.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub made: Vec<(Span, Job)>,
    /// How many of these calls certainly made it anew.
    pub new_count: usize,
    pub deleted: Vec<Span>,
    pub retried: Vec<(Span, String)>,
    pub events: Vec<(Span, JobEvent)>,
}

impl Known {
    /// Whether the job certainly existed all the time.
    pub fn exists_during(&self, span: Span) -> bool {
        let made = self.made.iter().filter(|(made, _)| made.is_before(span)).count();
        made > self.deleted.iter().filter(|deleted| deleted.begin < span.end).count()
    }

    /// Whether the job may have existed at some time.
    pub fn may_exist_in(&self, span: Span) -> bool {
        let made = self.made.iter().filter(|(made, _)| made.begin < span.end).count();
        made > self.deleted.iter().filter(|deleted| deleted.is_before(span)).count()
    }

    /// Whether its hosts certainly stayed the same.
    pub fn has_same_hosts_during(&self, span: Span) -> bool {
        !self.events.iter().any(|(at, event)| event.kind() != Retried && at.overlaps(span))
    }

    /// Whether everything but its times and its etag certainly stayed the same.
    pub fn is_same_during(&self, span: Span) -> bool {
        self.has_same_hosts_during(span) && !self.retried.iter().any(|(at, _)| at.overlaps(span))
    }

    /// A job that exists, as it was when this began.
    pub fn before(&self, span: Span) -> GetJobResponse {
        let retried_as = self.retried.iter().find(|(at, _)| at.is_before(span)).map(|(_, id)| id.clone());
        let events = self.events.iter().filter(|(at, _)| at.is_before(span)).map(|(_, event)| event.clone());
        let job = Job { retried_as: retried_as.unwrap_or_default(), ..self.made[0].1.clone() };
        outcome::after(job, &events.collect::<Vec<_>>())
    }
}

/// What is known of a workspace.
#[derive(Debug, Default)]
pub struct History {
    pub calls: Vec<(Span, Call, Result<Answer, Code>)>,
    pub jobs: BTreeMap<String, Known>,
    /// The calls that recorded an event of this id.
    pub events: BTreeMap<String, Vec<(Span, JobEvent)>>,
    /// The ids of jobs, as they became known.
    pub ids: Vec<String>,
}

impl History {
    /// Lets others know of a job that may exist from now on.
    pub fn announce(&mut self, id: &str) {
        if !self.ids.iter().any(|other| other == id) {
            self.ids.push(id.to_owned());
        }
    }

    /// The history of a job, which is empty if no call created or changed it.
    pub fn job(&self, id: &str) -> Cow<'_, Known> {
        self.jobs.get(id).map_or_else(Cow::default, Cow::Borrowed)
    }

    fn add(&mut self, span: Span, call: Call, answer: Result<Answer, Code>) {
        match (&call, &answer) {
            (Call::Create(jobs) | Call::Skip(jobs), Ok(Answer::Made(ids))) => {
                for (job, id) in jobs.iter().zip(ids) {
                    if job.id.is_empty() {
                        self.announce(id);
                    }
                    let is_new = matches!(call, Call::Create(_)) || job.id.is_empty();
                    self.add_job(span, Job { id: id.clone(), ..job.clone() }, is_new);
                }
            }
            (Call::Delete(id), Ok(_)) => self.known(id).deleted.push(span),
            (Call::Retry(id), Ok(Answer::Retried(new))) => {
                self.announce(&new.id);
                self.add_job(span, outcome::without_times(new.clone()), true);
                self.known(id).retried.push((span, new.id.clone()));
                // The id of the service's own event is not known.
                let (job_id, kind) = (id.clone(), Retried.into());
                self.add_event(span, &JobEvent { job_id, kind, occur_time: new.create_time, ..Default::default() });
            }
            (Call::Append(events), Ok(_)) => events.iter().for_each(|event| self.add_event(span, event)),
            _ => {}
        }
        self.calls.push((span, call, answer));
    }

    fn known(&mut self, id: &str) -> &mut Known {
        self.jobs.entry(id.to_owned()).or_default()
    }

    fn add_job(&mut self, span: Span, job: Job, is_new: bool) {
        let known = self.known(&job.id);
        known.new_count += usize::from(is_new);
        known.made.push((span, job));
    }

    fn add_event(&mut self, span: Span, event: &JobEvent) {
        self.known(&event.job_id).events.push((span, event.clone()));
        self.events.entry(event.id.clone()).or_default().push((span, event.clone()));
    }
}

/// A workspace.
#[derive(Debug, Default)]
pub struct Workspace {
    pub name: &'static str,
    pub history: Mutex<History>,
    pub moment: AtomicUsize,
}

impl Workspace {
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    /// A moment that is later than all before.
    pub fn now(&self) -> usize {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }

    /// Makes a call and keeps what was answered.
    pub async fn call(&self, call: Call, answer: impl Future<Output = Result<Answer, Status>>) {
        let begin = self.now();
        let answer = answer.await;
        let span = Span { begin, end: self.now() };
        self.history().add(span, call, answer.map_err(|status| status.code()));
    }
}
