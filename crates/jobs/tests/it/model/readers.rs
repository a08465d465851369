//! Those who read while others write. Each gives how often it has read.

use std::{
    cmp::Ordering,
    collections::HashMap,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use platform::Platform;
use quire_proto::{
    jobs::v1::{
        GetJobResponse, Job, JobEventKind, JobHost,
        JobStatus::{Failed, PartialFailure, Processing, Submitted},
        ListJobsRequest,
    },
    pagination::v1::{PageRequest, TotalCount, TotalCountPrecision},
};
use tonic::Code;

use super::{
    contents::{Dice, filters},
    world::{Calls, Known, Workspace},
    writer::RETURNING,
};
use crate::support::{
    Client, ORDERS, assert_counted, get_in, list_in,
    outcome::{compare, matches, moment, status},
    stats_in,
};

/// Walks through lists, there and back, as long as others write.
pub async fn walk(client: Client, workspace: Arc<Workspace>, mut dice: Dice, done: Arc<AtomicBool>) -> usize {
    let mut walks = 0;
    while !done.load(Relaxed) {
        let order_by = ORDERS[walks % ORDERS.len()].to_owned();
        let filter = if dice.once_in(2) { ListJobsRequest::default() } else { dice.pick(&filters()) };
        check_walk(&client, &workspace, &mut dice, ListJobsRequest { order_by, ..filter }).await;
        walks += 1;
    }
    walks
}

/// A job that was there throughout the walk, and whose keys and filtered columns stayed the same, is seen exactly once in
/// each direction.
async fn check_walk(client: &Client, workspace: &Workspace, dice: &mut Dice, request: ListJobsRequest) {
    let there: Vec<(Job, Known)> = {
        let world = workspace.world();
        let there = world.there().map(|(id, known)| (world.outcome(id).job.unwrap(), known.clone()));
        there.filter(|(job, _)| matches(&request, job)).collect()
    };
    let there_and_back = walk_there_and_back(client, workspace, dice, &request).await;

    // These change with a job's events.
    let is_lasting = request.statuses.is_empty()
        && request.end_time_from.or(request.end_time_before).is_none()
        && request.order_by != "end_time desc";
    for seen in there_and_back {
        let mut by_id: HashMap<&str, Vec<&Job>> = HashMap::new();
        seen.iter().for_each(|job| by_id.entry(&job.id).or_default().push(job));
        assert!(!is_lasting || seen.is_sorted_by(|one, other| compare(&request.order_by, one, other).is_lt()));
        let world = workspace.world();
        for (job, before) in &there {
            let known = &world.jobs[&job.id];
            let is_unchanged = known.is_unchanged(before, 0);
            if is_unchanged || is_lasting && known.deleted.all() == 0 {
                let rows = by_id.get(job.id.as_str()).map_or(&[][..], Vec::as_slice);
                assert_eq!(rows.len(), 1, "{job:?} in {request:?}: {rows:?}");
                assert!(!is_unchanged || *rows[0] == seen_as(job.clone(), rows[0]), "{:?}, not {job:?}", rows[0]);
            }
        }
    }
}

/// A job that is expected, with what of one that was seen is not known beforehand.
pub fn seen_as(expected: Job, Job { create_time, update_time, etag, .. }: &Job) -> Job {
    assert!(moment(*create_time) <= moment(*update_time) && create_time.is_some() && !etag.is_empty());
    Job { create_time: *create_time, update_time: *update_time, etag: etag.clone(), ..expected }
}

async fn walk_there_and_back(
    client: &Client,
    workspace: &Workspace,
    dice: &mut Dice,
    request: &ListJobsRequest,
) -> [Vec<Job>; 2] {
    let mut fetch = async |page_token: String| {
        let page_size = dice.pick(&[1, 7, 40, 200, 200]);
        let page = Some(PageRequest { page_size, page_token, ..Default::default() });
        let (jobs, page) = list_in(client, workspace.name, &ListJobsRequest { page, ..request.clone() }).await.unwrap();
        let is_in_order = |one: &Job, other: &Job| compare(&request.order_by, one, other) == Ordering::Less;
        assert!(
            jobs.is_sorted_by(is_in_order) && jobs.iter().all(|job| matches(request, job)),
            "{request:?}: {jobs:?}"
        );
        (jobs, page)
    };
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let (mut jobs, mut page) = fetch(String::new()).await;
    while !page.next_page_token.is_empty() {
        there.push(jobs);
        (jobs, page) = fetch(page.next_page_token).await;
    }
    there.push(jobs.clone());
    back.push(jobs);
    while !page.previous_page_token.is_empty() {
        (jobs, page) = fetch(page.previous_page_token).await;
        back.push(jobs);
    }
    back.reverse();
    [there.concat(), back.concat()]
}

/// Reads jobs, statistics and totals, and compares the counters with the rows, as long as others write.
pub async fn read(
    client: Client,
    platform: Platform,
    workspace: Arc<Workspace>,
    mut dice: Dice,
    done: Arc<AtomicBool>,
) -> usize {
    let (mut rounds, mut seen) = (0, HashMap::new());
    while !done.load(Relaxed) {
        assert_counted(&platform).await;
        check_stats(&client, &workspace).await;
        check_total(&client, &workspace).await;
        for _ in 0..4 {
            check_job(&client, &workspace, &mut dice, &mut seen).await;
        }
        rounds += 1;
    }
    rounds
}

/// How many jobs there may have been since so many were made and deleted.
fn job_counts(workspace: &Workspace, (made_before, deleted_before): (Calls, Calls)) -> RangeInclusive<i64> {
    let world = workspace.world();
    let least = made_before.done as i64 - world.deleted.all() as i64;
    let most = world.made.all() as i64 - deleted_before.done as i64;
    least.max(0)..=most + RETURNING as i64
}

fn made_and_deleted(workspace: &Workspace) -> (Calls, Calls) {
    let world = workspace.world();
    (world.made, world.deleted)
}

async fn check_stats(client: &Client, workspace: &Workspace) {
    let before = made_and_deleted(workspace);
    let response = stats_in(client, workspace.name).await;
    let possible = job_counts(workspace, before);
    let stats = response.stats.as_ref().unwrap();
    assert!(possible.contains(&stats.job_count), "{possible:?}: {response:?}");
    assert!(stats.statuses.iter().all(|count| count.job_count >= 0), "{response:?}");
    assert_eq!(stats.statuses.iter().map(|count| count.job_count).sum::<i64>(), stats.job_count);
    let failed = stats.statuses.iter().filter(|count| [Failed, PartialFailure].contains(&count.status()));
    assert!((0..=failed.map(|count| count.job_count).sum()).contains(&stats.dead_letter_count), "{response:?}");
    let types = &response.operation_types;
    assert!(types.iter().all(|count| count.job_count > 0), "{response:?}");
    assert!(possible.contains(&types.iter().map(|count| count.job_count).sum()), "{possible:?}: {response:?}");
}

async fn check_total(client: &Client, workspace: &Workspace) {
    let before = made_and_deleted(workspace);
    let page = PageRequest { page_size: 1, total_count: TotalCount::Exact.into(), ..Default::default() };
    let request = ListJobsRequest { page: Some(page), ..Default::default() };
    let (_, page) = list_in(client, workspace.name, &request).await.unwrap();
    let possible = job_counts(workspace, before);
    assert_eq!(page.total_count_precision(), TotalCountPrecision::Exact);
    assert!(page.total_count.is_some_and(|count| possible.contains(&count)), "{possible:?}: {page:?}");
}

/// A job is as its hosts in the same answer are; one that has not changed meanwhile is as it must be.
async fn check_job(
    client: &Client,
    workspace: &Workspace,
    dice: &mut Dice,
    seen: &mut HashMap<String, GetJobResponse>,
) {
    let (id, before) = {
        let world = workspace.world();
        if world.ids.is_empty() {
            return;
        }
        let last = world.ids.len().min(30);
        let id = world.ids[world.ids.len() - 1 - dice.below(last)].clone();
        (id.clone(), world.jobs[&id].clone())
    };
    let answer = get_in(client, workspace.name, &id).await;
    let world = workspace.world();
    let known = &world.jobs[&id];
    let answer = match answer {
        Ok(answer) => answer,
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound, "{status:?} for {id}");
            assert!(!known.was_there(&before), "{status:?} for {id}");
            return;
        }
    };
    assert!(known.may_have_been_there(&before), "{answer:?} was not there");
    check_consistent(&answer);
    if known.was_there(&before) && known.is_unchanged(&before, 0) {
        assert_eq!(answer, seen_with_hosts(world.outcome(&id), &answer));
    }
    let old = seen.insert(id, answer.clone()).unwrap_or_else(|| answer.clone());
    let changes = |answer: &GetJobResponse| {
        let job = answer.job.as_ref().unwrap();
        (job.etag.clone(), moment(job.update_time))
    };
    let is_later = changes(&answer).0 != changes(&old).0 && changes(&answer).1 > changes(&old).1;
    assert!(answer == old || is_later, "{answer:?} after {old:?}");
}

/// The same with hosts.
pub fn seen_with_hosts(expected: GetJobResponse, seen: &GetJobResponse) -> GetJobResponse {
    let job = expected.job.zip(seen.job.as_ref()).map(|(expected, seen)| seen_as(expected, seen));
    GetJobResponse { job, ..expected }
}

fn check_consistent(answer: &GetJobResponse) {
    let GetJobResponse { job: Some(job), hosts } = answer else { panic!("{answer:?}") };
    let states: Vec<JobEventKind> = hosts.iter().map(JobHost::state).collect();
    assert_eq!(job.status(), status(&states), "{answer:?}");
    let start_times = hosts.iter().filter_map(|host| moment(host.start_time));
    assert_eq!(moment(job.start_time), start_times.min(), "{answer:?}");
    let end_time = hosts.iter().map(|host| moment(host.end_time)).max().flatten();
    let is_over = ![Submitted, Processing].contains(&job.status());
    assert_eq!(moment(job.end_time), end_time.filter(|_| is_over), "{answer:?}");
    assert!(hosts.iter().all(|host| host.end_time.is_some()) == is_over || hosts.is_empty(), "{answer:?}");
}
