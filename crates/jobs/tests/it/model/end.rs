//! How everything is when nobody writes any more.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{StreamExt, stream};
use platform::{Platform, testing};
use quire_proto::{
    jobs::v1::{
        DeleteJobRequest, GetJobResponse, GetQueueStatsRequest, Job, JobEvent, JobStatus, JobStatusCount,
        ListJobEventsRequest, ListJobsRequest, OperationTypeCount, QueueStats,
    },
    pagination::v1::{PageRequest, TotalCount, TotalCountPrecision},
};
use tonic::{Code, Status};

use super::{
    contents::{filters, is_of_writer, job_of},
    readers::seen_with_hosts,
    world::Workspace,
};
use crate::support::{
    Client, ORDERS, STATUSES, assert_counted, from, get_in, list_in,
    outcome::{compare, matches, moment},
    there_and_back, walk_in,
};

/// Every kind of answer was given, and no other.
pub fn check_answers(workspaces: &[Arc<Workspace>]) {
    let answers: Vec<BTreeSet<String>> = workspaces.iter().map(|workspace| workspace.world().answers.clone()).collect();
    let answers: Vec<String> = answers.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
    let expected = [
        "append: AlreadyExists",
        "append: NotFound",
        "append: Ok",
        "delete again: NotFound",
        "delete again: Ok",
        "delete: NotFound",
        "delete: Ok",
        "make Alone: AlreadyExists",
        "make Alone: Ok",
        "make Batch: AlreadyExists",
        "make Batch: Ok",
        "make PassingOver: AlreadyExists",
        "make PassingOver: Ok",
        "make again: AlreadyExists",
        "make again: Ok",
        "retry: FailedPrecondition",
        "retry: NotFound",
        "retry: Ok",
    ];
    assert_eq!(answers, expected);
}

/// Every job, event, list, total and number is as the model has it.
pub async fn check(client: &Client, platform: &Platform, workspace: &Workspace) {
    let (jobs, events) = check_jobs(client, workspace).await;
    let counts = "select (select count(*) from jobs where workspace_id = $1),
        (select count(*) from job_events where workspace_id = $1)";
    let counts: (i64, i64) =
        sqlx::query_as(counts).bind(workspace.name).fetch_one(&testing::pool(platform)).await.unwrap();
    assert_eq!(counts, (jobs.len() as i64, events as i64));
    check_recorded(workspace);
    check_lists(client, workspace, &jobs).await;
    check_stats(client, workspace, &jobs).await;
}

/// Each job by itself, and its events. Gives the jobs, and how many events they have.
async fn check_jobs(client: &Client, workspace: &Workspace) -> (Vec<Job>, usize) {
    let expected: Vec<_> = {
        let world = workspace.world();
        let lasting = world.ids.iter().map(|id| {
            let is_there = world.jobs[id].was_there(&world.jobs[id]);
            (id.clone(), is_there.then(|| (world.outcome(id), world.events_of(id))))
        });
        let returning = world.returning.iter().map(|(id, &count)| {
            assert!((0..=1).contains(&count), "{id} is there {count} times");
            let job = GetJobResponse { job: Some(job_of(id)), hosts: Vec::new() };
            (id.clone(), (count == 1).then(|| (job, Vec::new())))
        });
        lasting.chain(returning).collect()
    };
    let checks = expected.into_iter().map(|(id, expected)| async move {
        match (get(client, workspace, &id).await, expected) {
            (Ok((job, events)), Some((expected, expected_events))) => {
                assert_eq!(job, seen_with_hosts(expected, &job));
                check_events(&events, expected_events);
                Some((job.job.unwrap(), events.len()))
            }
            (Err(status), None) if status.code() == Code::NotFound => None,
            (answer, expected) => panic!("{answer:?} for {id}, and not {expected:?}"),
        }
    });
    let found: Vec<_> = stream::iter(checks).buffered(8).collect().await;
    let (jobs, counts): (Vec<Job>, Vec<usize>) = found.into_iter().flatten().unzip();
    (jobs, counts.into_iter().sum())
}

/// A job and its events; both are there or neither.
async fn get(client: &Client, workspace: &Workspace, id: &str) -> Result<(GetJobResponse, Vec<JobEvent>), Status> {
    let job = get_in(client, workspace.name, id).await;
    let request = ListJobEventsRequest { job_id: id.to_owned(), ..Default::default() };
    let events = client.clone().list_job_events(from(workspace.name, request)).await;
    assert_eq!(job.as_ref().err().map(Status::code), events.as_ref().err().map(Status::code));
    Ok((job?, events?.into_inner().events))
}

/// When they were recorded is not known beforehand, nor the id of one that the service made.
fn check_events(events: &[JobEvent], mut expected: Vec<JobEvent>) {
    expected.sort_by_key(|event| (moment(event.occur_time), event.id.clone()));
    assert!(events.iter().all(|event| event.create_time.is_some() && !event.id.is_empty()), "{events:?}");
    let known = |event: &JobEvent| {
        let id = if is_of_writer(event) { event.id.clone() } else { String::new() };
        JobEvent { id, create_time: None, ..event.clone() }
    };
    assert_eq!(events.iter().map(known).collect::<Vec<_>>(), expected.iter().map(known).collect::<Vec<_>>());
}

