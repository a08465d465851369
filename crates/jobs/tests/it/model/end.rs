//! How everything is when nobody writes any more.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use quire_proto::jobs::v1::{Job, JobEvent, JobStatus, ListJobsRequest};
use tonic::{Code, Status};

use super::history::{Known, Span, Workspace};
use crate::support::{
    Caller, STATUSES,
    outcome::{moment, plain},
    status_name,
};

/// Every job, event and count is as the model has it. Gives how many jobs and events there are.
pub async fn check(caller: &Caller, workspace: &Workspace) -> usize {
    let now = Span { begin: workspace.now(), end: workspace.now() };
    let known = workspace.history().jobs.clone();
    let checks = known.iter().map(|(id, known)| check_job(caller, id, known, now));
    let found: Vec<_> = stream::iter(checks).buffered(8).collect().await;
    let (jobs, counts): (Vec<Job>, Vec<usize>) = found.into_iter().flatten().unzip();
    let mut listed = caller.walk(&ListJobsRequest::default(), 150).await;
    listed.sort_by(|one, other| one.id.cmp(&other.id));
    assert!(listed == jobs, "the list has other jobs: {listed:?}");
    assert_eq!(caller.numbers().await, numbers(&jobs));
    jobs.len() + counts.into_iter().sum::<usize>()
}

/// A job and its events are as expected: it, and how many events it has. Both exist or neither.
async fn check_job(caller: &Caller, id: &str, known: &Known, now: Span) -> Option<(Job, usize)> {
    let (job, events) = (caller.get(id).await, caller.events(id).await);
    if !known.exists_during(now) {
        let codes = [job.err(), events.err()].map(|status| status.as_ref().map(Status::code));
        assert_eq!(codes, [Some(Code::NotFound); 2], "{id} {known:?}");
        return None;
    }
    let (job, events) = (job.unwrap(), events.unwrap());
    assert_eq!(plain(&job), known.before(now));
    let mut expected: Vec<_> = known.events.iter().map(|(_, event)| event).collect();
    expected.sort_by_key(|event| (moment(event.occur_time), &event.id));
    expected.dedup();
    assert!(events.iter().all(|event| event.create_time.is_some() && !event.id.is_empty()), "{events:?}");
    // When an event was recorded is not known beforehand, nor the id of one that the service made.
    let known = |event: &JobEvent| {
        let id = if event.id.contains('/') { event.id.clone() } else { String::new() };
        JobEvent { id, create_time: None, ..event.clone() }
    };
    assert_eq!(events.iter().map(known).collect::<Vec<_>>(), expected.into_iter().map(known).collect::<Vec<_>>());
    Some((job.job.unwrap(), events.len()))
}

/// The counts of these jobs, of which there are some of each status.
fn numbers(jobs: &[Job]) -> String {
    let count = |is: &dyn Fn(&Job) -> bool| jobs.iter().filter(|job| is(job)).count();
    let statuses = STATUSES.map(|status| format!("{} {}", count(&|job| job.status() == status), status_name(status)));
    let is_dead = |job: &Job| [JobStatus::Failed, JobStatus::PartialFailure].contains(&job.status());
    let dead = count(&|job| is_dead(job) && job.retried_as.is_empty());
    let mut types = BTreeMap::<_, usize>::new();
    jobs.iter().for_each(|job| *types.entry(&job.operation.as_ref().unwrap().r#type).or_default() += 1);
    let types: Vec<_> = types.into_iter().map(|(name, count)| format!("{count} {name}")).collect();
    format!("{} jobs, {}, {dead} dead letters, {}", jobs.len(), statuses.join(", "), types.join(", "))
}

/// Deletes every job, after which there is none.
pub async fn delete_all(caller: &Caller) {
    let jobs = caller.walk(&ListJobsRequest::default(), 200).await;
    let deletions = jobs.iter().map(async |job| caller.delete(&job.id).await.unwrap());
    stream::iter(deletions).buffer_unordered(8).collect::<Vec<_>>().await;
    assert_eq!(caller.numbers().await, "0 jobs, 0 dead letters");
}
