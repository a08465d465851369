//! The calls that write, each with what its answer may be. What was acknowledged before the call was made holds for it;
//! what has no answer yet may hold.

use std::collections::BTreeMap;

use quire_proto::jobs::v1::{DeleteJobRequest, Job, JobEvent, JobEventKind, JobStatus, RetryJobRequest};
use tonic::{Code, Status};

use super::world::{Known, Workspace, World};
use crate::support::{Client, batch_in, create_in, from};

/// How jobs are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Alone,
    Batch,
    /// Those that are there already are passed over.
    PassingOver,
}

async fn try_make(client: &Client, workspace: &str, jobs: &[Job], how: How) -> Result<Vec<String>, Status> {
    match (how, jobs) {
        (How::Alone, [job]) => Ok(vec![create_in(client, workspace, job).await?.id]),
        _ => batch_in(client, workspace, jobs, how == How::PassingOver).await,
    }
}

/// Makes jobs, of which those with an id are never deleted.
pub async fn make(client: &Client, workspace: &Workspace, jobs: &[Job], how: How) {
    let given = || jobs.iter().filter(|job| !job.id.is_empty());
    let before: BTreeMap<String, Known> = {
        let mut world = workspace.world();
        world.made.open += jobs.len();
        for job in given() {
            if !world.jobs.contains_key(&job.id) {
                world.ids.push(job.id.clone());
            }
            world.job(&job.id).made.calls(job).open += 1;
        }
        given().map(|job| (job.id.clone(), world.jobs[&job.id].clone())).collect()
    };
    let answer = try_make(client, workspace.name, jobs, how).await;

    let mut world = workspace.world();
    world.made.open -= jobs.len();
    given().for_each(|job| world.job(&job.id).made.calls(job).open -= 1);
    world.note(&format!("make {how:?}"), &answer);
    match answer {
        Ok(ids) => {
            assert_eq!(ids.len(), jobs.len());
            jobs.iter().zip(ids).for_each(|(asked, id)| add_made(&mut world, asked, id, &before, how));
        }
        Err(status) if status.code() == Code::AlreadyExists => {
            let in_the_way =
                |job: &Job| world.jobs[&job.id].made.possible().any(|other| how != How::PassingOver || other != job);
            assert!(given().any(in_the_way), "{status:?} for {jobs:?}");
        }
        Err(status) => panic!("{status:?} for {jobs:?}"),
    }
}

fn add_made(world: &mut World, asked: &Job, id: String, before: &BTreeMap<String, Known>, how: How) {
    assert!(asked.id.is_empty() || asked.id == id, "{id} was made instead of {asked:?}");
    let job = Job { id: id.clone(), ..asked.clone() };
    let made = &mut world.job(&id).made;
    assert!(made.done().all(|other| *other == job), "{job:?} has the id of another");
    let was_made = before.get(&id).is_some_and(|known| known.made.is_done(&job));
    assert!(!was_made || how == How::PassingOver, "{job:?} was made twice");
    let is_first = !made.is_done(&job);
    made.calls(&job).done += 1;
    world.made.done += usize::from(is_first);
    if asked.id.is_empty() {
        world.ids.push(id);
    }
}

/// Makes jobs that come and go.
pub async fn make_again(client: &Client, workspace: &Workspace, jobs: &[Job]) {
    let answer = try_make(client, workspace.name, jobs, How::Batch).await;
    let mut world = workspace.world();
    world.note("make again", &answer);
    match answer {
        Ok(ids) => ids.into_iter().for_each(|id| *world.returning.entry(id).or_default() += 1),
        Err(status) => assert_eq!(status.code(), Code::AlreadyExists, "{status:?}"),
    }
}

/// Deletes a job that comes and goes.
pub async fn delete_again(client: &Client, workspace: &Workspace, id: &str) {
    let answer = client.clone().delete_job(from(workspace.name, DeleteJobRequest { id: id.to_owned() })).await;
    let mut world = workspace.world();
    world.note("delete again", &answer);
    match answer {
        Ok(_) => *world.returning.entry(id.to_owned()).or_default() -= 1,
        Err(status) => assert_eq!(status.code(), Code::NotFound, "{status:?}"),
    }
}

