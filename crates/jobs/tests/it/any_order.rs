//! Whatever happens to jobs, and in whatever order, grouping and repetition it is told, they come to what a plain model says.
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use crate::support::{Client, append_in, assert_counted, at, create_in, get_in, of_type, outcome, start};
use proptest::{collection::vec, option, prelude::*, sample::Index, test_runner::Config};
use quire_proto::jobs::v1::{GetJobResponse, Job, JobEvent, JobResult};
use tokio::runtime::Runtime;

const JOBS: usize = 3;

/// An event as it is drawn: of which job, its kind, host and second, and its result, if it may have one.
type Drawn = (usize, i32, usize, i64, Option<(bool, Option<i32>, i64)>);

fn drawn() -> impl Strategy<Value = Drawn> {
    let result = option::of((any::<bool>(), option::of(-1..3), 0_i64..1_000));
    // The kinds with which a host ends are as many as the others, and times are few.
    (0..JOBS, prop_oneof![1..=7_i32, 4..=6_i32], 0..4_usize, 0..6_i64, result)
}

fn event(place: usize, jobs: &[Job], (job, kind, host, second, result): Drawn) -> JobEvent {
    let result = result.filter(|_| (4..=6).contains(&kind));
    JobEvent {
        id: format!("{}", place * 7 % 30),
        job_id: jobs[job].id.clone(),
        kind,
        host: ["", "a", "b", "B"][host].into(),
        error: format!("error {place}"),
        result: result.map(|(changed, exit_status, bytes)| JobResult { changed, exit_status, bytes, files: bytes / 2 }),
        occur_time: at(second),
        ..Default::default()
    }
}

/// Records events in calls of these, and the rest of them in one more.
async fn send(client: &Client, workspace: &str, events: &[JobEvent], calls: &[Vec<Index>]) {
    let mut sent = BTreeSet::new();
    let calls = calls.iter().map(|call| call.iter().map(|index| index.index(events.len())).collect::<Vec<_>>());
    for call in calls.chain([(0..events.len()).rev().collect()]) {
        let new = call.iter().filter(|place| sent.insert(**place)).count();
        let call: Vec<_> = call.iter().map(|place| events[*place].clone()).collect();
        let counts = append_in(client, workspace, &call).await.unwrap();
        assert_eq!(counts, (new as i32, (call.len() - new) as i32));
    }
}

#[test]
fn events_come_to_the_same_in_whatever_order_grouping_and_repetition() {
    let runtime = Runtime::new().unwrap();
    let (platform, client) = runtime.block_on(start());
    let (cases, statuses) = (Cell::new(0), RefCell::new(BTreeSet::new()));
    let strategy = (vec(drawn(), 1..30), vec(vec(any::<Index>(), 1..8), 0..8));
    proptest!(Config { failure_persistence: None, ..Config::default() }, |((drawn, calls) in strategy)| {
        cases.set(cases.get() + 1);
        let workspace = format!("w{}", cases.get());
        runtime.block_on(async {
            let mut jobs = Vec::new();
            for _ in 0..JOBS {
                jobs.push(create_in(&client, &workspace, &of_type("sync")).await.unwrap());
            }
            let events = drawn.into_iter().enumerate().map(|(place, drawn)| event(place, &jobs, drawn));
            let events: Vec<_> = events.collect();
            send(&client, &workspace, &events, &calls).await;
            for job in &jobs {
                let GetJobResponse { job: kept, hosts } = get_in(&client, &workspace, &job.id).await.unwrap();
                let kept = kept.unwrap();
                statuses.borrow_mut().insert(kept.status().as_str_name());
                // When it changed, and how often, depends on the calls.
                let job = Job { etag: kept.etag.clone(), update_time: kept.update_time, ..job.clone() };
                let events: Vec<_> = events.iter().filter(|event| event.job_id == job.id).cloned().collect();
                assert_eq!(GetJobResponse { job: Some(kept), hosts }, outcome::after(job, &events));
            }
        });
    });
    assert_eq!(statuses.borrow().len(), 6, "{statuses:?}");
    runtime.block_on(assert_counted(&platform));
}
