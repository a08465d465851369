//! RetryJob: a new job, the old one kept, and only what has ended, once.
use crate::support::{
    Client, append, by, create, delete, event, events, from, get, numbers, of_type, retry, start, start_on, told, walk,
};
use platform::{
    Platform,
    testing::{self, Hands},
};
use quire_proto::jobs::v1::{
    Job, JobEvent,
    JobEventKind::{self, Completed, Failed, Retried, Skipped, Started},
    JobStatus, RetryJobRequest,
};
use tonic::Code;

async fn refusal(client: &Client, id: &str) -> String {
    told(&retry(client, id).await.unwrap_err())
}

/// A job that ended with this kind on a host.
async fn ended(client: &Client, kind: JobEventKind) -> Job {
    let mut job = create(client, &of_type("sync")).await.unwrap();
    append(client, &[event(&job.id, &job, kind, "a", 1)]).await.unwrap();
    job = get(client, &job.id).await.unwrap().job.unwrap();
    job
}

#[tokio::test]
async fn a_retry_is_a_job_like_the_old_one_with_a_history_of_its_own() {
    let hands = Hands::at(1_800_000_000);
    let platform = Platform { clock: hands.clock(), ..testing::platform().await };
    let client = start_on(&platform).await;
    let mut asked = Job { target: "web".into(), priority: -7, policy_type: "nightly".into(), ..of_type("sync") };
    asked.operation.as_mut().unwrap().data = "{ \"b\": 1, \"a\": 2 }".into();
    let made = create(&client, &asked).await.unwrap();
    let failed = JobEvent { error: "no".into(), ..event("1", &made, Failed, "a", 1) };
    append(&client, std::slice::from_ref(&failed)).await.unwrap();
    let old = get(&client, &made.id).await.unwrap().job.unwrap();
    hands.pass(60);
    let new = retry(&client, &old.id).await.unwrap();

    let now = Some(hands.time(0));
    let expected = Job { retried_from: old.id.clone(), create_time: now, update_time: now, ..made };
    assert_eq!(new, Job { id: new.id.clone(), etag: new.etag.clone(), ..expected });
    let got = get(&client, &new.id).await.unwrap();
    assert_eq!((got.job, got.hosts), (Some(new.clone()), vec![]));
    assert_eq!(events(&client, &new.id).await, []);

    let kept = get(&client, &old.id).await.unwrap().job.unwrap();
    assert_ne!(kept.etag, old.etag);
    let expected = Job { retried_as: new.id.clone(), etag: kept.etag.clone(), update_time: now, ..old.clone() };
    assert_eq!(kept, expected);
    let [first, second] = &events(&client, &old.id).await[..] else { panic!("it has two events") };
    assert_eq!(first.id, failed.id);
    let retried = JobEvent { id: second.id.clone(), job_id: old.id, kind: Retried.into(), ..Default::default() };
    assert_eq!(*second, JobEvent { occur_time: now, create_time: now, ..retried });
    assert_eq!(walk(&client, &by("")).await, [new, kept]);
}

#[tokio::test]
async fn what_has_ended_is_retried_however_it_ended() {
    let (platform, client) = start().await;
    for kind in [Completed, Failed, Skipped] {
        let job = ended(&client, kind).await;
        assert_eq!(retry(&client, &job.id.to_uppercase()).await.unwrap().status(), JobStatus::Submitted);
    }
    let partial = ended(&client, Failed).await;
    append(&client, &[event("b", &partial, Completed, "b", 1)]).await.unwrap();
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"7 jobs, 3 submitted, 1 completed, 1 failed, 1 partial_failure, 1 skipped, 1 dead letters, 7 sync");
    let again = retry(&client, &partial.id).await.unwrap();
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"8 jobs, 4 submitted, 1 completed, 1 failed, 1 partial_failure, 1 skipped, 0 dead letters, 8 sync");
    // A retry that fails is a dead letter, until it is retried itself.
    append(&client, &[event("again", &again, Failed, "a", 1)]).await.unwrap();
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"8 jobs, 3 submitted, 1 completed, 2 failed, 1 partial_failure, 1 skipped, 1 dead letters, 8 sync");
    let third = retry(&client, &again.id).await.unwrap();
    let again = get(&client, &again.id).await.unwrap().job.unwrap();
    assert_eq!([&again.retried_from, &again.retried_as, &third.retried_from], [&partial.id, &third.id, &again.id]);
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"9 jobs, 4 submitted, 1 completed, 2 failed, 1 partial_failure, 1 skipped, 0 dead letters, 9 sync");
}