/// Deletes a job.
pub async fn delete(client: &Client, workspace: &Workspace, id: &str) {
    let before = {
        let mut world = workspace.world();
        world.deleted.open += 1;
        world.job(id).changes.open += 1;
        world.job(id).deleted.open += 1;
        world.jobs[id].clone()
    };
    let answer = client.clone().delete_job(from(workspace.name, DeleteJobRequest { id: id.to_owned() })).await;

    let mut world = workspace.world();
    world.deleted.open -= 1;
    world.note("delete", &answer);
    let known = world.job(id);
    known.changes.end();
    known.deleted.open -= 1;
    match answer {
        Ok(_) => {
            assert!(known.may_have_been_there(&before), "{id} was not there and was deleted");
            assert_eq!(known.deleted.done, 0, "{id} was deleted twice");
            known.deleted.done += 1;
            world.deleted.done += 1;
        }
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound, "{status:?} for {id}");
            assert!(!known.was_there(&before), "{status:?} for {id}");
        }
    }
}

/// Retries a job.
pub async fn retry(client: &Client, workspace: &Workspace, id: &str) {
    let before = {
        let mut world = workspace.world();
        world.made.open += 1;
        world.job(id).changes.open += 1;
        world.job(id).retried.open += 1;
        world.jobs[id].clone()
    };
    let request = RetryJobRequest { id: id.to_owned() };
    let answer = client.clone().retry_job(from(workspace.name, request)).await;
    let answer = answer.map(|response| response.into_inner().job.unwrap());

    let mut world = workspace.world();
    world.made.open -= 1;
    world.note("retry", &answer);
    let job = world.jobs[id].made.done().next().is_some().then(|| world.outcome(id).job.unwrap());
    let known = world.job(id);
    let is_over = known.is_unchanged(&before, 1).then(|| job.as_ref().is_some_and(|job| job.end_time.is_some()));
    known.changes.end();
    known.retried.open -= 1;
    match answer {
        Ok(retry) => {
            assert!(known.may_have_been_there(&before), "{id} was not there and was retried");
            assert_eq!(known.retried.done, 0, "{id} was retried twice");
            assert_ne!(is_over, Some(false), "{job:?} had not ended and was retried");
            known.retried.done += 1;
            known.retried_as.clone_from(&retry.id);
            add_retry(&mut world, id, retry);
        }
        Err(status) if status.code() == Code::FailedPrecondition => {
            assert!(is_over != Some(true) || known.retried.all() > 0, "{status:?} for {job:?}");
        }
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound, "{status:?} for {id}");
            assert!(!known.was_there(&before), "{status:?} for {id}");
        }
    }
}

fn add_retry(world: &mut World, id: &str, retry: Job) {
    let as_expected = |old: &Job| Job {
        id: retry.id.clone(),
        status: JobStatus::Submitted.into(),
        retried_from: id.to_owned(),
        ..old.clone()
    };
    let Job { create_time, update_time, ref etag, .. } = retry;
    let is_right = |job: &Job| Job { create_time, update_time, etag: etag.clone(), ..job.clone() } == retry;
    let event = JobEvent {
        // Its own id is not known, and nobody else sends this one.
        id: retry.id.clone(),
        job_id: id.to_owned(),
        kind: JobEventKind::Retried.into(),
        occur_time: create_time,
        ..Default::default()
    };
    world.event(&event).done += 1;
    // The job is there; who made it may have no answer yet.
    let job = world.jobs[id].made.possible().map(as_expected).find(is_right);
    let job = job.unwrap_or_else(|| panic!("{retry:?} is not a retry of {:?}", world.jobs[id]));
    world.job(&job.id).made.calls(&job).done += 1;
    world.made.done += 1;
    world.ids.push(job.id);
}
