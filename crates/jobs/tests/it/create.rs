//! CreateJob and BatchCreateJobs: defaults, the JSON of an operation, and the order of a batch.
use crate::support::{at, event, numbered, of_type, start, start_at_rest, told};
use platform::testing;
use quire_proto::jobs::v1::{Job, JobEventKind::Failed, JobOperation, JobStatus, ListJobsRequest};
use tonic::Code;

/// A job whose operation has this data.
fn with_data(number: u128, data: impl Into<String>) -> Job {
    Job { operation: Some(JobOperation { r#type: "sync".into(), data: data.into() }), ..numbered(number) }
}

/// The data of a job whose text has so many bytes.
fn long_data(bytes: usize) -> String {
    format!("{{\"a\":\"{}\"}}", "é".repeat((bytes - 8) / 2))
}

#[tokio::test]
async fn what_is_left_out_or_not_read_has_a_default() {
    let (caller, hands) = start_at_rest().await;
    let given = Job { status: JobStatus::Failed.into(), exit_status: Some(1), end_time: at(0), ..of_type("sync") };
    let made = caller.create(&given).await.unwrap();
    let (Job { id, etag, .. }, now) = (made.clone(), Some(hands.time(0)));
    let (operation, status) = (with_data(0, "{}").operation, JobStatus::Submitted.into());
    assert_eq!(made, Job { id, etag, operation, status, create_time: now, update_time: now, ..Default::default() });
}

#[tokio::test]
async fn data_is_a_json_object_that_is_kept_unchanged() {
    let caller = start().await;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let right = [
        "{}",
        " {\n\t\"b\" : 1,\r\n \"a\" : [ 2.50, 1e400, -0 ] } ",
        // Neither numbers nor their order nor repeated keys change.
        "{\"z\":1,\"a\":12345678901234567890123,\"z\":2}",
        "{\"\":null,\"é\":\"\\u00e9\\u0000\\ud83d\\ude00\"}",
        &deep,
        &long_data(262_144),
    ];
    for (number, text) in (1..).zip(right) {
        let made = caller.create(&with_data(number, text)).await.unwrap();
        assert_eq!(made.operation.as_ref().unwrap().data, text);
        assert_eq!(caller.job(&made.id).await, made);
    }
    let refusal = async |data: &str| told(&caller.create(&with_data(0, data)).await.unwrap_err());
    let wrong = "[{}] | \"{}\" | 12 | null | text |    | {\"a\":1 | {\"a\"} | {\"a\":} | {\"a\":1,} | {\"a\":[} | {\"a\":01} | \
        {\"a\":NaN} | {\"a\":'b'} | {\"a\":\"\n\"} | {\"a\":\"\\x\"} | {a:1} | {1:1} | {}{} | {}, | {} x | \u{feff}{} | /**/{}";
    let answer = refusal("[]").await;
    insta::assert_snapshot!(answer, @"
    InvalidArgument: job.operation.data: must be the text of a JSON object
      job.operation.data: must be the text of a JSON object
    ");
    for text in wrong.split(" | ") {
        assert_eq!(refusal(text).await, answer, "{text:?}");
    }
    let too_long = format!("{} ", long_data(262_144));
    for (data, says) in [("x", "it has 1"), (&too_long, "it has 262145"), ("{\"a\":\"\0\"}", "must not contain NUL")] {
        let answer = refusal(data).await;
        assert!(answer.starts_with("InvalidArgument: job.operation.data: ") && answer.contains(says), "{answer}");
    }
}

#[tokio::test]
async fn a_batch_is_answered_in_the_order_of_its_requests() {
    let caller = start().await;
    let job = |place: usize| match place % 2 {
        0 => Job { priority: place as i32, ..of_type("scan") },
        _ => Job { priority: place as i32, ..numbered(place as u128 * 7_919 % 10_007) },
    };
    let jobs: Vec<Job> = (0..1_000).map(job).collect();
    let ids = caller.batch(&jobs, false).await.unwrap();
    let made = caller.walk(&ListJobsRequest::default(), 200).await;
    assert!(made.iter().all(|job| ids[job.priority as usize] == job.id && job.create_time == made[0].create_time));
    assert!(jobs.iter().zip(&ids).all(|(job, id)| job.id.is_empty() || job.id == *id));
    assert_eq!(caller.numbers().await, "1000 jobs, 1000 submitted, 0 dead letters, 500 scan, 500 sync");
}

#[tokio::test]
async fn an_existing_job_is_compared_as_it_was_asked_for() {
    let caller = start().await;
    let skip = async |jobs: &[Job]| caller.batch(jobs, true).await;
    let job = with_data(1, "{\"n\": 1}");
    skip(&[job.clone(), numbered(2)]).await.unwrap();
    // It has changed since, and data that is left out is `{}`.
    caller.append(&[event("1", &job, Failed, "a", 1)]).await.unwrap();
    let before = testing::rows(&caller.platform, &["jobs", "job_status_counts"]).await;
    skip(&[with_data(2, "{}"), job]).await.unwrap();
    // Other data of the same length, and the same JSON in another text.
    for data in ["{\"n\": 2}", "{\"n\":1}"] {
        assert_eq!(skip(&[numbered(3), with_data(1, data)]).await.unwrap_err().code(), Code::AlreadyExists);
    }
    assert_eq!(testing::rows(&caller.platform, &["jobs", "job_status_counts"]).await, before);
    // A job without an id is a new one each time.
    for _ in 0..2 {
        skip(&[of_type("sync")]).await.unwrap();
    }
    assert_eq!(caller.numbers().await, "4 jobs, 3 submitted, 1 failed, 1 dead letters, 4 sync");
}

#[tokio::test]
async fn a_batch_of_almost_16_mib_is_made_skipped_and_listed() {
    let caller = start().await;
    let heavy: Vec<Job> = (0..63).map(|number| with_data(number, long_data(262_144))).collect();
    for skip in [false, true] {
        assert_eq!(caller.batch(&heavy, skip).await.unwrap().len(), 63);
    }
    assert_eq!(caller.walk(&ListJobsRequest::default(), 200).await.len(), 63);
}