/// Each event was recorded once, as the answers together say.
fn check_recorded(workspace: &Workspace) {
    let world = workspace.world();
    let sent = world.events.values().flat_map(|sent| sent.done());
    let sent = sent.filter(|event| is_of_writer(event));
    assert_eq!(world.recorded_count, sent.count());
}

/// Each order under each filter, walked there and back, and each total.
async fn check_lists(client: &Client, workspace: &Workspace, jobs: &[Job]) {
    let mut jobs = jobs.to_vec();
    jobs.sort_by(|one, other| compare("create_time", one, other));
    let [from, before] = [jobs.len() / 3, jobs.len() * 2 / 3].map(|place| jobs[place].create_time);
    let made_in_between = ListJobsRequest { create_time_from: from, create_time_before: before, ..Default::default() };
    let of_a_type = ListJobsRequest { operation_type: Some("scan".to_owned()), ..made_in_between.clone() };
    for filter in filters().into_iter().chain([made_in_between, of_a_type]) {
        for order_by in ORDERS {
            let request = ListJobsRequest { order_by: order_by.to_owned(), ..filter.clone() };
            let mut expected: Vec<Job> = jobs.iter().filter(|job| matches(&request, job)).cloned().collect();
            expected.sort_by(|one, other| compare(order_by, one, other));
            let seen = walk_in(client, workspace.name, &request, 150).await;
            assert!(seen == expected, "{request:?}: {:?}, and not {:?}", ids(&seen), ids(&expected));
            assert_eq!(total(client, workspace, &request).await, expected.len() as i64, "{request:?}");
        }
    }
}

fn ids(jobs: &[Job]) -> Vec<&str> {
    jobs.iter().map(|job| job.id.as_str()).collect()
}

async fn total(client: &Client, workspace: &Workspace, request: &ListJobsRequest) -> i64 {
    let page = PageRequest { page_size: 1, total_count: TotalCount::Exact.into(), ..Default::default() };
    let request = ListJobsRequest { page: Some(page), ..request.clone() };
    let (_, page) = list_in(client, workspace.name, &request).await.unwrap();
    assert_eq!(page.total_count_precision(), TotalCountPrecision::Exact);
    page.total_count.unwrap()
}

/// The statistics, and the types of operation page by page.
async fn check_stats(client: &Client, workspace: &Workspace, jobs: &[Job]) {
    let count = |is: &dyn Fn(&Job) -> bool| jobs.iter().filter(|job| is(job)).count() as i64;
    let statuses = STATUSES
        .map(|status| JobStatusCount { status: status.into(), job_count: count(&|job| job.status() == status) });
    let is_dead =
        |job: &Job| [JobStatus::Failed, JobStatus::PartialFailure].contains(&job.status()) && job.retried_as.is_empty();
    let expected =
        QueueStats { job_count: jobs.len() as i64, statuses: statuses.to_vec(), dead_letter_count: count(&is_dead) };
    let of = |job: &Job| job.operation.clone().unwrap().r#type;
    let types: BTreeSet<String> = jobs.iter().map(of).collect();
    let expected_types: Vec<OperationTypeCount> = types
        .into_iter()
        .map(|name| OperationTypeCount { job_count: count(&|job| of(job) == name), operation_type: name })
        .collect();

    let fetch = async |page: PageRequest| {
        let page = Some(PageRequest { total_count: TotalCount::Exact.into(), ..page });
        let response = client.clone().get_queue_stats(from(workspace.name, GetQueueStatsRequest { page })).await;
        let response = response.unwrap().into_inner();
        assert_eq!(response.stats, Some(expected.clone()));
        let page = response.page.unwrap();
        assert_eq!(page.total_count, Some(expected_types.len() as i64));
        (response.operation_types, page)
    };
    assert_eq!(there_and_back(2, fetch).await.concat(), expected_types);
}

/// Deletes every job, after which there is nothing, and no total but 0.
pub async fn delete_all(client: &Client, platform: &Platform, workspace: &Workspace) {
    let jobs = walk_in(client, workspace.name, &ListJobsRequest::default(), 200).await;
    let deletions = jobs.into_iter().map(|job| {
        let request = from(workspace.name, DeleteJobRequest { id: job.id });
        async { client.clone().delete_job(request).await.unwrap() }
    });
    stream::iter(deletions).buffer_unordered(8).collect::<Vec<_>>().await;
    check_stats(client, workspace, &[]).await;
    for filter in filters() {
        assert_eq!(walk_in(client, workspace.name, &filter, 200).await, []);
        assert_eq!(total(client, workspace, &filter).await, 0, "{filter:?}");
    }
    let events = "select count(*) from job_events where workspace_id = $1";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(events).bind(workspace.name).fetch_one(&testing::pool(platform)).await.unwrap(),
        0
    );
    assert_counted(platform).await;
}
