//! RetryJob: a new job like the old one, which stays; each job that has ended is retried once. That they are counted, and
//! kept without each other, is in the model check.
use crate::support::{event, of_type, start_at_rest, told};
use platform::testing;
use quire_proto::jobs::v1::{
    Job, JobEvent,
    JobEventKind::{Failed, Retried, Started},
};

#[tokio::test]
async fn a_retry_is_a_job_like_the_old_one_with_a_history_of_its_own() {
    let (caller, hands) = start_at_rest().await;
    let mut asked = Job { target: "web".into(), priority: -7, policy_type: "nightly".into(), ..of_type("sync") };
    asked.operation.as_mut().unwrap().data = "{ \"b\": 1, \"a\": 2 }".into();
    let made = caller.create(&asked).await.unwrap();
    let mut refusals = vec![told(&caller.retry(&made.id).await.unwrap_err())];
    // An event that says so retries nothing.
    caller.append(&[event("1", &made, Failed, "a", 1), event("2", &made, Retried, "", 1)]).await.unwrap();
    let old = caller.job(&made.id).await;
    hands.pass(60);
    let new = caller.retry(&old.id.to_uppercase()).await.unwrap();

    let (now, retried_from) = (Some(hands.time(0)), old.id.clone());
    let Job { id, etag, .. } = new.clone();
    assert_eq!(new, Job { id, etag, retried_from, create_time: now, update_time: now, ..made });
    assert_eq!(caller.events(&new.id).await.unwrap(), []);
    let kept = caller.job(&old.id).await;
    let (retried_as, etag) = (new.id.clone(), kept.etag.clone());
    assert_eq!(kept, Job { retried_as, etag, update_time: now, ..old.clone() });
    let events = caller.events(&old.id).await.unwrap();
    let (id, job_id, kind) = (events[2].id.clone(), old.id.clone(), Retried.into());
    let retried = JobEvent { id, job_id, kind, occur_time: now, create_time: now, ..Default::default() };
    assert_eq!(events[2..], [retried]);

    // A late host reopens it, which stays retried.
    refusals.push(told(&caller.retry(&old.id).await.unwrap_err()));
    caller.append(&[event("late", &old, Started, "b", 1)]).await.unwrap();
    let before = testing::rows(&caller.platform, &["jobs", "job_events", "job_status_counts"]).await;
    refusals.push(told(&caller.retry(&old.id).await.unwrap_err()));
    assert_eq!(testing::rows(&caller.platform, &["jobs", "job_events", "job_status_counts"]).await, before);
    insta::assert_snapshot!(refusals.join("\n"), @"
    FailedPrecondition: the job has not ended
    FailedPrecondition: the job was retried before
    FailedPrecondition: the job was retried before
    ");
    assert_eq!(caller.numbers().await, "2 jobs, 1 submitted, 1 processing, 0 dead letters, 2 sync");
}
