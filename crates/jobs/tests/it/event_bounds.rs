//! AppendJobEvents: the bounds of an event, of a call and of a job.
use crate::support::{Client, append, create, event, events, get, numbers, of_type, start, start_on, told};
use platform::{
    Platform,
    testing::{self, Hands},
};
use prost_types::Timestamp;
use quire_proto::jobs::v1::{
    Job, JobEvent, JobEventKind,
    JobEventKind::{Acknowledged, Completed, Failed, Retried, Skipped, Started, Submitted},
    JobResult,
};

const TABLES: [&str; 4] = ["jobs", "job_events", "job_status_counts", "job_operation_type_counts"];

async fn refusal(client: &Client, events: &[JobEvent]) -> String {
    told(&append(client, events).await.unwrap_err())
}

/// A job whose id is known.
async fn job_of(client: &Client, number: u128) -> Job {
    create(client, &Job { id: crate::support::id(number), ..of_type("sync") }).await.unwrap()
}

/// An event of which nothing is given but what it must have.
fn least(id: &str, job: &Job) -> JobEvent {
    JobEvent { occur_time: None, ..event(id, job, Submitted, "", 0) }
}

#[tokio::test]
async fn every_field_has_its_bounds() {
    let (platform, client) = start().await;
    let job = job_of(&client, 1).await;
    let texts = |[id, host, message, error]: [usize; 4]| JobEvent {
        id: "i".repeat(id),
        host: "h".repeat(host),
        message: "m".repeat(message),
        error: "e".repeat(error),
        ..least("", &job)
    };
    let result = |bytes, files| Some(JobResult { bytes, files, ..Default::default() });
    const MOST: i64 = 1_000_000_000_000_000;
    let most = JobEvent { result: result(MOST, MOST), ..event("most", &job, Skipped, "a", 1) };
    append(&client, &[texts([128, 256, 16_384, 16_384]), texts([1, 0, 0, 0]), most]).await.unwrap();
    let before = testing::rows(&platform, &TABLES).await;
    insta::assert_snapshot!(refusal(&client, &[texts([129, 257, 16_385, 16_385]), texts([0; 4])]).await, @"
    InvalidArgument: events[0].id: must have 1 to 128 bytes; it has 129; events[0].host: must have 0 to 256 bytes; it has 257; events[0].message: must have 0 to 16384 bytes; it has 16385; events[0].error: must have 0 to 16384 bytes; it has 16385; events[1].id: must have 1 to 128 bytes; it has 0
      events[0].id: must have 1 to 128 bytes; it has 129
      events[0].host: must have 0 to 256 bytes; it has 257
      events[0].message: must have 0 to 16384 bytes; it has 16385
      events[0].error: must have 0 to 16384 bytes; it has 16385
      events[1].id: must have 1 to 128 bytes; it has 0
    ");
    let nul =
        JobEvent { id: "\0".into(), host: "\0".into(), message: "\0".into(), error: "\0".into(), ..least("", &job) };
    insta::assert_snapshot!(refusal(&client, &[nul]).await, @"
    InvalidArgument: events[0].id: must not contain NUL; events[0].host: must not contain NUL; events[0].message: must not contain NUL; events[0].error: must not contain NUL
      events[0].id: must not contain NUL
      events[0].host: must not contain NUL
      events[0].message: must not contain NUL
      events[0].error: must not contain NUL
    ");
    let kinds = [0, 8, -1].map(|kind| JobEvent { kind, ..least("a", &job) });
    insta::assert_snapshot!(refusal(&client, &kinds).await, @"
    InvalidArgument: events[0].kind: must be one of JOB_EVENT_KIND_SUBMITTED, JOB_EVENT_KIND_ACKNOWLEDGED, JOB_EVENT_KIND_STARTED, JOB_EVENT_KIND_COMPLETED, JOB_EVENT_KIND_FAILED, JOB_EVENT_KIND_SKIPPED, JOB_EVENT_KIND_RETRIED; events[1].kind: must be one of JOB_EVENT_KIND_SUBMITTED, JOB_EVENT_KIND_ACKNOWLEDGED, JOB_EVENT_KIND_STARTED, JOB_EVENT_KIND_COMPLETED, JOB_EVENT_KIND_FAILED, JOB_EVENT_KIND_SKIPPED, JOB_EVENT_KIND_RETRIED; events[2].kind: must be one of JOB_EVENT_KIND_SUBMITTED, JOB_EVENT_KIND_ACKNOWLEDGED, JOB_EVENT_KIND_STARTED, JOB_EVENT_KIND_COMPLETED, JOB_EVENT_KIND_FAILED, JOB_EVENT_KIND_SKIPPED, JOB_EVENT_KIND_RETRIED
      events[0].kind: must be one of JOB_EVENT_KIND_SUBMITTED, JOB_EVENT_KIND_ACKNOWLEDGED, JOB_EVENT_KIND_STARTED, JOB_EVENT_KIND_COMPLETED, JOB_EVENT_KIND_FAILED, JOB_EVENT_KIND_SKIPPED, JOB_EVENT_KIND_RETRIED
      events[1].kind: must be one of JOB_EVENT_KIND_SUBMITTED, JOB_EVENT_KIND_ACKNOWLEDGED, JOB_EVENT_KIND_STARTED, JOB_EVENT_KIND_COMPLETED, JOB_EVENT_KIND_FAILED, JOB_EVENT_KIND_SKIPPED, JOB_EVENT_KIND_RETRIED
      events[2].kind: must be one of JOB_EVENT_KIND_SUBMITTED, JOB_EVENT_KIND_ACKNOWLEDGED, JOB_EVENT_KIND_STARTED, JOB_EVENT_KIND_COMPLETED, JOB_EVENT_KIND_FAILED, JOB_EVENT_KIND_SKIPPED, JOB_EVENT_KIND_RETRIED
    ");
    let results = [(-1, -1), (MOST + 1, MOST + 1)];
    let results =
        results.map(|(bytes, files)| JobEvent { result: result(bytes, files), ..event("a", &job, Failed, "a", 1) });
    insta::assert_snapshot!(refusal(&client, &results).await, @"
    InvalidArgument: events[0].result.bytes: must be 0 to 1000000000000000; events[0].result.files: must be 0 to 1000000000000000; events[1].result.bytes: must be 0 to 1000000000000000; events[1].result.files: must be 0 to 1000000000000000
      events[0].result.bytes: must be 0 to 1000000000000000
      events[0].result.files: must be 0 to 1000000000000000
      events[1].result.bytes: must be 0 to 1000000000000000
      events[1].result.files: must be 0 to 1000000000000000
    ");
    let not_ids = ["", "x", "00000000000000000000000000000001"];
    let not_ids = not_ids.map(|id| JobEvent { job_id: id.into(), ..least("a", &job) });
    insta::assert_snapshot!(refusal(&client, &not_ids).await, @"
    InvalidArgument: events[0].job_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002; events[1].job_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002; events[2].job_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      events[0].job_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      events[1].job_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      events[2].job_id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    ");
    assert_eq!(testing::rows(&platform, &TABLES).await, before);
}

#[tokio::test]
async fn a_result_is_of_the_kinds_that_end() {
    let (_platform, client) = start().await;
    let job = job_of(&client, 1).await;
    let with_result = |kind: JobEventKind| JobEvent {
        result: Some(JobResult::default()),
        ..event(kind.as_str_name(), &job, kind, "a", 1)
    };
    assert_eq!(append(&client, &[Completed, Failed, Skipped].map(with_result)).await.unwrap(), (3, 0));
    insta::assert_snapshot!(refusal(&client, &[Submitted, Acknowledged, Started, Retried].map(with_result)).await, @"
    InvalidArgument: events[0].result: must be left out, unless kind is completed, failed or skipped; events[1].result: must be left out, unless kind is completed, failed or skipped; events[2].result: must be left out, unless kind is completed, failed or skipped; events[3].result: must be left out, unless kind is completed, failed or skipped
      events[0].result: must be left out, unless kind is completed, failed or skipped
      events[1].result: must be left out, unless kind is completed, failed or skipped
      events[2].result: must be left out, unless kind is completed, failed or skipped
      events[3].result: must be left out, unless kind is completed, failed or skipped
    ");
}

#[tokio::test]
async fn nothing_happens_more_than_an_hour_from_now() {
    let hands = Hands::at(1_800_000_000);
    let platform = Platform { clock: hands.clock(), ..testing::platform().await };
    let client = start_on(&platform).await;
    let job = job_of(&client, 1).await;
    let in_seconds =
        |id: &str, seconds| JobEvent { occur_time: Some(hands.time(seconds)), ..event(id, &job, Started, "a", 0) };
    append(&client, &[in_seconds("an hour", 3_600), in_seconds("long ago", -1_000_000_000)]).await.unwrap();
    let too_late = Some(Timestamp { nanos: 1_000, ..hands.time(3_600) });
    let no_time = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
    let call = [
        in_seconds("a day", 86_400),
        JobEvent { occur_time: too_late, ..least("a microsecond", &job) },
        JobEvent { occur_time: no_time, ..least("never", &job) },
    ];
    insta::assert_snapshot!(refusal(&client, &call).await, @"
    InvalidArgument: events[0].occur_time: must be at most an hour in the future; events[1].occur_time: must be at most an hour in the future; events[2].occur_time: must be a time of the years 1 to 9999
      events[0].occur_time: must be at most an hour in the future
      events[1].occur_time: must be at most an hour in the future
      events[2].occur_time: must be a time of the years 1 to 9999
    ");
    assert_eq!(events(&client, &job.id).await.len(), 2);
}

#[tokio::test]
async fn a_call_has_1_to_1000_events() {
    let (_platform, client) = start().await;
    let job = job_of(&client, 1).await;
    insta::assert_snapshot!(refusal(&client, &[]).await, @"
    InvalidArgument: events: must be 1 to 1000; there are 0
      events: must be 1 to 1000; there are 0
    ");
    let mut call: Vec<_> = (0..1_001).map(|place| least(&place.to_string(), &job)).collect();
    insta::assert_snapshot!(refusal(&client, &call).await, @"
    InvalidArgument: events: must be 1 to 1000; there are 1001
      events: must be 1 to 1000; there are 1001
    ");
    call.pop();
    assert_eq!(append(&client, &call).await.unwrap(), (1_000, 0));
}

#[tokio::test]
async fn a_job_has_5000_hosts_and_not_one_more() {
    let (platform, client) = start().await;
    let [job, other] = [job_of(&client, 1).await, job_of(&client, 2).await];
    let host = |host: usize| event(&host.to_string(), &job, Completed, &host.to_string(), 1);
    for first in (0..5_000).step_by(1_000) {
        append(&client, &(first..first + 1_000).map(host).collect::<Vec<_>>()).await.unwrap();
    }
    let before = testing::rows(&platform, &TABLES).await;
    insta::assert_snapshot!(refusal(&client, &[event("other", &other, Started, "a", 1), host(5_000)]).await, @"FailedPrecondition: a job has at most 5000 hosts");
    assert_eq!(testing::rows(&platform, &TABLES).await, before);
    // Those that it has tell more, and what happened on no host is not one.
    append(&client, &[event("again", &job, Failed, "7", 2), least("none", &job), host(3)]).await.unwrap();
    assert_eq!(get(&client, &job.id).await.unwrap().hosts.len(), 5_000);
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"2 jobs, 1 submitted, 1 partial_failure, 1 dead letters, 2 sync");
}
