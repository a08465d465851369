//! The state of each job on each host.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection, Postgres, postgres::PgArguments, query::QueryScalar};
use time::OffsetDateTime;
use uuid::Uuid;

use super::events::{LockedRow, NewEvent};

/// What has changed in the hosts of jobs.
#[derive(Debug)]
pub(super) struct Deltas(HashMap<Uuid, Delta>);

/// What has changed in the hosts of a job: numbers of hosts, sums of their results, and the times of the changed hosts.
#[derive(Debug, Default, Clone, FromRow)]
struct Delta {
    job_id: Uuid,
    hosts: i32,
    ended: i32,
    completed: i32,
    failed: i32,
    changed: i32,
    bytes: i64,
    files: i64,
    start_time: Option<OffsetDateTime>,
    end_time: Option<OffsetDateTime>,
}

/// Updates the hosts of the changed jobs by the recorded events. The jobs are locked.
///
/// A host is computed from itself and its new events, which may arrive in any order: the most advanced event wins, then the
/// latest, then the one with the greatest id. If the hosts of a job are not those of its events, because another release has
/// recorded events, they are computed from all events.
pub(super) async fn update(
    connection: &mut PgConnection,
    workspace: &str,
    changed: &[LockedRow],
    recorded: &[&NewEvent],
) -> sqlx::Result<Deltas> {
    let outdated: Vec<Uuid> = changed.iter().filter(|job| !job.has_hosts).map(|job| job.id).collect();
    if !outdated.is_empty() {
        let sql = "delete from job_host_states where workspace_id = $1 and job_id = any($2)";
        sqlx::query(sql).bind(workspace).bind(&outdated).execute(&mut *connection).await?;
    }
    let up_to_date = recorded.iter().filter(|new| !outdated.contains(&new.job_id));
    let sql = "
        with events as (
            select event.* from unnest($2::uuid[]) as outdated (job_id) cross join lateral (
                select * from job_events where workspace_id = $1 and job_events.job_id = outdated.job_id offset 0
            ) as event
            union all
            select event.* from unnest($3::text[]) as recorded (id) cross join lateral (
                -- Only the primary key has this order. While the table is small, Postgres would prefer another index.
                select * from job_events where workspace_id = $1 and job_events.id >= recorded.id order by id limit 1
            ) as event
        ), staged as (
            select *, case kind when 'submitted' then 1 when 'acknowledged' then 2 when 'started' then 3 else 4 end::int2 as stage
            from events where host <> '' and kind <> 'retried'
        ), reported as (
            select distinct on (job_id, host)
                job_id, host, kind as state, stage, id as event_id, occur_time, changed, exit_status, bytes, files,
                min(occur_time) filter (where stage = 1) over hosts as submit_time,
                min(occur_time) filter (where stage = 2) over hosts as acknowledge_time,
                min(occur_time) filter (where stage = 3) over hosts as start_time
            from staged window hosts as (partition by job_id, host)
            order by job_id, host, stage desc, occur_time desc, id desc
        ), merged as (
            select reported.job_id, reported.host, furthest.*,
                least(old.submit_time, reported.submit_time) as submit_time,
                least(old.acknowledge_time, reported.acknowledge_time) as acknowledge_time,
                least(old.start_time, reported.start_time) as start_time,
                (old.host is null)::int4 as is_new, coalesce(old.state, '') as old_state, coalesce(old.stage, 0) as old_stage,
                coalesce(old.changed, false) as old_changed, coalesce(old.bytes, 0) as old_bytes,
                coalesce(old.files, 0) as old_files
            from reported left join lateral (
                select * from job_host_states
                where workspace_id = $1 and job_host_states.job_id = reported.job_id and job_host_states.host = reported.host
                limit 1
            ) as old on true cross join lateral (
                select * from (
                    values (reported.state, reported.stage, reported.event_id, reported.occur_time, reported.changed,
                        reported.exit_status, reported.bytes, reported.files),
                        (old.state, old.stage, old.event_id, old.occur_time, old.changed, old.exit_status, old.bytes, old.files)
                ) as either (state, stage, event_id, occur_time, changed, exit_status, bytes, files)
                where stage is not null order by stage desc, occur_time desc, event_id desc limit 1
            ) as furthest
        ), written as (
            insert into job_host_states (workspace_id, job_id, host, state, stage, event_id, occur_time, changed, exit_status,
                bytes, files, submit_time, acknowledge_time, start_time)
            select $1, job_id, host, state, stage, event_id, occur_time, changed, exit_status, bytes, files, submit_time,
                acknowledge_time, start_time
            from merged order by job_id, host
            on conflict (workspace_id, job_id, host) do update set state = excluded.state, stage = excluded.stage,
                event_id = excluded.event_id, occur_time = excluded.occur_time, changed = excluded.changed,
                exit_status = excluded.exit_status, bytes = excluded.bytes, files = excluded.files,
                submit_time = excluded.submit_time, acknowledge_time = excluded.acknowledge_time,
                start_time = excluded.start_time
        )
        select job_id, sum(is_new)::int4 as hosts,
            sum((stage = 4)::int4 - (old_stage = 4)::int4)::int4 as ended,
            sum((state = 'completed')::int4 - (old_state = 'completed')::int4)::int4 as completed,
            sum((state = 'failed')::int4 - (old_state = 'failed')::int4)::int4 as failed,
            sum(coalesce(changed, false)::int4 - old_changed::int4)::int4 as changed,
            sum(coalesce(bytes, 0) - old_bytes)::int8 as bytes, sum(coalesce(files, 0) - old_files)::int8 as files,
            min(start_time) as start_time, max(occur_time) filter (where stage = 4) as end_time
        from merged group by job_id";
    let query = sqlx::query_as(sql).bind(workspace).bind(&outdated);
    let query = query.bind(up_to_date.map(|new| new.event.id.as_str()).collect::<Vec<_>>());
    let deltas: Vec<Delta> = query.fetch_all(connection).await?;
    Ok(Deltas(deltas.into_iter().map(|delta| (delta.job_id, delta)).collect()))
}

impl Deltas {
    /// Binds an array of each number, with an element for each job.
    pub(super) fn bind<'q, T>(
        &self,
        query: QueryScalar<'q, Postgres, T, PgArguments>,
        jobs: &[LockedRow],
    ) -> QueryScalar<'q, Postgres, T, PgArguments> {
        // The new events of a job may have no host.
        let deltas: Vec<Delta> = jobs.iter().map(|job| self.0.get(&job.id).cloned().unwrap_or_default()).collect();
        macro_rules! array {
            ($field:ident) => {
                deltas.iter().map(|delta| delta.$field).collect::<Vec<_>>()
            };
        }
        let query = query.bind(array!(hosts)).bind(array!(ended)).bind(array!(completed)).bind(array!(failed));
        let query = query.bind(array!(changed)).bind(array!(bytes)).bind(array!(files));
        query.bind(array!(start_time)).bind(array!(end_time))
    }
}
