//! Exact totals of ListJobs: where they come from, and how many statements the database runs for a page.
use std::fs;

use crate::support::{
    Client, ORDERS, append_in, at, batch_in, by, event, from, list_in, of_type, start, start_on, stats_in,
};
use database::connect;
use platform::testing;
use quire_proto::{
    jobs::v1::{
        Job, JobEventKind, JobStatus,
        JobStatus::{Completed, Failed, PartialFailure, Processing, Submitted},
        ListJobsRequest,
    },
    pagination::v1::{PageRequest, TotalCount, TotalCountPrecision},
};
use sqlx::postgres::PgConnectOptions;

fn exactly(page_size: i32) -> Option<PageRequest> {
    Some(PageRequest { page_size, total_count: TotalCount::Exact.into(), ..Default::default() })
}

async fn total(client: &Client, workspace: &str, request: &ListJobsRequest) -> i64 {
    let request = ListJobsRequest { page: exactly(1), ..request.clone() };
    let (_, page) = list_in(client, workspace, &request).await.unwrap();
    assert_eq!(page.total_count_precision(), TotalCountPrecision::Exact);
    page.total_count.unwrap()
}

/// Makes 12 jobs of two types, of which 3 fail, and 4 more have started.
async fn make(client: &Client, workspace: &str) {
    let jobs = (0..12).map(|n| Job {
        target: format!("{}", n % 2),
        policy_type: "nightly".into(),
        ..of_type(["sync", "scan", "scan"][n % 3])
    });
    let ids = batch_in(client, workspace, &jobs.collect::<Vec<_>>(), false).await.unwrap();
    let events = ids.iter().take(7).enumerate().map(|(n, id)| {
        let job = Job { id: id.clone(), ..Default::default() };
        let kind = if n < 3 { JobEventKind::Failed } else { JobEventKind::Started };
        event(&n.to_string(), &job, kind, "a", n as i64)
    });
    append_in(client, workspace, &events.collect::<Vec<_>>()).await.unwrap();
}

fn of_statuses(statuses: &[JobStatus]) -> ListJobsRequest {
    ListJobsRequest { statuses: statuses.iter().map(|status| (*status).into()).collect(), ..by("") }
}

fn of_operation(operation_type: &str) -> ListJobsRequest {
    ListJobsRequest { operation_type: Some(operation_type.into()), ..by("") }
}

#[tokio::test]
async fn what_a_counter_tells_is_read_from_it_and_all_else_is_counted() {
    let (platform, client) = start().await;
    for workspace in ["default", "other"] {
        make(&client, workspace).await;
    }
    // What is asked for, what it matches, and what the counters say once they are wrong.
    let of_both = ListJobsRequest { statuses: vec![Failed.into()], ..of_operation("sync") };
    let cases = [
        (by(""), 12, 12_000),
        (of_statuses(&[Failed]), 3, 3_000),
        (of_statuses(&[Failed, Processing]), 7, 7_000),
        (of_statuses(&[Failed, Failed]), 3, 3_000),
        (of_statuses(&[Submitted, PartialFailure]), 5, 5_000),
        (of_statuses(&[Completed]), 0, 0),
        (of_operation("sync"), 4, 8_000),
        (of_operation("none"), 0, 0),
        (of_both, 1, 1),
        (ListJobsRequest { target: Some("1".into()), ..by("") }, 6, 6),
        (ListJobsRequest { target: Some("1".into()), ..of_statuses(&[Failed]) }, 1, 1),
        (ListJobsRequest { policy_type: Some("nightly".into()), ..by("") }, 12, 12),
        (ListJobsRequest { create_time_from: at(0), ..by("") }, 12, 12),
        (ListJobsRequest { end_time_before: at(2), ..of_statuses(&[Failed]) }, 2, 2),
    ];
    for order_by in ORDERS {
        for (request, expected, _) in &cases {
            let request = ListJobsRequest { order_by: order_by.into(), ..request.clone() };
            assert_eq!(total(&client, "default", &request).await, *expected, "{request:?}");
        }
    }
    let pool = testing::pool(&platform);
    let wrong = "do $$ begin
        update job_status_counts set row_count = row_count * 1000 where workspace_id = 'default';
        update job_operation_type_counts set row_count = row_count * 2000 where workspace_id = 'default';
    end $$";
    sqlx::raw_sql(wrong).execute(&pool).await.unwrap();
    for (request, expected, wrong) in &cases {
        assert_eq!(total(&client, "default", request).await, *wrong, "{request:?}");
        assert_eq!(total(&client, "other", request).await, *expected, "{request:?}");
    }
    assert_eq!(stats_in(&client, "default").await.stats.unwrap().job_count, 12_000);
}

#[tokio::test]
async fn past_the_end_there_is_the_true_total() {
    let (_platform, client) = start().await;
    make(&client, "default").await;
    for (request, expected) in [(by(""), 12), (of_statuses(&[Failed]), 3), (of_operation("sync"), 4)] {
        let page = PageRequest { skip: 100, ..exactly(5).unwrap() };
        let (jobs, page) = list_in(&client, "default", &ListJobsRequest { page: Some(page), ..request }).await.unwrap();
        assert_eq!((jobs, page.total_count, page.next_page_token), (vec![], Some(expected), String::new()));
    }
}

/// Every statement that the server was to log and has run, by its log, which is beside the directory of its socket.
fn statements(options: &PgConnectOptions) -> Vec<String> {
    let directory = options.get_socket().unwrap().canonicalize().unwrap();
    let log = fs::read_to_string(directory.with_file_name("postgres.log")).unwrap();
    let entries = log.split(" LOG:  ").map(str::to_owned);
    let entries = entries.filter(|entry| entry.starts_with("execute ") || entry.starts_with("statement: "));
    // A connection is asked for its process when it is made.
    entries.filter(|entry| !entry.contains("pg_backend_pid")).collect()
}

#[tokio::test]
async fn a_page_is_one_statement_and_two_with_a_count() {
    let options = testing::new_database().await;
    let platform =
        testing::platform_on(connect(options.clone().options([("log_statement", "all")]), testing::MAX_CONNECTIONS));
    let client = start_on(&platform).await;
    for _ in 0..20 {
        batch_in(&client, "default", &vec![of_type("sync"); 20], false).await.unwrap();
    }
    for events in [0, 2_000] {
        let (jobs, _) = list_in(&client, "default", &by("")).await.unwrap();
        for first in (0..events).step_by(1_000) {
            let events = (first..first + 1_000)
                .map(|n| event(&n.to_string(), &jobs[n % 50], JobEventKind::Started, "a", n as i64));
            append_in(&client, "default", &events.collect::<Vec<_>>()).await.unwrap();
        }
        for order_by in ORDERS {
            for request in [by(order_by), of_statuses(&[Processing, Submitted]), of_operation("sync")] {
                for (page_size, total_count) in [1, 50, 200].into_iter().flat_map(|size| [(size, 0), (size, 1)]) {
                    let page = Some(PageRequest { page_size, total_count, ..Default::default() });
                    let request =
                        from("default", ListJobsRequest { page, order_by: order_by.into(), ..request.clone() });
                    let before = statements(&options).len();
                    let listed = client.clone().list_jobs(request).await.unwrap().into_inner().jobs.len();
                    assert_eq!(listed, page_size as usize);
                    let run = statements(&options).split_off(before);
                    assert_eq!(run.len(), if total_count == 0 { 1 } else { 2 }, "{run:#?}");
                    assert!(run.iter().all(|statement| !statement.contains("job_events")), "{run:#?}");
                }
            }
        }
    }
}
