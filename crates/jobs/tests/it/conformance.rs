//! The service's lists do what lists promise, and its counters say what a full count finds.
use jobs::{EVENTS, JOBS, OPERATION_TYPES, event_fields, job_fields};
use keyset::conformance::Conformance;
use platform::testing;
use quire_proto::jobs::v1::{Job, JobEvent};
use time::OffsetDateTime;
use uuid::Uuid;

/// Makes jobs, of which every third has not ended, and counts them. The times of those that are rare are before and after
/// all others.
const JOB_ROWS: &str = "
    with made as (
        insert into jobs (workspace_id, id, operation_type, operation_data, target, priority, policy_type, retried_as, status,
            changed, bytes, files, error, end_time, etag, create_time, update_time)
        select workspace, gen_random_uuid(), rarity, '{}', rarity, n % 5, rarity,
            case when n % 7 = 0 then gen_random_uuid() end, status, false, 0, 0, '',
            case when status <> 'submitted' then time end, gen_random_uuid(), time, now()
        from generate_series($1, $2) as n, (values ('default'), ('other')) as workspaces (workspace),
            lateral (
                select case when n % $3 = 0 then 'rare' else 'common' end as rarity,
                    case when n % $3 = 0 then 'skipped' when n % 3 = 0 then 'submitted' when n % 3 = 1 then 'completed'
                        else 'failed' end as status,
                    timestamptz '2026-01-01'
                        + case when n % $3 = 0 then (n - 10000) * interval '1 day' else n % 977 * interval '15 min' end as time
            ) as values
        returning workspace_id, operation_type, status, retried_as is not null as retried, priority as slot
    ), counted as (
        insert into job_operation_type_counts as counts (workspace_id, operation_type, slot, row_count)
        select workspace_id, operation_type, slot, count(*) from made group by workspace_id, operation_type, slot
        on conflict (workspace_id, operation_type, slot) do update set row_count = counts.row_count + excluded.row_count
    )
    insert into job_status_counts as counts (workspace_id, status, retried, slot, row_count)
    select workspace_id, status, retried, slot, count(*) from made group by workspace_id, status, retried, slot
    on conflict (workspace_id, status, retried, slot) do update set row_count = counts.row_count + excluded.row_count";

/// The job whose events are listed.
const JOB: Uuid = Uuid::from_u128(1);

/// Makes events of two jobs in each of two workspaces.
const EVENT_ROWS: &str = "
    insert into job_events (workspace_id, id, job_id, kind, host, message, error, occur_time, create_time)
    select workspace_id, id || ' ' || n, id, 'started', 'host ' || n % $3, '', '',
        timestamptz '2026-01-01' + n % 977 * interval '15 min', now()
    from generate_series($1, $2) as n, jobs";

/// Makes types of operations that some jobs have, as the sum of two slots, and as many that none has any more.
const OPERATION_TYPE_ROWS: &str = "
    insert into job_operation_type_counts (workspace_id, operation_type, slot, row_count)
    select workspace, type || n, slot, case when type = 'gone ' and slot = 1 then -n - 1 else n + 1 end
    from generate_series($1, $2) as n, (values ('default'), ('other')) as workspaces (workspace),
        (values ('there '), ('gone ')) as types (type), generate_series(0, least($3, 1)) as slot";

#[tokio::test]
async fn jobs_conform() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&JOBS).await.unwrap();
    let pool = &testing::pool(&platform);
    let mut conformance = Conformance::of(&list).scope("default");
    for filter in ["operation_type", "target", "policy_type"] {
        conformance = conformance.value(filter, "common").value(filter, "rare");
    }
    for statuses in [&["skipped"][..], &["failed"], &["failed", "skipped", "submitted"], &["processing"]] {
        conformance = conformance.value("statuses", statuses);
    }
    for filter in ["create_time_from", "end_time_from", "create_time_before", "end_time_before"] {
        let [before, after] = [2000, 2050].map(|year| OffsetDateTime::UNIX_EPOCH.replace_year(year).unwrap());
        conformance = conformance.value(filter, before).value(filter, after);
    }
    conformance.check(async |numbers| testing::insert(pool, JOB_ROWS, numbers).await).await;
}

#[tokio::test]
async fn events_conform() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&EVENTS).await.unwrap();
    let pool = &testing::pool(&platform);
    let jobs = "
        insert into jobs (workspace_id, id, operation_type, operation_data, target, priority, policy_type, status, changed,
            bytes, files, error, etag, create_time, update_time)
        select workspace, id, 'sync', '{}', '', 0, '', 'processing', false, 0, 0, '', id, now(), now()
        from (values ('default'), ('other')) as workspaces (workspace), unnest($1::uuid[]) as id";
    sqlx::query(jobs).bind([JOB, Uuid::from_u128(2)]).execute(pool).await.unwrap();
    let conformance = Conformance::of(&list).scope("default").scope(JOB);
    conformance.check(async |numbers| testing::insert(pool, EVENT_ROWS, numbers).await).await;
}

#[tokio::test]
async fn operation_types_conform() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&OPERATION_TYPES).await.unwrap();
    let pool = &testing::pool(&platform);
    let conformance = Conformance::of(&list).scope("default");
    conformance.check(async |numbers| testing::insert(pool, OPERATION_TYPE_ROWS, numbers).await).await;
}

#[tokio::test]
async fn the_table_allows_what_the_service_allows() {
    let platform = testing::platform().await;
    testing::assert_checks(&platform, "jobs", &job_fields(&Job::default())).await;
    testing::assert_checks(&platform, "job_events", &event_fields(&JobEvent::default())).await;
}
