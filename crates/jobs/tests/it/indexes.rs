//! Every statement of the service finds its rows by an index, however many rows there are.
use crate::support::{
    Client, ORDERS, append_in, at, batch_in, by, create_in, event, from, get_in, id, list_in, of_type, page, start_on,
};
use database::connect;
use keyset::Statement;
use platform::testing::{MAX_CONNECTIONS, Many, platform_on};
use quire_proto::{
    jobs::v1::{
        GetQueueStatsRequest, Job,
        JobEventKind::{Completed, Failed, Started},
        JobStatus, ListJobEventsRequest, ListJobsRequest,
    },
    pagination::v1::{PageRequest, TotalCount},
};
use tonic::Status;

/// 20,000 jobs in five workspaces, each workspace's a second apart, with three events each, and the counters of these
/// workspaces and of 2,000 others.
const SEED: [&str; 6] = [
    // What vacuum reads would be taken for what the calls read.
    "alter table jobs set (autovacuum_enabled = off);
    alter table job_events set (autovacuum_enabled = off);
    alter table job_status_counts set (autovacuum_enabled = off);
    alter table job_operation_type_counts set (autovacuum_enabled = off)",
    "insert into jobs (workspace_id, id, operation_type, operation_data, target, priority, policy_type, status, changed, bytes,
        files, error, start_time, end_time, etag, create_time, update_time)
    select 'w' || n % 5, lpad(to_hex(n / 5), 32, '0')::uuid, 'type ' || n % 7, '{}', 'target ' || n % 11, n % 3, 'policy',
        status, false, 0, 0, '', time, case when status = 'failed' then time end, gen_random_uuid(), time, time
    from generate_series(0, 19999) as n,
        lateral (select case when n % 3 = 0 then 'failed' else 'processing' end as status,
            timestamptz '2026-01-01 UTC' + n / 5 * interval '1 s' as time) as values",
    "insert into job_events (workspace_id, id, job_id, kind, host, message, error, occur_time, create_time)
    select workspace_id, id || ' ' || n, id, case when n = 3 and status = 'failed' then 'failed' else 'started' end, 'a', '',
        '', create_time, create_time
    from jobs, generate_series(1, 3) as n",
    "insert into job_status_counts (workspace_id, status, retried, slot, row_count)
    select workspace_id, status, false, 0, count(*) from jobs group by workspace_id, status
    union all select 'x' || n, status, retried, slot, 1 from generate_series(1, 500) as n, generate_series(0, 15) as slot,
        unnest(array['submitted', 'failed']) as status, unnest(array[true, false]) as retried",
    "insert into job_operation_type_counts (workspace_id, operation_type, slot, row_count)
    select workspace_id, operation_type, 0, count(*) from jobs group by workspace_id, operation_type
    union all select 'x' || n, 'type ' || type, slot, 1 from generate_series(1, 500) as n, generate_series(0, 15) as slot,
        generate_series(1, 4) as type",
    "analyze",
];

/// The job with this number.
fn job(number: u128) -> Job {
    Job { id: id(number), ..of_type("type 1") }
}

async fn delete(client: &Client, id: String) -> Result<(), Status> {
    let request = quire_proto::jobs::v1::DeleteJobRequest { id };
    client.clone().delete_job(from("w1", request)).await.map(drop)
}

