//! AppendJobEvents and ListJobEvents: each event is recorded once, and a call whole or not at all.
use crate::support::{Caller, at, event, id, numbered, start, start_at_rest, told};
use platform::testing;
use prost_types::Timestamp;
use quire_proto::jobs::v1::{
    Job, JobEvent,
    JobEventKind::{self, Acknowledged, Completed, Failed, Retried, Skipped, Started, Submitted},
    JobResult, JobStatus,
};

const TABLES: [&str; 4] = ["jobs", "job_events", "job_status_counts", "job_operation_type_counts"];
const MOST: i64 = 1_000_000_000_000_000;

async fn refusal(caller: &Caller, events: &[JobEvent]) -> String {
    told(&caller.append(events).await.unwrap_err())
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
async fn an_event_is_recorded_once_in_whatever_call_it_is_repeated() {
    let (caller, hands) = start_at_rest().await;
    let job = caller.create(&numbered(10)).await.unwrap();
    let in_capitals = JobEvent { job_id: job.id.to_uppercase(), ..least("a", &job) };
    // Times are compared as they are stored, to the microsecond. One that is left out is not compared.
    let cut = Some(Timestamp { nanos: 123_456_000, ..at(7).unwrap() });
    let same = [
        full("full", &job),
        JobEvent { occur_time: None, ..full("full", &job) },
        JobEvent { occur_time: cut, create_time: None, ..full("full", &job) },
    ];
    assert_eq!(caller.append(&[&same[..], &[in_capitals], &same].concat()).await.unwrap(), (2, 5));
    let kept = JobEvent { occur_time: cut, create_time: Some(hands.time(0)), ..full("full", &job) };
    let of_now = JobEvent { occur_time: kept.create_time, create_time: kept.create_time, ..least("a", &job) };
    assert_eq!(caller.events(&job.id).await.unwrap(), [kept, of_now]);
    let before = testing::rows(&caller.platform, &TABLES).await;
    hands.pass(1);
    for event in same {
        assert_eq!(caller.append(&[event]).await.unwrap(), (0, 1));
    }
    assert_eq!(testing::rows(&caller.platform, &TABLES).await, before);
    // What is new beside it is recorded.
    assert_eq!(caller.append(&[least("b", &job), full("full", &job), least("c", &job)]).await.unwrap(), (2, 1));
    // The first is recorded now, which is not when the second says.
    let [first, second] = [least("d", &job), event("d", &job, Submitted, "", 7)];
    assert!(refusal(&caller, &[first, second]).await.contains("events[1].id \"d\" already exists"));
}

/// What the contract kit does not change.
#[tokio::test]
async fn an_id_with_other_content_already_exists() {
    let caller = start().await;
    caller.batch(&[1, 2].map(numbered), false).await.unwrap();
    let event = full("a", &numbered(1));
    caller.append(std::slice::from_ref(&event)).await.unwrap();
    let before = testing::rows(&caller.platform, &TABLES).await;
    let changes: [fn(&mut JobEvent, &mut JobResult); 6] = [
        |event, _| event.job_id = id(2),
        |_, result| result.changed = false,
        |_, result| result.exit_status = None,
        |_, result| result.bytes += 1,
        |_, result| result.files += 1,
        |event, _| event.occur_time.as_mut().unwrap().nanos += 1_000,
    ];
    let mut others = vec![JobEvent { result: None, ..event.clone() }];
    for change in changes {
        let (mut other, mut result) = (event.clone(), event.result.unwrap());
        change(&mut other, &mut result);
        others.push(JobEvent { result: Some(result), ..other });
    }
    for other in others {
        let new = least("new", &numbered(2));
        // Also where the other content is earlier in the call.
        let [first, second] = [&event, &other].map(|event| JobEvent { id: "b".into(), ..event.clone() });
        for call in [[new.clone(), least("newer", &numbered(1)), other], [new, first, second]] {
            let answer = refusal(&caller, &call).await;
            assert!(answer.starts_with("AlreadyExists: jobs.v1.JobEvent with events[2].id"), "{answer}");
        }
    }
    assert_eq!(testing::rows(&caller.platform, &TABLES).await, before);
}

#[tokio::test]
async fn the_events_of_a_deleted_job_are_gone() {
    let caller = start().await;
    let [job, other] = [1, 2].map(numbered);
    caller.batch(&[job.clone(), other.clone()], false).await.unwrap();
    let first = event("a", &job, Failed, "a", 1);
    caller.append(&[first.clone(), least("b", &other)]).await.unwrap();
    caller.delete(&job.id).await.unwrap();
    // Also one that was recorded before.
    let answer = refusal(&caller, &[least("b", &other), first]).await;
    assert!(answer.starts_with("NotFound: jobs.v1.Job with events[1].job_id"), "{answer}");
    // Its id is free again, and so is the job's, which begins anew.
    assert_eq!(caller.append(&[event("a", &other, Started, "b", 1)]).await.unwrap(), (1, 0));
    caller.create(&job).await.unwrap();
    assert_eq!(caller.events(&job.id).await.unwrap(), []);
}

#[tokio::test]
async fn a_result_is_of_the_kinds_that_end_and_nothing_is_more_than_an_hour_ahead() {
    let (caller, hands) = start_at_rest().await;
    let job = caller.create(&numbered(1)).await.unwrap();
    let with = |kind: JobEventKind, [bytes, files]: [i64; 2], nanos| JobEvent {
        result: Some(JobResult { bytes, files, ..Default::default() }),
        occur_time: Some(Timestamp { nanos, ..hands.time(3_600) }),
        ..event(&format!("{kind:?} {bytes}"), &job, kind, "a", 1)
    };
    let wrong = [Submitted, Acknowledged, Started, Retried].map(|kind| with(kind, [0, 0], 0));
    let wrong = [&wrong[..], &[with(Failed, [-1, MOST + 1], 1_000)]].concat();
    insta::assert_snapshot!(refusal(&caller, &wrong).await.split_once('\n').unwrap().1, @"
    events[0].result: must be left out, unless kind is completed, failed or skipped
    events[1].result: must be left out, unless kind is completed, failed or skipped
    events[2].result: must be left out, unless kind is completed, failed or skipped
    events[3].result: must be left out, unless kind is completed, failed or skipped
    events[4].result.bytes: must be 0 to 1000000000000000
    events[4].result.files: must be 0 to 1000000000000000
    events[4].occur_time: must be at most an hour in the future
    ");
    let right = [Completed, Failed, Skipped].map(|kind| [with(kind, [0, MOST], 999), with(kind, [MOST, 0], 0)]);
    assert_eq!(caller.append(&right.concat()).await.unwrap(), (6, 0));
}

#[tokio::test]
async fn a_job_has_at_most_5000_hosts() {
    let caller = start().await;
    let [job, other] = [1, 2].map(numbered);
    caller.batch(&[job.clone(), other.clone()], false).await.unwrap();
    let host = |host: usize| JobEvent {
        result: Some(JobResult { bytes: MOST, files: MOST, ..Default::default() }),
        ..event(&host.to_string(), &job, Completed, &host.to_string(), 1)
    };
    for first in (0..5_000).step_by(1_000) {
        caller.append(&(first..first + 1_000).map(host).collect::<Vec<_>>()).await.unwrap();
    }
    let before = testing::rows(&caller.platform, &TABLES).await;
    insta::assert_snapshot!(refusal(&caller, &[event("other", &other, Started, "a", 1), host(5_000)]).await, @"FailedPrecondition: a job has at most 5000 hosts");
    assert_eq!(testing::rows(&caller.platform, &TABLES).await, before);
    // Its hosts may report more, and an event without a host adds none.
    caller.append(&[event("again", &job, Completed, "7", 0), least("none", &job), host(3)]).await.unwrap();
    let got = caller.get(&job.id).await.unwrap();
    let Job { bytes, files, status, .. } = got.job.unwrap();
    assert_eq!(
        (got.hosts.len(), bytes, files, status),
        (5_000, 5_000 * MOST, 5_000 * MOST, JobStatus::Completed.into())
    );
}
