//! Every statement of the service finds its rows by an index, however many rows there are.
use jobs::SERVICE;
use std::ops::Range;

use crate::support::{ORDERS, event, id, numbered, start_on};
use database::connect;
use keyset::Statement;
use platform::testing::{Many, platform_on};
use quire_proto::jobs::v1::JobEventKind::{Completed, Failed};

/// 20,000 jobs in five workspaces, each workspace's a second apart, with three events each, and the counters of these
/// workspaces and of 2,000 others.
const SEED: [&str; 6] = [
    // What vacuum reads would be taken for what the calls read.
    "alter table jobs set (autovacuum_enabled = off); alter table job_events set (autovacuum_enabled = off);
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

/// A batch of jobs as they are in the workspace `w1`.
fn batch(numbers: Range<u128>, flag: bool) -> String {
    let job = |number: u128| {
        let (job_id, n) = (id(number), number * 5 + 1);
        let (of_type, target, priority) = (n % 7, n % 11, n % 3);
        format!(
            r#"{{"job": {{"id": "{job_id}", "operation": {{"type": "type {of_type}"}}, "target": "target {target}",
                "priority": {priority}, "policy_type": "policy"}}}}"#
        )
    };
    let requests: Vec<_> = numbers.map(job).collect();
    format!(r#"{{"requests": [{}], "pass_over_existing": {flag}}}"#, requests.join(", "))
}

