//! Jobs and their events, in workspaces of different sizes.

use sqlx::PgConnection;

use crate::{
    Result,
    jobs::{COUNTED, RARE, RARE_STATUS, UNCOUNTED, Workspace},
    load::{CHUNK, progress_bar},
};

/// Inserts the jobs with the numbers $2 to $3 into the workspace $1, and three events for each if $4 is true. One in $5
/// has the status $6.
const INSERT: &str = "
    with jobs_by_number as (
        select n, to_timestamp(1700000000 + n * 0.1) as time,
            (lpad(to_hex(1700000000000 + n * 100), 12, '0') || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid
                as id,
            hash,
            case when n % $5 = 0 then $6 else (array['processing', 'failed', 'completed'])[least(n % 20 + 1, 3)::int4] end
                as status
        from (select n, md5(n::text) as hash from generate_series($2::int8, $3::int8) as n) as numbered
    ), made as (
        insert into jobs (workspace_id, id, operation_type, operation_data, target, priority, policy_type, status, changed,
            bytes, files, error, start_time, end_time, etag, create_time, update_time)
        select $1, id, 'operation-' || n % 7,
            '{\"path\": \"/srv/' || substr(hash, 1, 12) || '\", \"version\": ' || n % 100 || ', \"force\": false}',
            'target-' || n % 1000, n % 10, 'policy-' || n % 3, status, false, 0, 0, '', time + interval '1 second',
            case when status <> 'processing' then time + interval '2 seconds' end, hash::uuid, time,
            time + interval '2 seconds'
        from jobs_by_number
    )
    insert into job_events (workspace_id, id, job_id, kind, host, message, error, occur_time, create_time)
    select $1, 'event-' || n || '-' || place, id, coalesce(kind, nullif(status, 'processing'), 'acknowledged'),
        'host-' || n % 500, '', '', time + interval '1 second' * (place - 1),
        time + interval '1 second' * (place - 1)
    from jobs_by_number cross join (values (1, 'submitted'), (2, 'started'), (3, null)) as told (place, kind)
    where $4";

/// Inserts the counters of the workspace $1. All slots are used, as after many writes.
const COUNT: &str = "
    with types as (
        insert into job_operation_type_counts (workspace_id, operation_type, slot, row_count)
        select $1, operation_type, slot, job_count / 16 + (slot < job_count % 16)::int4
        from (select operation_type, count(*) as job_count from jobs where workspace_id = $1 group by operation_type) as counted
            cross join generate_series(0, 15) as slot
        on conflict (workspace_id, operation_type, slot) do update set row_count = excluded.row_count
    )
    insert into job_status_counts (workspace_id, status, retried, slot, row_count)
    select $1, status, false, slot, job_count / 16 + (slot < job_count % 16)::int4
    from (select status, count(*) as job_count from jobs where workspace_id = $1 group by status) as counted
        cross join generate_series(0, 15) as slot
    on conflict (workspace_id, status, retried, slot) do update set row_count = excluded.row_count";

/// Loads the missing rows of the workspaces that are only read, and empties the workspaces to which an earlier run has
/// written.
pub(super) async fn load(connection: &mut PgConnection, workspaces: &[Workspace]) -> Result<()> {
    for table in ["jobs", "job_events", "job_operation_type_counts", "job_status_counts"] {
        let sql = format!("delete from {table} where workspace_id = any($1)");
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind([COUNTED, UNCOUNTED]).execute(&mut *connection).await?;
    }
    for workspace in workspaces {
        let sql = "select coalesce(sum(row_count), 0)::int8 from job_status_counts where workspace_id = $1";
        let counted: i64 = sqlx::query_scalar(sql).bind(&workspace.name).fetch_one(&mut *connection).await?;
        if u64::try_from(counted)? != workspace.jobs {
            insert(connection, workspace).await?;
        }
    }
    Ok(())
}

async fn insert(connection: &mut PgConnection, workspace: &Workspace) -> Result<()> {
    let sql = "select count(*) from jobs where workspace_id = $1";
    let loaded: i64 = sqlx::query_scalar(sql).bind(&workspace.name).fetch_one(&mut *connection).await?;
    let bar = progress_bar("loading jobs", workspace.jobs)?;
    let mut last = u64::try_from(loaded)?;
    while last < workspace.jobs {
        let first = last + 1;
        last = (last + CHUNK).min(workspace.jobs);
        let query = sqlx::query(INSERT).bind(&workspace.name).bind(i64::try_from(first)?).bind(i64::try_from(last)?);
        let query = query.bind(workspace.has_events).bind(i64::try_from(RARE)?).bind(RARE_STATUS.1);
        query.execute(&mut *connection).await?;
        bar.set_position(last);
    }
    sqlx::query(COUNT).bind(&workspace.name).execute(&mut *connection).await?;
    bar.finish_and_clear();
    Ok(())
}
