//! Those who call: writers, who do one thing after the other, as their dice say; and readers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use platform::testing;
use quire_proto::jobs::v1::{
    Job, JobEvent,
    JobStatus::{Failed, PartialFailure},
    ListJobsRequest,
};
use tonic::Status;

use super::{
    contents::{Dice, contradicting, event, job, job_of},
    go_to_slot,
    history::{Answer, Call, Workspace},
};
use crate::support::{Caller, assert_counted};

/// How many jobs come and go.
const RETURNING: usize = 6;

/// How many of the counters' slots are used: so few that writers meet, as those may whose servers know nothing of each
/// other.
const SLOTS: usize = 2;

/// Makes so many calls.
pub async fn write(server: Caller, workspaces: [Arc<Workspace>; 2], mut dice: Dice, rounds: usize) {
    for round in 0..rounds {
        let workspace = dice.pick(&workspaces);
        let Some(call) = next(&workspace, &mut dice, round) else { continue };
        go_to_slot(&server, dice.below(SLOTS) as i32);
        workspace.call(call.clone(), send(&server.of(workspace.name), &call)).await;
    }
}

fn next(workspace: &Workspace, dice: &mut Dice, round: usize) -> Option<Call> {
    Some(match dice.below(100) {
        0..10 => Call::Create(new_jobs(workspace, dice, round, 1)),
        10..16 => Call::Create(new_jobs(workspace, dice, round, 12)),
        16..24 => Call::Skip(new_jobs(workspace, dice, round, 12)),
        24..28 => Call::Create(returning(dice)),
        28..34 => Call::Delete(returning(dice)[0].id.clone()),
        34..52 => Call::Retry(some_job(workspace, dice)?),
        52..62 => Call::Delete(some_job(workspace, dice).filter(|id| !is_shared(id))?),
        _ => Call::Append(events(workspace, dice)?),
    })
}

async fn send(caller: &Caller, call: &Call) -> Result<Answer, Status> {
    Ok(match call {
        Call::Create(jobs) if jobs.len() == 1 => Answer::Made(vec![caller.create(&jobs[0]).await?.id]),
        Call::Create(jobs) => Answer::Made(caller.batch(jobs, false).await?),
        Call::Skip(jobs) => Answer::Made(caller.batch(jobs, true).await?),
        Call::Delete(id) => caller.delete(id).await.map(|()| Answer::Deleted)?,
        Call::Retry(id) => Answer::Retried(caller.retry(id).await?),
        Call::Append(events) => {
            let (recorded, skipped) = caller.append(events).await?;
            assert_eq!((recorded + skipped) as usize, events.len());
            Answer::Recorded(recorded as usize)
        }
        Call::Get(_) | Call::Count => panic!("a writer does not read"),
    })
}

/// An id that others give as well who are about as far. Such a job is never deleted.
fn shared_id(dice: &mut Dice, round: usize) -> String {
    testing::id((1_000 + round + dice.below(12)) as u128)
}

fn is_shared(id: &str) -> bool {
    id.starts_with("00000000-")
}

fn new_jobs(workspace: &Workspace, dice: &mut Dice, round: usize, most: usize) -> Vec<Job> {
    let (is_shared_in, mut jobs) = (dice.pick(&[1, 2, 4]), Vec::<Job>::new());
    for _ in 0..1 + dice.below(most) {
        let mut job = if dice.once_in(is_shared_in) { job_of(&shared_id(dice, round)) } else { job(dice) };
        if dice.once_in(20) {
            job.priority += 10;
        }
        if job.id.is_empty() || jobs.iter().all(|other| other.id != job.id) {
            jobs.push(job);
        }
    }
    let mut history = workspace.history();
    jobs.iter().filter(|job| !job.id.is_empty()).for_each(|job| history.announce(&job.id));
    jobs
}

/// Some of the jobs that come and go, in any order.
fn returning(dice: &mut Dice) -> Vec<Job> {
    let (first, step, count) = (dice.below(RETURNING), dice.pick(&[1, RETURNING - 1]), 1 + dice.below(3));
    (0..count).map(|place| job_of(&testing::id(((first + place * step) % RETURNING) as u128))).collect()
}

/// One of the last jobs, which others are at as well, or any other.
fn some_job(workspace: &Workspace, dice: &mut Dice) -> Option<String> {
    let history = workspace.history();
    let last = dice.pick(&[6, 6, 24, usize::MAX]).min(history.ids.len());
    (last > 0).then(|| history.ids[history.ids.len() - last + dice.below(last)].clone())
}

/// Events of several jobs, in any order, some of them twice.
fn events(workspace: &Workspace, dice: &mut Dice) -> Option<Vec<JobEvent>> {
    let mut events: Vec<JobEvent> = Vec::new();
    for _ in 0..1 + dice.below(6) {
        let id = some_job(workspace, dice)?;
        events.extend((0..1 + dice.below(6)).map(|_| event(&id, dice)));
    }
    if let Some(other) = some_job(workspace, dice).filter(|_| dice.once_in(8)) {
        let place = dice.below(events.len());
        events[place] = contradicting(&events[place], &other, dice);
    }
    for place in 0..events.len() {
        let other = dice.below(events.len());
        events.swap(place, other);
    }
    Some(events)
}

/// Reads counts and jobs as long as others write. Gives how often.
pub async fn read(caller: Caller, workspace: Arc<Workspace>, mut dice: Dice, done: Arc<AtomicBool>) -> usize {
    let mut rounds = 0;
    while !done.load(Relaxed) {
        assert_counted(&caller.platform).await;
        workspace.call(Call::Count, async { Ok(Answer::Counted(count(&caller).await)) }).await;
        for _ in 0..4 {
            let ids = workspace.history().ids.clone();
            let Some(last) = ids.len().checked_sub(1) else { continue };
            let id = ids[last - dice.below(last.min(30) + 1)].clone();
            workspace.call(Call::Get(id.clone()), async { caller.get(&id).await.map(Answer::Got) }).await;
        }
        rounds += 1;
    }
    rounds
}

/// The number of jobs by the statistics, the types and the total. The statistics agree with themselves.
async fn count(caller: &Caller) -> [i64; 3] {
    let response = caller.stats().await;
    let stats = response.stats.as_ref().unwrap();
    assert_eq!(stats.statuses.iter().map(|count| count.job_count).sum::<i64>(), stats.job_count);
    let failed = stats.statuses.iter().filter(|count| [Failed, PartialFailure].contains(&count.status()));
    assert!((0..=failed.map(|count| count.job_count).sum()).contains(&stats.dead_letter_count), "{response:?}");
    assert!(response.operation_types.iter().all(|count| count.job_count > 0), "{response:?}");
    assert!(stats.statuses.iter().all(|count| count.job_count >= 0), "{response:?}");
    let by_type = response.operation_types.iter().map(|count| count.job_count).sum();
    [stats.job_count, by_type, caller.total(&ListJobsRequest::default()).await]
}
