//! GetQueueStats: how many jobs there are, by the counters.
use crate::support::{
    Client, STATUSES, append, batch_in, create, create_in, delete, event, from, numbers, of_type, page, retry, start,
    stats_in, there_and_back, told,
};
use platform::testing;
use quire_proto::{
    jobs::v1::{
        GetQueueStatsRequest, GetQueueStatsResponse, JobEventKind,
        JobEventKind::{Completed, Failed, Skipped, Started},
        JobStatus, JobStatusCount, OperationTypeCount, QueueStats,
    },
    pagination::v1::{PageRequest, TotalCount},
};
use tonic::Status;

async fn stats(client: &Client, page: Option<PageRequest>) -> Result<GetQueueStatsResponse, Status> {
    Ok(client.clone().get_queue_stats(from("default", GetQueueStatsRequest { page })).await?.into_inner())
}

#[tokio::test]
async fn an_empty_workspace_has_zero_of_everything() {
    let (_platform, client) = start().await;
    create_in(&client, "other", &of_type("sync")).await.unwrap();
    let GetQueueStatsResponse { stats, operation_types, page } = stats_in(&client, "default").await;
    let statuses = STATUSES.map(|status| JobStatusCount { status: status.into(), job_count: 0 }).into();
    assert_eq!(stats, Some(QueueStats { job_count: 0, statuses, dead_letter_count: 0 }));
    assert_eq!((operation_types, page), (vec![], Some(Default::default())));
}

/// Makes a job of this type with these events, each on a host of its own.
async fn make(client: &Client, operation_type: &str, kinds: &[JobEventKind]) -> String {
    let job = create(client, &of_type(operation_type)).await.unwrap();
    let events = kinds.iter().enumerate().map(|(host, kind)| {
        let host = host.to_string();
        event(&format!("{} {host}", job.id), &job, *kind, &host, 1)
    });
    let events: Vec<_> = events.collect();
    if !events.is_empty() {
        append(client, &events).await.unwrap();
    }
    job.id
}

