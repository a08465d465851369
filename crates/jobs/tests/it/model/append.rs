//! Recording events, with what the answer may be.

use std::collections::BTreeMap;

use quire_proto::jobs::v1::JobEvent;
use tonic::{Code, Status};

use super::world::{Known, Sent, Workspace, World};
use crate::support::{Client, append_in};

/// Records events.
pub async fn append(client: &Client, workspace: &Workspace, events: &[JobEvent]) {
    let append = Append::begin(&mut workspace.world(), events);
    let answer = append_in(client, workspace.name, events).await;
    append.end(&mut workspace.world(), answer);
}

struct Append {
    event_count: usize,
    /// The events by their ids. One that is sent twice is one.
    sent: BTreeMap<String, Sent<JobEvent>>,
    /// What was known of them.
    events_before: BTreeMap<String, Sent<JobEvent>>,
    /// What was known of their jobs.
    jobs_before: BTreeMap<String, Known>,
}

impl Append {
    fn begin(world: &mut World, events: &[JobEvent]) -> Self {
        let mut sent: BTreeMap<String, Sent<JobEvent>> = BTreeMap::new();
        events.iter().for_each(|event| sent.entry(event.id.clone()).or_default().calls(event).done = 1);
        let (mut events_before, mut jobs_before) = (BTreeMap::new(), BTreeMap::new());
        for event in sent.values().flat_map(Sent::done) {
            events_before.insert(event.id.clone(), world.events.entry(event.id.clone()).or_default().clone());
            if !jobs_before.contains_key(&event.job_id) {
                world.job(&event.job_id).changes.open += 1;
                jobs_before.insert(event.job_id.clone(), world.jobs[&event.job_id].clone());
            }
        }
        for event in sent.values().flat_map(Sent::done) {
            world.event(event).open += 1;
        }
        Self { event_count: events.len(), sent, events_before, jobs_before }
    }

    /// Each event as it was sent.
    fn events(&self) -> impl Iterator<Item = &JobEvent> {
        self.sent.values().flat_map(Sent::done)
    }

    /// Whether two of the events contradict each other.
    fn is_contradictory(&self) -> bool {
        self.sent.len() < self.events().count()
    }

    fn end(&self, world: &mut World, answer: Result<(i32, i32), Status>) {
        self.events().for_each(|event| world.event(event).open -= 1);
        self.jobs_before.keys().for_each(|id| world.job(id).changes.end());
        world.note("append", &answer);
        match answer {
            Ok((recorded_count, passed_over_count)) => {
                assert_eq!((recorded_count + passed_over_count) as usize, self.event_count);
                self.check_recorded(world, recorded_count as usize);
                world.recorded_count += recorded_count as usize;
                self.events().for_each(|event| world.event(event).done += 1);
            }
            Err(status) if status.code() == Code::AlreadyExists => {
                let is_contradicted = |event: &JobEvent| world.events[&event.id].possible().any(|other| other != event);
                assert!(self.is_contradictory() || self.events().any(is_contradicted), "{status:?}: {:?}", self.sent);
            }
            Err(status) => {
                assert_eq!(status.code(), Code::NotFound, "{status:?}: {:?}", self.sent);
                let may_be_gone = |(id, before): (&String, &Known)| !world.jobs[id].was_there(before);
                assert!(
                    !self.is_contradictory() && self.jobs_before.iter().any(may_be_gone),
                    "{status:?}: {:?}",
                    self.sent
                );
            }
        }
    }

    /// The jobs were there, nothing contradicts the events, and those are counted that were not recorded before.
    fn check_recorded(&self, world: &World, recorded_count: usize) {
        assert!(!self.is_contradictory(), "contradictory events were recorded: {:?}", self.sent);
        for (id, before) in &self.jobs_before {
            assert!(world.jobs[id].may_have_been_there(before), "{id} was not there and had events recorded");
        }
        for event in self.events() {
            let mut others = self.events_before[&event.id].done().filter(|other| *other != event);
            let is_gone =
                |other: &JobEvent| other.job_id != event.job_id && world.jobs[&other.job_id].deleted.all() > 0;
            assert!(others.all(is_gone), "{event:?} was recorded, and before that with other content");
        }
        let old = self.events().filter(|event| self.events_before[&event.id].is_done(event)).count();
        let maybe_old = |event: &&JobEvent| world.events[&event.id].possible().any(|other| other == *event);
        let possible = self.sent.len() - self.events().filter(maybe_old).count()..=self.sent.len() - old;
        assert!(possible.contains(&recorded_count), "{recorded_count} were recorded, which cannot be: {possible:?}");
    }
}
