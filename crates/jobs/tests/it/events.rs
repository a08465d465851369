//! AppendJobEvents and ListJobEvents: each event is recorded once, and a call whole or not at all.
use crate::support::{
    Client, append, append_in, at, create, create_in, delete, event, events, get, list_events, of_type, page, start,
    start_on, told,
};
use platform::{
    Platform,
    testing::{self, Hands},
};
use prost_types::Timestamp;
use quire_proto::{
    jobs::v1::{
        Job, JobEvent,
        JobEventKind::{Completed, Failed, Retried, Skipped, Started, Submitted},
        JobResult, JobStatus, ListJobEventsRequest,
    },
    pagination::v1::{PageRequest, TotalCount},
};
use tonic::Code;

const TABLES: [&str; 4] = ["jobs", "job_events", "job_status_counts", "job_operation_type_counts"];

async fn refusal(client: &Client, events: &[JobEvent]) -> String {
    told(&append(client, events).await.unwrap_err())
}

/// A job whose id is known.
async fn job_of(client: &Client, number: u128) -> Job {
    create(client, &Job { id: crate::support::id(number), ..of_type("sync") }).await.unwrap()
}

/// An event of which everything is given.
fn full(id: &str, job: &Job) -> JobEvent {
    JobEvent {
        message: "the message".into(),
        error: "the error".into(),
        result: Some(JobResult { changed: true, exit_status: Some(2), bytes: 3, files: 4 }),
        occur_time: Some(Timestamp { nanos: 123_456_789, ..at(7).unwrap() }),
        create_time: at(-1),
        ..event(id, job, Failed, "a", 7)
    }
}

/// An event of which nothing is given but what it must have.
fn least(id: &str, job: &Job) -> JobEvent {
    JobEvent { occur_time: None, ..event(id, job, Submitted, "", 0) }
}

#[tokio::test]
async fn an_event_comes_back_as_it_is_kept() {
    let hands = Hands::at(1_800_000_000);
    let platform = Platform { clock: hands.clock(), ..testing::platform().await };
    let client = start_on(&platform).await;
    let job = job_of(&client, 1).await;
    let in_capitals = JobEvent { job_id: "00000000-0000-0000-0000-00000000000A".into(), ..least("other", &job) };
    job_of(&client, 10).await;
    assert_eq!(append(&client, &[least("least", &job), in_capitals, full("full", &job)]).await.unwrap(), (3, 0));
    // To the microsecond, which is what the database keeps.
    let occur_time = Some(Timestamp { nanos: 123_456_000, ..at(7).unwrap() });
    let kept = JobEvent { occur_time, create_time: Some(hands.time(0)), ..full("full", &job) };
    let of_now = JobEvent { occur_time: kept.create_time, create_time: kept.create_time, ..least("least", &job) };
    assert_eq!(events(&client, &job.id).await, [kept, of_now]);
}

#[tokio::test]
async fn what_was_recorded_with_the_same_content_is_passed_over() {
    let (platform, client) = start().await;
    let job = job_of(&client, 1).await;
    assert_eq!(append(&client, &[full("a", &job), least("b", &job)]).await.unwrap(), (2, 0));
    let before = testing::rows(&platform, &TABLES[1..]).await;
    // A time is compared as it is kept, and one that is left out is not, nor what is not read.
    let same = [
        full("a", &job),
        JobEvent { occur_time: None, ..full("a", &job) },
        JobEvent { occur_time: Some(Timestamp { nanos: 123_456_000, ..at(7).unwrap() }), ..full("a", &job) },
        JobEvent { create_time: None, ..full("a", &job) },
        least("b", &job),
    ];
    for event in &same {
        assert_eq!(append(&client, std::slice::from_ref(event)).await.unwrap(), (0, 1), "{event:?}");
    }
    assert_eq!(append(&client, &same).await.unwrap(), (0, 5));
    assert_eq!(testing::rows(&platform, &TABLES[1..]).await, before);
    // What is new beside it is recorded.
    assert_eq!(append(&client, &[least("c", &job), full("a", &job), least("0", &job)]).await.unwrap(), (2, 1));
    assert_eq!(events(&client, &job.id).await.len(), 4);
}