async fn retry(client: &Client, id: String) -> Result<(), Status> {
    let request = quire_proto::jobs::v1::RetryJobRequest { id };
    client.clone().retry_job(from("w1", request)).await.map(drop)
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn no_call_about_one_job_scans_a_table() {
    let many = Many::new(&SEED).await;
    many.assert_reads("CreateJob", 4, async |platform| {
        let client = start_on(platform).await;
        create_in(&client, "w1", &job(9_000)).await.unwrap();
        create_in(&client, "w1", &job(2_000)).await.unwrap_err();
    })
    .await;
    many.assert_reads("GetJob", 4, async |platform| {
        let client = start_on(platform).await;
        assert_eq!(get_in(&client, "w1", &id(2_000)).await.unwrap().hosts.len(), 1);
        get_in(&client, "w1", &id(9_999)).await.unwrap_err();
    })
    .await;
    many.assert_reads("RetryJob", 10, async |platform| {
        let client = start_on(platform).await;
        // Every third of the workspace's has failed.
        retry(&client, id(1)).await.unwrap();
        retry(&client, id(1)).await.unwrap_err();
        retry(&client, id(2)).await.unwrap_err();
        retry(&client, id(9_999)).await.unwrap_err();
    })
    .await;
    many.assert_reads("DeleteJob", 8, async |platform| {
        let client = start_on(platform).await;
        delete(&client, id(2_001)).await.unwrap();
        delete(&client, id(9_999)).await.unwrap_err();
    })
    .await;
}

#[tokio::test]
async fn no_batch_scans_a_table() {
    let many = Many::new(&SEED).await;
    let batch = |numbers: std::ops::Range<u128>| {
        let jobs = numbers.map(|number| Job {
            target: format!("target {}", (number * 5 + 1) % 11),
            priority: (number as i32 * 5 + 1) % 3,
            policy_type: "policy".into(),
            ..Job { id: id(number), ..of_type(&format!("type {}", (number * 5 + 1) % 7)) }
        });
        jobs.collect::<Vec<_>>()
    };
    // Each that is written looks at some pages of seven indexes.
    many.assert_reads("BatchCreateJobs", 200, async |platform| {
        let client = start_on(platform).await;
        batch_in(&client, "w1", &batch(5_000..5_100), false).await.unwrap();
        batch_in(&client, "w1", &batch(3_000..3_100), false).await.unwrap_err();
    })
    .await;
    many.assert_reads("BatchCreateJobs that passes over 900", 1_000, async |platform| {
        let client = start_on(platform).await;
        batch_in(&client, "w1", &batch(3_100..4_100), true).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn no_call_about_events_scans_a_table() {
    let many = Many::new(&SEED).await;
    many.assert_reads("AppendJobEvents of one job", 16, async |platform| {
        let client = start_on(platform).await;
        append_in(&client, "w1", &[event("new", &job(2_000), Completed, "b", 1)]).await.unwrap();
        append_in(&client, "w1", &[event("new", &job(2_000), Completed, "b", 1)]).await.unwrap();
        append_in(&client, "w1", &[event("new", &job(2_000), Failed, "b", 1)]).await.unwrap_err();
        append_in(&client, "w1", &[event("newer", &job(9_999), Failed, "b", 1)]).await.unwrap_err();
    })
    .await;
    // Of each job, itself and its four events, some of them more than once.
    many.assert_reads("AppendJobEvents of 1,000 jobs", 14_000, async |platform| {
        let client = start_on(platform).await;
        let events: Vec<_> =
            (1_000..2_000).map(|number| event(&format!("new {number}"), &job(number), Started, "b", 1)).collect();
        append_in(&client, "w1", &events).await.unwrap();
        append_in(&client, "w1", &events).await.unwrap();
    })
    .await;
    many.assert_reads("ListJobEvents", 4, async |platform| {
        let mut client = start_on(platform).await;
        let at = |number, token: &str| {
            from("w1", ListJobEventsRequest { job_id: id(number), page: page(2, token), ..Default::default() })
        };
        let first = client.list_job_events(at(3_000, "")).await.unwrap().into_inner();
        let second = client.list_job_events(at(3_000, &first.page.unwrap().next_page_token)).await.unwrap();
        assert_eq!((first.events.len(), second.into_inner().events.len()), (2, 1));
        client.list_job_events(at(9_999, "")).await.unwrap_err();
    })
    .await;
}

#[tokio::test]
async fn no_list_scans_a_table() {
    let many = Many::new(&SEED).await;
    let statuses = vec![JobStatus::Failed.into(), JobStatus::Processing.into()];
    let in_all = [by("")];
    let by_create_time = [
        ListJobsRequest { statuses: vec![JobStatus::Failed.into()], ..by("") },
        ListJobsRequest { statuses: statuses.clone(), ..by("") },
        ListJobsRequest { operation_type: text("type 1"), ..by("") },
        ListJobsRequest { target: text("target 1"), ..by("") },
        ListJobsRequest { create_time_from: at(1_000), create_time_before: at(3_000), ..by("") },
        ListJobsRequest { statuses, create_time_from: at(1_000), create_time_before: at(3_000), ..by("") },
    ];
    let by_end_time = [ListJobsRequest { end_time_from: at(1_000), end_time_before: at(3_000), ..by("") }];
    // In the first two orders a page is found in one way; in the others one that follows another is found in two, unless
    // it is of those that have ended.
    let cases = [
        (&in_all[..], &ORDERS[..2], 44),
        (&in_all, &ORDERS[2..], 66),
        (&by_create_time, &ORDERS[..2], 44),
        (&by_end_time, &ORDERS[2..3], 22),
    ];
    let cases = cases.into_iter().flat_map(|(requests, orders, most)| requests.iter().map(move |r| (r, orders, most)));
    for (request, orders, most) in cases {
        // Each status is a way of its own.
        let most = most * request.statuses.len().max(1) as i64;
        many.assert_reads(&format!("ListJobs {request:?}"), most, async |platform| {
            let client = start_on(platform).await;
            for order_by in orders {
                let order_by = (*order_by).to_owned();
                let at =
                    |token| ListJobsRequest { page: page(10, token), order_by: order_by.clone(), ..request.clone() };
                let (_, first) = list_in(&client, "w1", &at("")).await.unwrap();
                assert_eq!(list_in(&client, "w1", &at(&first.next_page_token)).await.unwrap().0.len(), 10);
            }
        })
        .await;
    }
    // At most 2,000 rows are looked at for a policy that no job is under.
    many.assert_reads("ListJobs of a policy", 2_000, async |platform| {
        let client = start_on(platform).await;
        let request = ListJobsRequest { policy_type: text("none"), page: page(10, ""), ..by("") };
        assert_eq!(list_in(&client, "w1", &request).await.unwrap().0, []);
    })
    .await;
}

#[tokio::test]
async fn no_number_scans_a_table() {
    let many = Many::new(&SEED).await;
    // Of each page 2 rows, and of the counters no more than those of the workspace: 2 statuses, or the one type.
    many.assert_reads("ListJobs with totals", 4 * 2 + 3 * 2 + 1, async |platform| {
        let client = start_on(platform).await;
        let page = PageRequest { page_size: 1, total_count: TotalCount::Exact.into(), ..Default::default() };
        let failed = JobStatus::Failed.into();
        let requests = [
            (by(""), 4_000),
            (ListJobsRequest { statuses: vec![failed], ..by("") }, 1_333),
            (ListJobsRequest { statuses: vec![failed, JobStatus::Completed.into()], ..by("") }, 1_333),
            (ListJobsRequest { operation_type: text("type 1"), ..by("") }, 572),
        ];
        for (request, total) in requests {
            let (_, page) =
                list_in(&client, "w1", &ListJobsRequest { page: Some(page.clone()), ..request }).await.unwrap();
            assert_eq!(page.total_count, Some(total));
        }
    })
    .await;
    many.assert_reads("GetQueueStats", 2 * (2 + 7), async |platform| {
        let mut client = start_on(platform).await;
        let at = |token: &str| from("w1", GetQueueStatsRequest { page: page(3, token) });
        let first = client.get_queue_stats(at("")).await.unwrap().into_inner();
        assert_eq!(first.stats.unwrap().job_count, 4_000);
        let second = client.get_queue_stats(at(&first.page.unwrap().next_page_token)).await.unwrap().into_inner();
        assert_eq!((first.operation_types.len(), second.operation_types.len()), (3, 3));
    })
    .await;
}

/// Plans are kept, and autovacuum comes by only once a minute.
#[tokio::test]
async fn what_was_planned_while_the_tables_were_small_scans_none_when_they_are_large() {
    let many = Many::new(&[SEED[0], "analyze"]).await;
    let platform = platform_on(connect(many.options.clone(), MAX_CONNECTIONS));
    let (client, database) = (start_on(&platform).await, &platform.database);
    // A host fails, which is told twice; and then with an event whose id one of another job has.
    let tell = async |name: &str, number: u128| {
        let events = [event(name, &job(number), Failed, "a", 1), event("first", &job(number), Completed, "b", 1)];
        append_in(&client, "w1", &events[..1]).await.unwrap();
        append_in(&client, "w1", &events[..1]).await.unwrap();
        append_in(&client, "w1", &events).await.map(drop)
    };
    let jobs = [job(4_000), job(4_001)];
    batch_in(&client, "w1", &jobs, false).await.unwrap();
    batch_in(&client, "w1", &jobs, true).await.unwrap();
    tell("small", 4_000).await.unwrap();
    delete(&client, id(4_001)).await.unwrap();
    for &sql in &SEED[1..3] {
        database.write_rows(Statement::new(sql)).await.unwrap();
    }
    let reads = async || {
        let sql = "select sum(seq_scan)::int8, sum(idx_tup_fetch)::int8, sum(idx_blks_hit + idx_blks_read)::int8
            from pg_stat_user_tables join pg_statio_user_tables using (relname) where relname in ('jobs', 'job_events')";
        database.read_rows(Statement::new("select pg_stat_force_next_flush() is null")).await.unwrap();
        database.read::<(i64, i64, i64)>(Statement::new(sql)).await.unwrap()[0]
    };
    let (scans, rows, pages) = reads().await;
    tell("large", 2_000).await.unwrap_err();
    batch_in(&client, "w1", &jobs[..1], true).await.unwrap();
    delete(&client, id(2_001)).await.unwrap();
    let (scans_after, rows_after, pages_after) = reads().await;
    let (scans, rows, pages) = (scans_after - scans, rows_after - rows, pages_after - pages);
    assert_eq!(scans, 0);
    assert!((1..100).contains(&rows) && (1..120).contains(&pages), "{rows} rows, {pages} pages of indexes");
}