#[tokio::test]
async fn what_has_not_ended_or_was_retried_is_not_retried() {
    let (platform, client) = start().await;
    let submitted = create(&client, &of_type("sync")).await.unwrap();
    let processing = ended(&client, Completed).await;
    append(&client, &[event("late", &processing, Started, "b", 1)]).await.unwrap();
    let retried = ended(&client, Failed).await;
    retry(&client, &retried.id).await.unwrap();
    let tables = ["jobs", "job_events", "job_status_counts", "job_operation_type_counts"];
    let before = testing::rows(&platform, &tables).await;
    let mut answers = Vec::new();
    for id in [&submitted.id, &processing.id, &retried.id, &crate::support::id(9), "x"] {
        answers.push(refusal(&client, id).await);
    }
    insta::assert_snapshot!(answers.join("\n"), @r#"
    FailedPrecondition: the job has not ended
    FailedPrecondition: the job has not ended
    FailedPrecondition: the job was retried before
    NotFound: jobs.v1.Job with id "00000000-0000-0000-0000-000000000009" does not exist
      NOT_FOUND of quire {"field": "id"}
      jobs.v1.Job "00000000-0000-0000-0000-000000000009"
    InvalidArgument: id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    "#);
    // What another workspace has is as if it were nowhere.
    let request = from("other", RetryJobRequest { id: retried.id.clone() });
    assert_eq!(client.clone().retry_job(request).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(testing::rows(&platform, &tables).await, before);
}

#[tokio::test]
async fn an_event_that_says_so_retries_nothing() {
    let (_platform, client) = start().await;
    let job = ended(&client, Failed).await;
    append(&client, &[event("said", &job, Retried, "", 5)]).await.unwrap();
    let told = get(&client, &job.id).await.unwrap().job.unwrap();
    assert_eq!(Job { etag: told.etag.clone(), update_time: told.update_time, ..job.clone() }, told);
    retry(&client, &job.id).await.unwrap();
}

#[tokio::test]
async fn a_job_that_a_late_host_reopens_stays_retried() {
    let (platform, client) = start().await;
    let job = ended(&client, Failed).await;
    let again = retry(&client, &job.id).await.unwrap();
    append(&client, &[event("late", &job, Started, "b", 1)]).await.unwrap();
    let reopened = get(&client, &job.id).await.unwrap().job.unwrap();
    assert_eq!((reopened.status(), reopened.end_time, &reopened.retried_as), (JobStatus::Processing, None, &again.id));
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"2 jobs, 1 submitted, 1 processing, 0 dead letters, 2 sync");
    insta::assert_snapshot!(refusal(&client, &job.id).await, @"FailedPrecondition: the job was retried before");
    append(&client, &[event("later", &job, Completed, "b", 2)]).await.unwrap();
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"2 jobs, 1 submitted, 1 partial_failure, 0 dead letters, 2 sync");
    assert_eq!(retry(&client, &job.id).await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_retry_is_kept_without_the_other_one() {
    let (platform, client) = start().await;
    // The retry is deleted.
    let job = ended(&client, Failed).await;
    let again = retry(&client, &job.id).await.unwrap();
    delete(&client, &again.id).await.unwrap();
    assert_eq!(get(&client, &job.id).await.unwrap().job.unwrap().retried_as, again.id);
    assert_eq!(retry(&client, &job.id).await.unwrap_err().code(), Code::FailedPrecondition);
    // What it was a retry of is.
    let gone = ended(&client, Skipped).await;
    let again = retry(&client, &gone.id).await.unwrap();
    delete(&client, &gone.id).await.unwrap();
    assert_eq!(get(&client, &again.id).await.unwrap().job.unwrap(), again);
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"2 jobs, 1 submitted, 1 failed, 0 dead letters, 2 sync");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_retry_a_job_at_once_one_does() {
    let (platform, client) = start().await;
    for _ in 0..10 {
        let job = ended(&client, Failed).await;
        let answers = futures_util::future::join_all((0..8).map(|_| retry(&client, &job.id))).await;
        let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(done.len(), 1);
        assert_eq!(get(&client, &job.id).await.unwrap().job.unwrap().retried_as, done[0].as_ref().unwrap().id);
        let codes = refused.into_iter().map(|answer| told(&answer.unwrap_err()));
        assert!(codes.into_iter().all(|code| code == "FailedPrecondition: the job was retried before"));
        assert_eq!(events(&client, &job.id).await.len(), 2);
    }
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"20 jobs, 10 submitted, 10 failed, 0 dead letters, 20 sync");
}