#[tokio::test]
async fn what_was_recorded_with_other_content_is_in_the_way() {
    let (platform, client) = start().await;
    let [job, other] = [job_of(&client, 1).await, job_of(&client, 2).await];
    append(&client, &[full("a", &job)]).await.unwrap();
    let before = testing::rows(&platform, &TABLES).await;
    let changes: [fn(&mut JobEvent); 11] = [
        |event| event.job_id = crate::support::id(2),
        |event| event.kind = Completed.into(),
        |event| event.host.clear(),
        |event| event.message.clear(),
        |event| event.error.push('x'),
        |event| event.result = None,
        |event| event.result.as_mut().unwrap().changed = false,
        |event| event.result.as_mut().unwrap().exit_status = None,
        |event| event.result.as_mut().unwrap().bytes += 1,
        |event| event.result.as_mut().unwrap().files += 1,
        |event| event.occur_time = Some(Timestamp { nanos: 123_457_000, ..at(7).unwrap() }),
    ];
    let mut answers = Vec::new();
    for change in changes {
        let mut changed = full("a", &job);
        change(&mut changed);
        // Whether it was recorded before, or stands earlier in the call.
        answers.push(refusal(&client, &[least("new", &job), least("newer", &other), changed.clone()]).await);
        let changed = JobEvent { id: "b".into(), ..changed };
        answers.push(refusal(&client, &[least("new", &other), full("b", &job), changed]).await);
    }
    answers.sort();
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @r#"
    AlreadyExists: jobs.v1.JobEvent with events[2].id "a" already exists
      ALREADY_EXISTS of quire {"field": "events[2].id"}
      jobs.v1.JobEvent "a"
    AlreadyExists: jobs.v1.JobEvent with events[2].id "b" already exists
      ALREADY_EXISTS of quire {"field": "events[2].id"}
      jobs.v1.JobEvent "b"
    "#);
    assert_eq!(testing::rows(&platform, &TABLES).await, before);
}