#[tokio::test]
async fn jobs_are_counted_by_status_and_type() {
    let (platform, client) = start().await;
    let mut told = Vec::new();
    let cases: [(&str, &[JobEventKind]); 7] = [
        ("sync", &[]),
        ("sync", &[Started]),
        ("scan", &[Completed]),
        ("scan", &[Failed]),
        ("", &[Failed, Completed]),
        ("sync", &[Skipped]),
        ("sync", &[Failed, Failed]),
    ];
    let mut ids = Vec::new();
    for (operation_type, kinds) in cases {
        let operation_type = if operation_type.is_empty() { "Sync" } else { operation_type };
        ids.push(make(&client, operation_type, kinds).await);
        told.push(numbers(&platform, &client, "default").await);
    }
    // Dead letters are those that were not retried.
    for id in [&ids[3], &ids[4], &ids[2]] {
        retry(&client, id).await.unwrap();
        told.push(numbers(&platform, &client, "default").await);
    }
    for id in &ids {
        delete(&client, id).await.unwrap();
        told.push(numbers(&platform, &client, "default").await);
    }
    insta::assert_snapshot!(told.join("\n"), @"
    1 jobs, 1 submitted, 0 dead letters, 1 sync
    2 jobs, 1 submitted, 1 processing, 0 dead letters, 2 sync
    3 jobs, 1 submitted, 1 processing, 1 completed, 0 dead letters, 1 scan, 2 sync
    4 jobs, 1 submitted, 1 processing, 1 completed, 1 failed, 1 dead letters, 2 scan, 2 sync
    5 jobs, 1 submitted, 1 processing, 1 completed, 1 failed, 1 partial_failure, 2 dead letters, 1 Sync, 2 scan, 2 sync
    6 jobs, 1 submitted, 1 processing, 1 completed, 1 failed, 1 partial_failure, 1 skipped, 2 dead letters, 1 Sync, 2 scan, 3 sync
    7 jobs, 1 submitted, 1 processing, 1 completed, 2 failed, 1 partial_failure, 1 skipped, 3 dead letters, 1 Sync, 2 scan, 4 sync
    8 jobs, 2 submitted, 1 processing, 1 completed, 2 failed, 1 partial_failure, 1 skipped, 2 dead letters, 1 Sync, 3 scan, 4 sync
    9 jobs, 3 submitted, 1 processing, 1 completed, 2 failed, 1 partial_failure, 1 skipped, 1 dead letters, 2 Sync, 3 scan, 4 sync
    10 jobs, 4 submitted, 1 processing, 1 completed, 2 failed, 1 partial_failure, 1 skipped, 1 dead letters, 2 Sync, 4 scan, 4 sync
    9 jobs, 3 submitted, 1 processing, 1 completed, 2 failed, 1 partial_failure, 1 skipped, 1 dead letters, 2 Sync, 4 scan, 3 sync
    8 jobs, 3 submitted, 1 completed, 2 failed, 1 partial_failure, 1 skipped, 1 dead letters, 2 Sync, 4 scan, 2 sync
    7 jobs, 3 submitted, 2 failed, 1 partial_failure, 1 skipped, 1 dead letters, 2 Sync, 3 scan, 2 sync
    6 jobs, 3 submitted, 1 failed, 1 partial_failure, 1 skipped, 1 dead letters, 2 Sync, 2 scan, 2 sync
    5 jobs, 3 submitted, 1 failed, 1 skipped, 1 dead letters, 1 Sync, 2 scan, 2 sync
    4 jobs, 3 submitted, 1 failed, 1 dead letters, 1 Sync, 2 scan, 1 sync
    3 jobs, 3 submitted, 0 dead letters, 1 Sync, 2 scan
    ");
}

#[tokio::test]
async fn each_of_the_six_statuses_is_told_whether_any_has_it() {
    let (_platform, client) = start().await;
    make(&client, "sync", &[Failed, Completed]).await;
    let stats = stats_in(&client, "default").await.stats.unwrap();
    let counts: Vec<_> = stats.statuses.iter().map(|count| (count.status(), count.job_count)).collect();
    assert_eq!(counts, STATUSES.map(|status| (status, i64::from(status == JobStatus::PartialFailure))));
}

#[tokio::test]
async fn types_are_paged_and_those_of_no_job_are_left_out() {
    let (platform, client) = start().await;
    let types: Vec<_> = (0..70).map(|n| format!("type {:02}", n * 37 % 70)).collect();
    let jobs: Vec<_> = types.iter().enumerate().flat_map(|(n, name)| vec![of_type(name); n % 3 + 1]).collect();
    let ids = batch_in(&client, "default", &jobs, false).await.unwrap();
    batch_in(&client, "other", &jobs[..9], false).await.unwrap();
    let gone = jobs.iter().zip(&ids).filter(|(job, _)| job.operation.as_ref().unwrap().r#type.ends_with('5'));
    for (_, id) in gone {
        delete(&client, id).await.unwrap();
    }
    // Nothing is left of them that a page would have to pass over.
    let sql = "select count(distinct operation_type) from job_operation_type_counts where workspace_id = 'default'";
    assert_eq!(sqlx::query_scalar::<_, i64>(sql).fetch_one(&testing::pool(&platform)).await.unwrap(), 63);
    let mut expected: Vec<_> = types
        .iter()
        .enumerate()
        .map(|(n, name)| OperationTypeCount { operation_type: name.clone(), job_count: n as i64 % 3 + 1 })
        .filter(|count| !count.operation_type.ends_with('5'))
        .collect();
    expected.sort_by(|one, other| one.operation_type.cmp(&other.operation_type));
    for page_size in [1, 7, 63, 200] {
        let fetch = async |page| {
            let response = stats(&client, Some(page)).await.unwrap();
            // Each page tells of all jobs.
            assert_eq!(response.stats.unwrap().job_count, expected.iter().map(|count| count.job_count).sum::<i64>());
            (response.operation_types, response.page.unwrap())
        };
        assert_eq!(there_and_back(page_size, fetch).await.concat(), expected);
    }
    let exact = PageRequest { page_size: 1, skip: 62, total_count: TotalCount::Exact.into(), ..Default::default() };
    let last = stats(&client, Some(exact)).await.unwrap();
    assert_eq!((&last.operation_types[..], last.page.unwrap().total_count), (&expected[62..], Some(63)));

    // A token is of one workspace.
    let token = stats(&client, page(1, "")).await.unwrap().page.unwrap().next_page_token;
    let request = GetQueueStatsRequest { page: page(1, &token) };
    let moved = client.clone().get_queue_stats(from("other", request)).await.unwrap_err();
    insta::assert_snapshot!(told(&moved), @"
    InvalidArgument: page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      PAGE_TOKEN_QUERY_CHANGED of quire {}
    ");
    insta::assert_snapshot!(told(&stats(&client, page(-1, "")).await.unwrap_err()), @"
    InvalidArgument: page.page_size: must not be negative; 0 means 50
      page.page_size: must not be negative; 0 means 50
    ");
}
