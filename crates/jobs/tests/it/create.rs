//! CreateJob: what is kept, what is made up where it is left out, and what is refused.
use crate::support::{Client, create, create_in, from, get, id, numbers, of_type, start, start_on, told};
use platform::{
    Platform,
    testing::{self, Hands},
};
use quire_proto::jobs::v1::{CreateJobRequest, Job, JobOperation, JobStatus};
use uuid::Uuid;

const ID: &str = "abcdef00-8a3b-7c21-9d55-0242ac120002";

async fn refusal(client: &Client, job: &Job) -> String {
    told(&create(client, job).await.unwrap_err())
}

/// A job whose operation has this data.
fn with_data(data: &str) -> Job {
    Job { operation: Some(JobOperation { r#type: "sync".into(), data: data.into() }), ..Default::default() }
}

/// A job of which everything is given, also what is not read.
fn full() -> Job {
    Job {
        id: ID.to_uppercase(),
        operation: Some(JobOperation { r#type: "sync".into(), data: "{\"path\": \"/srv\"}".into() }),
        target: "web-7".into(),
        priority: -3,
        policy_type: "nightly".into(),
        status: JobStatus::Failed.into(),
        changed: true,
        exit_status: Some(1),
        bytes: 1,
        files: 1,
        error: "x".into(),
        retried_from: id(1),
        retried_as: id(2),
        create_time: crate::support::at(0),
        start_time: crate::support::at(0),
        end_time: crate::support::at(0),
        update_time: crate::support::at(0),
        etag: "x".into(),
    }
}

#[tokio::test]
async fn a_job_comes_back_as_it_is_kept() {
    let hands = Hands::at(1_800_000_000);
    let platform = Platform { clock: hands.clock(), ids: testing::counting(), ..testing::platform().await };
    let client = start_on(&platform).await;
    let now = Some(hands.time(0));
    let times = Job { status: JobStatus::Submitted.into(), create_time: now, update_time: now, ..Default::default() };
    let made = create(&client, &full()).await.unwrap();
    let Job { operation, target, priority, policy_type, .. } = full();
    let kept =
        Job { id: ID.into(), operation, target, priority, policy_type, etag: made.etag.clone(), ..times.clone() };
    assert_eq!(made, kept);
    assert_eq!(get(&client, ID).await.unwrap().job, Some(kept));

    let least = create(&client, &of_type("scan")).await.unwrap();
    let operation = Some(JobOperation { r#type: "scan".into(), data: "{}".into() });
    assert_eq!(least, Job { id: least.id.clone(), etag: least.etag.clone(), operation, ..times });
    assert_ne!(least.etag, made.etag);
    assert_eq!(get(&client, &least.id).await.unwrap().job, Some(least));
}

#[tokio::test]
async fn ids_that_are_made_up_are_in_the_order_of_time() {
    let (_platform, client) = start().await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(create(&client, &of_type("sync")).await.unwrap().id);
    }
    assert!(ids.is_sorted());
    assert_eq!(ids[0].parse::<Uuid>().unwrap().get_version_num(), 7);
}

#[tokio::test]
async fn an_id_is_taken_once_in_a_workspace() {
    let (platform, client) = start().await;
    let made = create(&client, &full()).await.unwrap();
    insta::assert_snapshot!(refusal(&client, &Job { id: ID.into(), ..of_type("scan") }).await, @r#"
    AlreadyExists: jobs.v1.Job with job.id "abcdef00-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "job.id"}
      jobs.v1.Job "abcdef00-8a3b-7c21-9d55-0242ac120002"
    "#);
    create_in(&client, "other", &full()).await.unwrap();
    assert_eq!(get(&client, ID).await.unwrap().job, Some(made));
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"1 jobs, 1 submitted, 0 dead letters, 1 sync");
}

#[tokio::test]
async fn every_field_has_its_bounds() {
    let (platform, client) = start().await;
    let texts = |operation_type: usize, target: usize, policy_type: usize| Job {
        target: "t".repeat(target),
        policy_type: "p".repeat(policy_type),
        ..of_type(&"o".repeat(operation_type))
    };
    for job in [texts(128, 256, 64), texts(1, 0, 0), Job { priority: i32::MIN, ..texts(1, 0, 0) }] {
        create(&client, &job).await.unwrap();
    }
    insta::assert_snapshot!(refusal(&client, &texts(129, 257, 65)).await, @"
    InvalidArgument: job.operation.type: must have 1 to 128 bytes; it has 129; job.target: must have 0 to 256 bytes; it has 257; job.policy_type: must have 0 to 64 bytes; it has 65
      job.operation.type: must have 1 to 128 bytes; it has 129
      job.target: must have 0 to 256 bytes; it has 257
      job.policy_type: must have 0 to 64 bytes; it has 65
    ");
    let nul = Job { target: "\0".into(), policy_type: "\0".into(), id: "x".into(), ..of_type("\0") };
    insta::assert_snapshot!(refusal(&client, &nul).await, @"
    InvalidArgument: job.operation.type: must not contain NUL; job.target: must not contain NUL; job.policy_type: must not contain NUL; job.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      job.operation.type: must not contain NUL
      job.target: must not contain NUL
      job.policy_type: must not contain NUL
      job.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    ");
    insta::assert_snapshot!(refusal(&client, &Job::default()).await, @"
    InvalidArgument: job.operation.type: must have 1 to 128 bytes; it has 0
      job.operation.type: must have 1 to 128 bytes; it has 0
    ");
    let nothing = client.clone().create_job(from("default", CreateJobRequest { job: None })).await.unwrap_err();
    assert_eq!(told(&nothing), refusal(&client, &Job::default()).await);
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"3 jobs, 3 submitted, 0 dead letters, 2 o, 1 oooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo");
}

#[tokio::test]
async fn data_is_kept_to_the_letter() {
    let (_platform, client) = start().await;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let longest = format!("{{\"a\":\"{}\"}}", "é".repeat((262_144 - 8) / 2));
    assert_eq!(longest.len(), 262_144);
    let texts = [
        "{}",
        " {\n\t\"b\" : 1,\r\n \"a\" : [ 2.50, 1e400, -0 ] } ",
        // Neither numbers nor order nor what stands twice are others than they were.
        "{\"z\":1,\"a\":12345678901234567890123,\"z\":2}",
        "{\"\":null,\"é\":\"\\u00e9\\u0000\\ud83d\\ude00\"}",
        &deep,
        &longest,
    ];
    for text in texts {
        let made = create(&client, &with_data(text)).await.unwrap();
        assert_eq!(made.operation.as_ref().unwrap().data, text);
        assert_eq!(get(&client, &made.id).await.unwrap().job.unwrap(), made);
    }
}

#[tokio::test]
async fn data_is_a_json_object() {
    let (platform, client) = start().await;
    let answer = refusal(&client, &with_data("[]")).await;
    insta::assert_snapshot!(answer, @"
    InvalidArgument: job.operation.data: must be the text of a JSON object
      job.operation.data: must be the text of a JSON object
    ");
    let texts = [
        "[{}]",
        "\"x\"",
        "\"{}\"",
        "12",
        "null",
        "true",
        "text",
        "  ",
        "{\"a\":1",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":[}",
        "{\"a\":01}",
        "{\"a\":NaN}",
        "{\"a\":'b'}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{a:1}",
        "{1:1}",
        "{}{}",
        "{},",
        "{} x",
        "\u{feff}{}",
        "/**/{}",
    ];
    for text in texts {
        assert_eq!(refusal(&client, &with_data(text)).await, answer, "{text:?}");
    }
    insta::assert_snapshot!(refusal(&client, &with_data("{\"a\":\"\0\"}")).await, @"
    InvalidArgument: job.operation.data: must not contain NUL; job.operation.data: must be the text of a JSON object
      job.operation.data: must not contain NUL
      job.operation.data: must be the text of a JSON object
    ");
    insta::assert_snapshot!(refusal(&client, &with_data("x")).await, @"
    InvalidArgument: job.operation.data: must have 2 to 262144 bytes; it has 1
      job.operation.data: must have 2 to 262144 bytes; it has 1
    ");
    let too_long = format!("{{{}}}", " ".repeat(262_143));
    insta::assert_snapshot!(refusal(&client, &with_data(&too_long)).await, @"
    InvalidArgument: job.operation.data: must have 2 to 262144 bytes; it has 262145
      job.operation.data: must have 2 to 262144 bytes; it has 262145
    ");
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"0 jobs, 0 dead letters");
}