#[tokio::test]
async fn what_stands_twice_in_a_call_is_recorded_once() {
    let (_platform, client) = start().await;
    let job = job_of(&client, 1).await;
    let left_out = JobEvent { occur_time: None, ..full("a", &job) };
    let call = [full("a", &job), least("b", &job), left_out.clone(), full("a", &job), least("b", &job)];
    assert_eq!(append(&client, &call).await.unwrap(), (2, 3));
    // The first is recorded now, which is not when the second says.
    let [left_out, second] = [left_out, full("a", &job)].map(|event| JobEvent { id: "c".into(), ..event });
    assert_eq!(append(&client, &[left_out, second]).await.unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(events(&client, &job.id).await.len(), 2);
}

#[tokio::test]
async fn ids_are_unique_in_a_workspace_and_not_beyond_it() {
    let (_platform, client) = start().await;
    let job = job_of(&client, 1).await;
    create_in(&client, "other", &job).await.unwrap();
    for workspace in ["default", "other"] {
        assert_eq!(append_in(&client, workspace, &[full("a", &job), full("b", &job)]).await.unwrap(), (2, 0));
    }
    // With its job an event is gone, and its id is free.
    let other = job_of(&client, 2).await;
    delete(&client, &job.id).await.unwrap();
    assert_eq!(append(&client, &[full("a", &other)]).await.unwrap(), (1, 0));
}

#[tokio::test]
async fn one_job_that_is_gone_and_nothing_is_recorded() {
    let (platform, client) = start().await;
    let [job, gone] = [job_of(&client, 1).await, job_of(&client, 2).await];
    create_in(&client, "other", &gone).await.unwrap();
    append(&client, &[least("of the gone", &gone), least("there", &job)]).await.unwrap();
    delete(&client, &gone.id).await.unwrap();
    let before = testing::rows(&platform, &TABLES).await;
    let call = [
        event("1", &job, Started, "a", 1),
        event("2", &job, Completed, "a", 2),
        event("3", &gone, Started, "a", 1),
        event("4", &job, Completed, "b", 1),
        event("5", &gone, Started, "b", 1),
    ];
    insta::assert_snapshot!(refusal(&client, &call).await, @r#"
    NotFound: jobs.v1.Job with events[2].job_id "00000000-0000-0000-0000-000000000002" does not exist
      NOT_FOUND of quire {"field": "events[2].job_id"}
      jobs.v1.Job "00000000-0000-0000-0000-000000000002"
    "#);
    // Also when it is the only one, tells nothing, or was recorded before.
    for event in [event("3", &gone, Retried, "", 1), least("of the gone", &gone)] {
        let answer = refusal(&client, &[least("there", &job), event]).await;
        assert!(answer.starts_with("NotFound: jobs.v1.Job with events[1].job_id"), "{answer}");
    }
    assert_eq!(testing::rows(&platform, &TABLES).await, before);
}

#[tokio::test]
async fn events_are_listed_by_time_then_id_a_page_at_a_time() {
    let (_platform, client) = start().await;
    let [job, other, without] = [job_of(&client, 1).await, job_of(&client, 2).await, job_of(&client, 3).await];
    let recorded: Vec<_> = (0..60).map(|n| event(&format!("e{n}"), &job, Started, "a", n * 7 % 10)).collect();
    append(&client, &recorded).await.unwrap();
    append(&client, &[least("other", &other)]).await.unwrap();
    let mut expected = recorded;
    expected.sort_by_key(|event| (event.occur_time.unwrap().seconds, event.id.clone()));
    let listed = events(&client, &job.id).await.into_iter().map(|event| JobEvent { create_time: None, ..event });
    assert_eq!(listed.collect::<Vec<_>>(), expected);
    assert_eq!(events(&client, &without.id).await, []);

    let of = |job: &Job, page| ListJobEventsRequest { job_id: job.id.clone(), page, ..Default::default() };
    // Without `page` as with an empty one: the first 50.
    let (first, stands) = list_events(&client, &of(&job, None)).await.unwrap();
    assert_eq!(first.len(), 50);
    // Past the end there is nothing, and still the total.
    let page_of = PageRequest { skip: 1_000, total_count: TotalCount::Exact.into(), ..Default::default() };
    let (past, past_stands) = list_events(&client, &of(&job, Some(page_of))).await.unwrap();
    assert_eq!((past.len(), past_stands.total_count), (0, Some(60)));
    let gone = Job { id: crate::support::id(9), ..Default::default() };
    let wrong = [
        of(&gone, None),
        of(&Job { id: "x".into(), ..Default::default() }, None),
        ListJobEventsRequest { order_by: "create_time".into(), ..of(&job, None) },
        of(&other, page(1, &stands.next_page_token)),
    ];
    let mut answers = Vec::new();
    for request in wrong {
        answers.push(told(&list_events(&client, &request).await.unwrap_err()));
    }
    insta::assert_snapshot!(answers.join("\n"), @r#"
    NotFound: jobs.v1.Job with job_id "00000000-0000-0000-0000-000000000009" does not exist
      NOT_FOUND of quire {"field": "job_id"}
      jobs.v1.Job "00000000-0000-0000-0000-000000000009"
    InvalidArgument: job_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      job_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    InvalidArgument: order_by: must be one of "occur_time"
      order_by: must be one of "occur_time"
    InvalidArgument: page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      PAGE_TOKEN_QUERY_CHANGED of quire {}
    "#);
}

/// Those who record of the same jobs take them in the same order, so that none waits for another that waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_overlap_in_other_orders_are_all_done() {
    let (platform, client) = start().await;
    let mut jobs = Vec::new();
    for number in 0..40 {
        jobs.push(job_of(&client, number).await);
    }
    for round in 0..4 {
        let kind = [Started, Failed, Completed, Skipped][round];
        let forward: Vec<_> = (0..400)
            .map(|place| event(&format!("{round}/{place}"), &jobs[place * 7 % 40], kind, &format!("{}", place % 3), 1))
            .collect();
        let backward: Vec<_> = forward.iter().rev().cloned().collect();
        let calls = [&forward[..], &backward, &forward[200..], &forward].map(|events| append(&client, events));
        let recorded = futures_util::future::join_all(calls).await.into_iter().map(|answer| answer.unwrap().0);
        assert_eq!(recorded.sum::<i32>(), 400);
    }
    crate::support::assert_counted(&platform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_tell_of_a_job_at_once_are_all_heard() {
    let (platform, client) = start().await;
    for number in 0..20 {
        let job = job_of(&client, number).await;
        let events = [("a", Completed), ("b", Failed), ("c", Skipped), ("d", Completed)]
            .map(|(host, kind)| [event(&format!("{number} {host}"), &job, kind, host, 1)]);
        for answer in futures_util::future::join_all(events.iter().map(|events| append(&client, events))).await {
            assert_eq!(answer.unwrap(), (1, 0));
        }
        assert_eq!(get(&client, &job.id).await.unwrap().job.unwrap().status(), JobStatus::PartialFailure);
    }
    crate::support::assert_counted(&platform).await;
}
