//! DeleteJob: a job goes, and its events with it.
use crate::support::{
    append, batch_in, by, create, delete, event, events, from, get, id, list_events, numbers, of_type, retry, start,
    told, walk,
};
use platform::testing;
use quire_proto::jobs::v1::{
    DeleteJobRequest, Job,
    JobEventKind::{Completed, Failed, Started},
    ListJobEventsRequest,
};
use tonic::Code;

#[tokio::test]
async fn what_is_deleted_is_gone_with_its_events() {
    let (platform, client) = start().await;
    let [job, other] = [1, 2].map(|number| Job { id: id(number), ..of_type("sync") });
    batch_in(&client, "default", &[job.clone(), other.clone()], false).await.unwrap();
    append(&client, &[event("1", &job, Failed, "a", 1), event("2", &other, Started, "a", 1)]).await.unwrap();
    delete(&client, &job.id).await.unwrap();

    let gone = told(&get(&client, &job.id).await.unwrap_err());
    insta::assert_snapshot!(gone, @r#"
    NotFound: jobs.v1.Job with id "00000000-0000-0000-0000-000000000001" does not exist
      NOT_FOUND of quire {"field": "id"}
      jobs.v1.Job "00000000-0000-0000-0000-000000000001"
    "#);
    assert_eq!(told(&delete(&client, &job.id).await.unwrap_err()), gone);
    assert_eq!(told(&retry(&client, &job.id).await.unwrap_err()), gone);
    let request = ListJobEventsRequest { job_id: job.id.clone(), ..Default::default() };
    assert_eq!(list_events(&client, &request).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(walk(&client, &by("")).await, [get(&client, &other.id).await.unwrap().job.unwrap()]);
    assert_eq!(testing::rows(&platform, &["job_events"]).await.len(), 1);
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"1 jobs, 1 processing, 0 dead letters, 1 sync");

    // Its id is free again, and what happened to it is forgotten.
    create(&client, &job).await.unwrap();
    assert_eq!(events(&client, &job.id).await, []);
    // What another workspace has is as if it were nowhere.
    let theirs = from("other", DeleteJobRequest { id: job.id.clone() });
    assert_eq!(told(&client.clone().delete_job(theirs).await.unwrap_err()), gone);
    insta::assert_snapshot!(numbers(&platform, &client, "default").await, @"2 jobs, 1 submitted, 1 processing, 0 dead letters, 2 sync");
}

/// Jobs are deleted, retried and told of by many at once; what is counted stays what is there.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_delete_at_once_count_each_once() {
    let (platform, client) = start().await;
    let jobs: Vec<_> = (0..40).map(|number| Job { id: id(number), ..of_type("sync") }).collect();
    batch_in(&client, "default", &jobs, false).await.unwrap();
    let ended: Vec<_> = jobs.iter().map(|job| event(&job.id, job, Completed, "a", 1)).collect();
    append(&client, &ended).await.unwrap();
    let answers = futures_util::future::join_all(jobs.iter().map(async |job| {
        let late = [event(&format!("late {}", job.id), job, Started, "b", 1)];
        let (first, second, retried, told) = tokio::join!(
            delete(&client, &job.id),
            delete(&client, &job.id),
            retry(&client, &job.id),
            append(&client, &late),
        );
        assert!(first.is_ok() != second.is_ok(), "one of them deletes it: {first:?} {second:?}");
        let refused = [retried.as_ref().err(), told.as_ref().err()].into_iter().flatten();
        let refused: Vec<_> = refused.map(tonic::Status::code).collect();
        assert!(refused.iter().all(|code| matches!(code, Code::NotFound | Code::FailedPrecondition)), "{refused:?}");
        usize::from(retried.is_ok())
    }));
    let retried: usize = answers.await.into_iter().sum();
    assert_eq!(walk(&client, &by("")).await.len(), retried);
    crate::support::assert_counted(&platform).await;
}
