//! BatchCreateJobs: all or none, in the order of the requests.
use crate::support::{
    Client, append, batch_in, by, create, create_in, event, get, id, numbers, of_type, start, told, walk,
};
use platform::testing;
use quire_proto::jobs::v1::{Job, JobEventKind, JobOperation};
use tonic::{Code, Status};

const TABLES: [&str; 3] = ["jobs", "job_status_counts", "job_operation_type_counts"];

async fn batch(client: &Client, jobs: &[Job]) -> Result<Vec<String>, Status> {
    batch_in(client, "default", jobs, false).await
}

/// Asks for jobs of which those that exist are passed over.
async fn batch_missing(client: &Client, jobs: &[Job]) -> Result<Vec<String>, Status> {
    batch_in(client, "default", jobs, true).await
}

/// A job of which everything is given.
fn full(number: u128) -> Job {
    Job {
        id: id(number),
        operation: Some(JobOperation { r#type: "sync".into(), data: "{\"n\": 1}".into() }),
        target: "web".into(),
        priority: 5,
        policy_type: "nightly".into(),
        ..Default::default()
    }
}

/// Jobs in neither ascending nor descending order of their ids.
fn shuffled(count: u128) -> Vec<Job> {
    (0..count).map(|place| full(place * 7_919 % 10_007)).collect()
}

#[tokio::test]
async fn a_thousand_are_made_at_once_and_answered_in_the_order_of_the_requests() {
    let (platform, client) = start().await;
    let mut jobs = shuffled(1_000);
    for (place, job) in jobs.iter_mut().enumerate() {
        job.priority = place as i32;
        if place % 2 == 0 {
            *job = Job { id: String::new(), target: place.to_string(), ..of_type("scan") };
        }
    }
    let ids = batch(&client, &jobs).await.unwrap();
    for place in [0, 1, 498, 499, 998, 999] {
        let made = get(&client, &ids[place]).await.unwrap().job.unwrap();
        assert_eq!((&made.target, made.priority), (&jobs[place].target, jobs[place].priority));
        assert!(jobs[place].id.is_empty() || jobs[place].id == made.id);
    }
    let made = walk(&client, &by("create_time")).await;
    assert!(made.iter().all(|job| job.create_time == made[0].create_time));
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"1000 jobs, 1000 submitted, 0 dead letters, 500 scan, 500 sync");
}

#[tokio::test]
async fn a_batch_has_1_to_1000_requests() {
    let (platform, client) = start().await;
    for count in [0, 1_001] {
        let answer = told(&batch(&client, &shuffled(count)).await.unwrap_err());
        assert!(answer.contains(&format!("  requests: must be 1 to 1000; there are {count}")), "{answer}");
    }
    assert_eq!(testing::rows(&platform, &TABLES).await, [""; 0]);
}

#[tokio::test]
async fn one_wrong_request_and_nothing_is_made() {
    let (platform, client) = start().await;
    let mut jobs = shuffled(12);
    jobs[3] = Job { id: "x".into(), target: "t".repeat(257), ..of_type("") };
    jobs[7].operation.as_mut().unwrap().data = "[]".into();
    // The same id, in whatever letters.
    jobs[8].id = "abcdef00-8a3b-7c21-9d55-0242ac120002".into();
    jobs[9].id = jobs[8].id.to_uppercase();
    insta::assert_snapshot!(told(&batch(&client, &jobs).await.unwrap_err()), @"
    InvalidArgument: requests[9].job.id: must not be that of another request of the batch; requests[3].job.operation.type: must have 1 to 128 bytes; it has 0; requests[3].job.target: must have 0 to 256 bytes; it has 257; requests[3].job.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002; requests[7].job.operation.data: must be the text of a JSON object
      requests[9].job.id: must not be that of another request of the batch
      requests[3].job.operation.type: must have 1 to 128 bytes; it has 0
      requests[3].job.target: must have 0 to 256 bytes; it has 257
      requests[3].job.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      requests[7].job.operation.data: must be the text of a JSON object
    ");
    assert_eq!(testing::rows(&platform, &TABLES).await, [""; 0]);
}

#[tokio::test]
async fn one_that_exists_and_nothing_is_made() {
    let (platform, client) = start().await;
    create(&client, &full(1)).await.unwrap();
    // What another workspace has is not in the way.
    create_in(&client, "other", &full(2)).await.unwrap();
    let before = testing::rows(&platform, &TABLES).await;
    let jobs = [3, 2, 1, 4].map(full);
    insta::assert_snapshot!(told(&batch(&client, &jobs).await.unwrap_err()), @r#"
    AlreadyExists: jobs.v1.Job with requests[2].job.id "00000000-0000-0000-0000-000000000001" already exists
      ALREADY_EXISTS of quire {"field": "requests[2].job.id"}
      jobs.v1.Job "00000000-0000-0000-0000-000000000001"
    "#);
    assert_eq!(testing::rows(&platform, &TABLES).await, before);
    assert_eq!(batch(&client, &[3, 2, 4].map(full)).await.unwrap(), [3, 2, 4].map(id));
}

#[tokio::test]
async fn what_exists_as_asked_for_is_passed_over() {
    let (platform, client) = start().await;
    create_in(&client, "other", &full(3)).await.unwrap();
    assert_eq!(batch_missing(&client, &[2, 1].map(full)).await.unwrap(), [2, 1].map(id));
    assert_eq!(batch_missing(&client, &[1, 3, 2, 4].map(full)).await.unwrap(), [1, 3, 2, 4].map(id));
    // One that has gone on since is still the one asked for.
    append(&client, &[event("1", &full(1), JobEventKind::Failed, "a", 1)]).await.unwrap();
    let before = testing::rows(&platform, &TABLES).await;
    let in_capitals = Job { id: id(0xabc).to_uppercase(), ..full(0) };
    assert_eq!(batch_missing(&client, &[4, 3, 2, 1].map(full)).await.unwrap(), [4, 3, 2, 1].map(id));
    assert_eq!(testing::rows(&platform, &TABLES).await, before);
    for _ in 0..2 {
        assert_eq!(batch_missing(&client, std::slice::from_ref(&in_capitals)).await.unwrap(), [id(0xabc)]);
    }
    // Data that is left out is `{}`, and a job whose id is left out is another one each time.
    let least = Job { id: id(9), ..of_type("sync") };
    let mut said = least.clone();
    said.operation.as_mut().unwrap().data = "{}".into();
    batch_missing(&client, &[least, of_type("sync")]).await.unwrap();
    batch_missing(&client, &[said, of_type("sync")]).await.unwrap();
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"8 jobs, 7 submitted, 1 failed, 1 dead letters, 8 sync");
}

#[tokio::test]
async fn what_exists_otherwise_than_asked_for_is_in_the_way() {
    let (platform, client) = start().await;
    create(&client, &full(1)).await.unwrap();
    let before = testing::rows(&platform, &TABLES).await;
    let changes: [fn(&mut Job); 6] = [
        |job| job.operation.as_mut().unwrap().r#type.push('x'),
        |job| job.operation.as_mut().unwrap().data = "{\"n\": 2}".into(),
        |job| job.operation.as_mut().unwrap().data = "{\"n\":1}".into(),
        |job| job.target.clear(),
        |job| job.priority += 1,
        |job| job.policy_type.clear(),
    ];
    let mut answers = Vec::new();
    for change in changes {
        let mut job = full(1);
        change(&mut job);
        answers.push(told(&batch_missing(&client, &[full(2), job]).await.unwrap_err()));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @r#"
    AlreadyExists: jobs.v1.Job with requests[1].job.id "00000000-0000-0000-0000-000000000001" already exists
      ALREADY_EXISTS of quire {"field": "requests[1].job.id"}
      jobs.v1.Job "00000000-0000-0000-0000-000000000001"
    "#);
    assert_eq!(testing::rows(&platform, &TABLES).await, before);
}

#[tokio::test]
async fn what_a_batch_may_weigh_is_made() {
    let (_platform, client) = start().await;
    let heavy = |number| {
        let data = format!("{{\"a\":\"{}\"}}", "x".repeat(262_144 - 8));
        Job { operation: Some(JobOperation { r#type: "sync".into(), data }), ..full(number) }
    };
    let jobs: Vec<_> = (0..63).map(heavy).collect();
    assert_eq!(batch(&client, &jobs).await.unwrap().len(), 63);
    assert_eq!(batch_missing(&client, &jobs).await.unwrap().len(), 63);
    // A page of them is cut where it would be too heavy.
    assert_eq!(walk(&client, &by("")).await.len(), 63);
    let jobs: Vec<_> = (0..65).map(heavy).collect();
    assert_eq!(batch(&client, &jobs).await.unwrap_err().code(), Code::OutOfRange);
}

/// They take what they have in common in the same order, so that none waits for another that waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_overlap_in_other_orders_are_all_done() {
    let (platform, client) = start().await;
    for round in 0..6 {
        let forward: Vec<_> = (0..400).map(|number| full(round * 400 + number)).collect();
        let batches = [forward.clone(), forward.iter().rev().cloned().collect(), forward[200..].to_vec(), forward];
        let answers = batches.each_ref().map(|jobs| batch_missing(&client, jobs));
        for answer in futures_util::future::join_all(answers).await {
            answer.unwrap();
        }
    }
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"2400 jobs, 2400 submitted, 0 dead letters, 2400 sync");
}
