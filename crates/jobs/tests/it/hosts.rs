//! The rows of hosts: right in whatever order events arrive, and whichever release records them, and as cheap with many
//! events as with few.
use keyset::Statement;
use platform::testing;
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use quire_proto::jobs::v1::{
    GetJobResponse, Job, JobEvent,
    JobEventKind::{self, Acknowledged, Completed, Failed, Retried, Skipped, Started, Submitted},
    JobResult,
};
use sqlx::PgPool;

use crate::support::{Caller, assert_counted, at, event, id, numbered, start};

/// Records an event of a job as the previous release does, which knows nothing of the rows of hosts.
async fn record_as_previous_release(pool: &PgPool, event: &JobEvent) {
    let insert = "
        insert into job_events (workspace_id, id, job_id, kind, host, message, error, changed, exit_status, bytes, files,
            occur_time, create_time)
        values ('default', $1, $2::uuid, $3, $4, '', $5, $6, $7, $8, $9, to_timestamp($10), now())";
    let settle = "
        with old as (
            select status, retried_as is not null as retried from jobs where workspace_id = 'default' and id = $1::uuid
        ), outcome as (
            select
                case
                    when count(*) = 0 then 'submitted'
                    when not bool_and(has_ended) then 'processing'
                    when bool_or(state = 'completed') and bool_or(state = 'failed') then 'partial_failure'
                    when bool_or(state = 'failed') then 'failed'
                    when bool_or(state = 'completed') then 'completed'
                    else 'skipped'
                end as status,
                coalesce(bool_or(changed), false) as changed, max(exit_status) as exit_status,
                coalesce(sum(bytes), 0)::int8 as bytes, coalesce(sum(files), 0)::int8 as files,
                min(start_time) as start_time, case when bool_and(has_ended) then max(end_time) end as end_time,
                coalesce((array_agg(error order by end_time desc, event_id desc) filter (where state = 'failed'))[1], '')
                    as error
            from job_hosts where workspace_id = 'default' and job_id = $1::uuid
        ), settled as (
            update jobs set status = outcome.status, changed = outcome.changed, exit_status = outcome.exit_status,
                bytes = outcome.bytes, files = outcome.files, start_time = outcome.start_time, end_time = outcome.end_time,
                error = outcome.error, etag = gen_random_uuid(), update_time = clock_timestamp()
            from outcome where workspace_id = 'default' and id = $1::uuid
        )
        insert into job_status_counts as counts (workspace_id, status, retried, slot, row_count)
        select 'default', changes.status, old.retried, 0, change
        from old, outcome, lateral (values (old.status, -1), (outcome.status, 1)) as changes (status, change)
        where old.status <> outcome.status order by 2, 3
        on conflict (workspace_id, status, retried, slot) do update set row_count = counts.row_count + excluded.row_count";
    let kind = event.kind().as_str_name().trim_start_matches("JOB_EVENT_KIND_").to_lowercase();
    let result = event.result.as_ref();
    let query = sqlx::query(insert).bind(&event.id).bind(&event.job_id).bind(kind).bind(&event.host).bind(&event.error);
    let query = query.bind(result.map(|result| result.changed)).bind(result.and_then(|result| result.exit_status));
    let query = query.bind(result.map(|result| result.bytes)).bind(result.map(|result| result.files));
    let mut transaction = pool.begin().await.unwrap();
    query.bind(event.occur_time.unwrap().seconds as f64).execute(&mut *transaction).await.unwrap();
    sqlx::query(settle).bind(&event.job_id).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Deletes a job as the previous release does.
async fn delete_as_previous_release(pool: &PgPool, job: &Job) {
    let sql = "
        with events as (delete from job_events where job_id = $1::uuid), jobs as (
            delete from jobs where id = $1::uuid returning workspace_id, operation_type, status
        ), types as (
            update job_operation_type_counts as counts set row_count = row_count - 1 from jobs
            where counts.operation_type = jobs.operation_type and slot = (
                select min(slot) from job_operation_type_counts where operation_type = jobs.operation_type)
        )
        insert into job_status_counts as counts (workspace_id, status, retried, slot, row_count)
        select workspace_id, status, false, 0, -1 from jobs
        on conflict (workspace_id, status, retried, slot) do update set row_count = counts.row_count - 1";
    sqlx::query(sql).bind(&job.id).execute(pool).await.unwrap();
}

/// A job and its hosts, without what differs between two jobs with the same events.
async fn outcome(caller: &Caller, job: &Job) -> GetJobResponse {
    let got = caller.get(&job.id).await.unwrap();
    let job = Job { id: String::new(), etag: String::new(), create_time: None, update_time: None, ..got.job.unwrap() };
    GetJobResponse { job: Some(job), ..got }
}

/// The rows of hosts are those of the view over all events, for the jobs that say so.
async fn assert_rows_are_those_of_the_view(pool: &PgPool) {
    let sql = "
        with kept as (
            select job_id, host, state, event_id, states.changed, states.exit_status, states.bytes, states.files, submit_time,
                acknowledge_time, states.start_time, case when stage = 4 then occur_time end as end_time
            from job_host_states as states join jobs on jobs.id = job_id and hosts_etag = etag
        ), viewed as (
            select job_id, host, state, event_id, job_hosts.changed, job_hosts.exit_status, job_hosts.bytes, job_hosts.files,
                submit_time, acknowledge_time, job_hosts.start_time, job_hosts.end_time
            from job_hosts join jobs on jobs.id = job_id and hosts_etag = etag
        )
        select count(*) from ((table kept except table viewed) union all (table viewed except table kept)) as differences";
    assert_eq!(sqlx::query_scalar::<_, i64>(sql).fetch_one(pool).await.unwrap(), 0);
}

fn any_event() -> impl Strategy<Value = JobEvent> {
    const KINDS: [JobEventKind; 7] = [Submitted, Acknowledged, Started, Completed, Failed, Skipped, Retried];
    let result = (any::<bool>(), option::of(0..3), 0..9_i64, 0..9_i64);
    let parts = (select(&KINDS[..]), select(&["", "a", "b", "c"][..]), 0..4_i64, option::of(result));
    parts.prop_map(|(kind, host, seconds, result): (JobEventKind, _, _, _)| {
        let result = result.filter(|_| [Completed, Failed, Skipped].contains(&kind));
        let result =
            result.map(|(changed, exit_status, bytes, files)| JobResult { changed, exit_status, bytes, files });
        JobEvent { result, ..event("", &Job::default(), kind, host, seconds) }
    })
}

/// The same events as those of a job, in the same order of their ids.
fn of_job(events: &[JobEvent], name: &str, job: &Job) -> Vec<JobEvent> {
    let events = events.iter().enumerate();
    let named = events.map(|(place, event)| JobEvent {
        id: format!("{name} {place:02} {}", job.id),
        job_id: job.id.clone(),
        error: format!("error {place}"),
        ..event.clone()
    });
    named.collect()
}

#[test]
fn hosts_are_the_same_in_any_order_and_by_any_release() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let caller = runtime.block_on(start());
    let pool = runtime.block_on(async { testing::pool(&caller.platform) });
    let number = std::cell::Cell::new(1);
    let calls = vec((any_event(), any::<bool>(), any::<bool>()), 1..16);
    TestRunner::new(Config { failure_persistence: None, cases: 48, ..Config::default() })
        .run(&calls, |calls| {
            runtime.block_on(async {
                let [one, other] = [0, 1].map(|place| numbered(number.get() + place));
                number.set(number.get() + 2);
                caller.batch(&[one.clone(), other.clone()], false).await.unwrap();
                let events: Vec<_> = calls.iter().map(|(event, ..)| event.clone()).collect();
                let mut backwards = of_job(&events, "one", &one);
                backwards.reverse();
                caller.append(&backwards).await.unwrap();
                let mut call = Vec::new();
                for (event, (_, is_of_previous, ends_call)) in of_job(&events, "other", &other).into_iter().zip(&calls)
                {
                    if *is_of_previous {
                        record_as_previous_release(&pool, &event).await;
                    } else {
                        call.push(event);
                    }
                    if *ends_call && !call.is_empty() {
                        caller.append(&std::mem::take(&mut call)).await.unwrap();
                        assert_rows_are_those_of_the_view(&pool).await;
                    }
                    caller.get(&other.id).await.unwrap();
                }
                if !call.is_empty() {
                    caller.append(&call).await.unwrap();
                }
                assert_eq!(outcome(&caller, &other).await, outcome(&caller, &one).await);
            });
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        assert_rows_are_those_of_the_view(&pool).await;
        assert_counted(&caller.platform).await;
    });
}