/// One event of each of these jobs.
fn events(name: &str, numbers: Range<u128>, kind: &str) -> String {
    let event = |number: u128| {
        let job_id = id(number);
        format!(r#"{{"id": "{name} {number}", "job_id": "{job_id}", "kind": "JOB_EVENT_KIND_{kind}", "host": "b"}}"#)
    };
    format!(r#"{{"events": [{}]}}"#, numbers.map(event).collect::<Vec<_>>().join(", "))
}

#[tokio::test]
async fn no_call_scans_a_table() {
    let new = |number| format!(r#"{{"job": {{"id": "{}", "operation": {{"type": "type 1"}}}}}}"#, id(number));
    let one = |&number: &u128| format!(r#"{{"id": "{}"}}"#, id(number));
    let by_id = |numbers: &[u128]| numbers.iter().map(one).collect();
    let of = |number| format!(r#"{{"job_id": "{}", "page": {{"page_size": 2}}}}"#, id(number));
    // An event that is new, recorded before, different, and of no job.
    let told =
        [("new", 2_000, "COMPLETED"), ("new", 2_000, "COMPLETED"), ("new", 2_000, "FAILED"), ("x", 9_999, "FAILED")];
    let started = events("newer", 1_000..2_000, "STARTED");
    let told = told.map(|(name, number, kind)| events(name, number..number + 1, kind)).into();
    let calls = vec![
        ("CreateJob", 4, vec![new(9_000), new(2_000)]),
        ("GetJob", 4, by_id(&[2_000, 9_999])),
        // Every third of the workspace's has failed. The first is retried, and was retried before.
        ("RetryJob", 10, by_id(&[1, 1, 2, 9_999])),
        ("DeleteJob", 11, by_id(&[2_001, 9_999])),
        // Each that is written looks at some pages of seven indexes.
        ("BatchCreateJobs", 200, vec![batch(5_000..5_100, false), batch(3_000..3_100, false)]),
        ("BatchCreateJobs", 1_000, vec![batch(3_100..4_100, true)]),
        ("AppendJobEvents", 16, told),
        // Of each job, itself and its four events, some of them more than once.
        ("AppendJobEvents", 14_000, vec![started.clone(), started]),
        ("ListJobEvents", 4, vec![of(3_000), of(9_999)]),
    ];
    Many::new(&SEED).await.assert_calls(&SERVICE, "w1", calls).await;
}

#[tokio::test]
async fn no_list_scans_a_table() {
    let page = |more: &str| format!(r#"{{"page": {{"page_size": 10}}{more}}}"#);
    let by = |orders: &[&str], filter: &str| -> Vec<String> {
        orders.iter().map(|order| page(&format!(r#", "order_by": "{order}"{filter}"#))).collect()
    };
    let failed = r#", "statuses": ["JOB_STATUS_FAILED"]"#;
    let both = r#", "statuses": ["JOB_STATUS_FAILED", "JOB_STATUS_PROCESSING"]"#;
    let (of_type, of_target) = (r#", "operation_type": "type 1""#, r#", "target": "target 1""#);
    let between =
        |name: &str| format!(r#", "{name}_from": "2026-01-01T00:16:40Z", "{name}_before": "2026-01-01T00:50:00Z""#);
    let (created, ended) = (between("create_time"), between("end_time"));
    let created_of_both = format!("{both}{created}");
    let two = &ORDERS[..2];
    // Of the pages 2 rows and then 3, and of the counters no more than those of the workspace: 2 statuses, or the one type.
    let totals = ["", failed, r#", "statuses": ["JOB_STATUS_FAILED", "JOB_STATUS_COMPLETED"]"#, of_type];
    let totals =
        totals.map(|filter| format!(r#"{{"page": {{"page_size": 1, "total_count": "TOTAL_COUNT_EXACT"}}{filter}}}"#));
    let calls = vec![
        ("ListJobs", 4 * (2 + 3) + 2 * (3 * 2 + 1), totals.into()),
        // In the first two orders a page is found in one way; in the others one that follows another is found in two, unless
        // it is of those that have ended. Each status is a way of its own.
        ("ListJobs", 44, by(two, "")),
        ("ListJobs", 66, by(&ORDERS[2..], "")),
        ("ListJobs", 44, by(two, failed)),
        ("ListJobs", 88, by(two, both)),
        ("ListJobs", 44, by(two, of_type)),
        ("ListJobs", 44, by(two, of_target)),
        ("ListJobs", 44, by(two, &created)),
        ("ListJobs", 88, by(two, &created_of_both)),
        ("ListJobs", 22, by(&ORDERS[2..3], &ended)),
        // A page looks at no more than 2,000 rows for a policy that no job is under.
        ("ListJobs", 4_000, vec![page(r#", "policy_type": "none""#)]),
        ("GetQueueStats", 2 * (2 + 7), vec![r#"{"page": {"page_size": 3}}"#.to_owned()]),
    ];
    Many::new(&SEED).await.assert_calls(&SERVICE, "w1", calls).await;
}

/// Plans are kept, and autovacuum comes by only once a minute.
#[tokio::test]
async fn what_was_planned_while_the_tables_were_small_scans_none_when_they_are_large() {
    let many = Many::new(&[SEED[0], "analyze"]).await;
    let caller = start_on(platform_on(connect(many.options.clone(), database::Limits::default()))).await.of("w1");
    let database = &caller.platform.database;
    // A host fails, which is told twice; and then with an event whose id one of another job has.
    let tell = async |name: &str, number: u128| {
        let job = numbered(number);
        let events = [event(name, &job, Failed, "a", 1), event("first", &job, Completed, "b", 1)];
        caller.append(&events[..1]).await.unwrap();
        caller.append(&events[..1]).await.unwrap();
        caller.append(&events).await.map(drop)
    };
    let jobs = [4_000, 4_001].map(numbered);
    caller.batch(&jobs, false).await.unwrap();
    caller.batch(&jobs, true).await.unwrap();
    tell("small", 4_000).await.unwrap();
    caller.delete(&id(4_001)).await.unwrap();
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
    caller.batch(&jobs[..1], true).await.unwrap();
    caller.delete(&id(2_001)).await.unwrap();
    let (scans_after, rows_after, pages_after) = reads().await;
    let (scans, rows, pages) = (scans_after - scans, rows_after - rows, pages_after - pages);
    assert_eq!(scans, 0);
    assert!((1..100).contains(&rows) && (1..120).contains(&pages), "{rows} rows, {pages} pages of indexes");
}