#[tokio::test]
async fn hosts_of_a_job_that_the_previous_release_deleted_are_not_those_of_the_next() {
    let caller = start().await;
    let pool = testing::pool(&caller.platform);
    let job = numbered(1);
    caller.create(&job).await.unwrap();
    caller.append(&[event("a", &job, Failed, "old", 1)]).await.unwrap();
    delete_as_previous_release(&pool, &job).await;
    caller.create(&job).await.unwrap();
    assert_eq!(caller.get(&job.id).await.unwrap().hosts, []);
    caller.append(&[event("b", &job, Started, "new", 1)]).await.unwrap();
    let hosts = caller.get(&job.id).await.unwrap().hosts;
    assert_eq!(hosts.iter().map(|host| host.host.as_str()).collect::<Vec<_>>(), ["new"]);
    assert_counted(&caller.platform).await;
}

/// A retry changes the etag of a job, and none of its hosts.
#[tokio::test]
async fn a_retried_job_keeps_its_hosts() {
    let caller = start().await;
    let job = numbered(1);
    caller.create(&job).await.unwrap();
    caller.append(&[event("a", &job, Failed, "a", 1)]).await.unwrap();
    caller.retry(&job.id).await.unwrap();
    let kept = "select count(*) from jobs where hosts_etag = etag";
    assert_eq!(sqlx::query_scalar::<_, i64>(kept).fetch_one(&testing::pool(&caller.platform)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_call_reads_what_it_brings_and_not_the_other_events() {
    let caller = start().await;
    let job = numbered(1);
    caller.create(&job).await.unwrap();
    let sql = "
        alter table jobs set (autovacuum_enabled = off); alter table job_events set (autovacuum_enabled = off);
        alter table job_host_states set (autovacuum_enabled = off);
        insert into job_events (workspace_id, id, job_id, kind, host, message, error, occur_time, create_time)
        select 'default', 'seed ' || n, '00000000-0000-0000-0000-000000000001', 'started', 'host ' || n % 500, '', '',
            now(), now() from generate_series(1, 20000) as n";
    assert_eq!(job.id, id(1));
    sqlx::raw_sql(sql).execute(&testing::pool(&caller.platform)).await.unwrap();
    let reads = async || {
        let sql = "select sum(seq_scan + idx_tup_fetch + idx_blks_hit + idx_blks_read)::int8
            from pg_stat_user_tables join pg_statio_user_tables using (relname)
            where relname in ('jobs', 'job_events', 'job_host_states')";
        let database = &caller.platform.database;
        database.read_rows(Statement::new("select pg_stat_force_next_flush() is null")).await.unwrap();
        database.read::<(i64,)>(Statement::new(sql)).await.unwrap()[0].0
    };
    let append = async |name: &str, kind| {
        let before = reads().await;
        let events = ["host 1", "host 2", "another"]
            .map(|host| JobEvent { occur_time: at(9), ..event(&format!("{name} {host}"), &job, kind, host, 0) });
        assert_eq!(caller.append(&events).await.unwrap(), (3, 0));
        reads().await - before
    };
    // The first call computes the hosts from all events.
    assert!(append("first", Started).await > 20_000);
    for (name, kind) in [("second", Submitted), ("third", Failed), ("fourth", Completed)] {
        let read = append(name, kind).await;
        assert!((1..300).contains(&read), "{name}: {read} rows and pages of indexes");
    }
    // Its events are more than one statement deletes.
    caller.delete(&job.id).await.unwrap();
    assert_eq!(testing::rows(&caller.platform, &["jobs", "job_events", "job_host_states"]).await, [""; 0]);
}
