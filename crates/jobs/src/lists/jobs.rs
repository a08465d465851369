use std::{collections::HashMap, ops::RangeInclusive};

use database::Database;
use keyset::{Counter, Filter, Listing, Order, Statement, asc, desc};
use platform::{Error, Field, NewRow, Rarely, Resource, Rows, Value, timestamp};
use quire_proto::jobs::v1::{GetJobResponse, Job, JobHost};
use sqlx::{FromRow, PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{BEGIN, KINDS, SUBMITTED};
use crate::Jobs;

macro_rules! columns {
    () => {
        "id, operation_type as \"operation.type\", operation_data as \"operation.data\", target, priority, policy_type, \
        retried_from, retried_as, status, changed, exit_status, bytes, files, error, start_time, end_time, etag, \
        create_time, update_time"
    };
}

/// The jobs of a workspace.
pub static JOBS: Listing = Listing {
    name: "jobs.v1.Jobs",
    from: "jobs",
    message: "jobs.v1.Job",
    columns: columns!(),
    scope: &["workspace_id"],
    filters: &[
        Filter::any_of("statuses", "status"),
        Filter::equal("operation_type", "operation_type"),
        Filter::equal("target", "target"),
        Filter::equal("policy_type", "policy_type"),
        Filter::at_least("create_time_from", "create_time"),
        Filter::less_than("create_time_before", "create_time"),
        Filter::at_least("end_time_from", "end_time"),
        Filter::less_than("end_time_before", "end_time"),
    ],
    orders: &[
        Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: INDEXED },
        Order { name: "create_time", keys: &[asc("create_time"), asc("id")], indexed: INDEXED },
        Order { name: "end_time desc", keys: &[desc("end_time").nulls_last(), desc("id")], indexed: &[] },
        Order {
            name: "priority desc, create_time",
            keys: &[desc("priority"), asc("create_time"), asc("id")],
            indexed: &[],
        },
        Order { name: "id", keys: &[asc("id")], indexed: &[] },
    ],
    weight: Some("octet_length(operation_data) + octet_length(error)"),
    counters: &[
        Counter { table: "job_status_counts", filters: &["statuses"] },
        Counter { table: "job_operation_type_counts", filters: &["operation_type"] },
    ],
    ..Listing::DEFAULT
};

const INDEXED: &[&[&str]] = &[&["statuses"], &["operation_type"], &["target"]];

/// A retry of a job.
#[derive(Debug)]
pub(crate) struct Retry {
    /// The job to retry.
    pub(crate) id: Uuid,
    /// The id of the new job.
    pub(crate) new_id: Uuid,
    /// The id of the event that records the retry.
    pub(crate) event_id: Uuid,
    /// The new etag of both jobs.
    pub(crate) etag: Uuid,
    pub(crate) create_time: OffsetDateTime,
}

pub(crate) async fn get(service: &Jobs, workspace: &str, id: Uuid) -> Result<Option<Job>, Error> {
    let sql = concat!("select ", columns!(), " from jobs where workspace_id = $1 and id = $2");
    let rows = service.database.read_rows(Statement::new(sql).bind(workspace).bind(id)).await?;
    Ok(service.jobs.first(&rows)?)
}

/// Creates a copy of a job that has ended. The conditions are checked on the job's row, which the statement locks.
/// Returns `None` if the job does not exist, has not ended, or was retried before.
pub(crate) async fn retry(service: &Jobs, workspace: &str, retry: &Retry) -> Result<Option<Job>, Error> {
    let sql = concat!(
        "
        with retried as (
            update jobs set retried_as = $3, etag = $4, hosts_etag = case when hosts_etag = etag then $4 else hosts_etag end,
                update_time = greatest($5, update_time + interval '1 microsecond')
            where workspace_id = $1 and id = $2 and end_time is not null and retried_as is null
            returning operation_type, operation_data, target, priority, policy_type, status
        ), recorded as (
            insert into job_events (workspace_id, id, job_id, kind, host, message, error, occur_time, create_time)
            select $1, $7::text, $2, 'retried', '', '', '', $5, $5 from retried
        ), made as (
            insert into jobs (workspace_id, id, operation_type, operation_data, target, priority, policy_type,
                retried_from, status, changed, bytes, files, error, etag, create_time, update_time)
            select $1, $3, operation_type, operation_data, target, priority, policy_type, $2, 'submitted', false, 0, 0,
                '', $4, $5, $5
            from retried
            returning *
        ), counted as (
            insert into job_operation_type_counts as counts (workspace_id, operation_type, slot, row_count)
            select $1, operation_type, $6, 1 from retried
            on conflict (workspace_id, operation_type, slot) do update set row_count = counts.row_count + 1
            returning slot
        ), counted_too as (
            insert into job_status_counts as counts (workspace_id, status, retried, slot, row_count)
            select $1, changes.status, changes.retried, $6, change
            from retried cross join lateral (
                values (retried.status, false, -1), (retried.status, true, 1), ('submitted', false, 1)
            ) as changes (status, retried, change)
            -- The other table first.
            where (select count(*) from counted) > 0
            order by changes.status, changes.retried
            on conflict (workspace_id, status, retried, slot)
                do update set row_count = counts.row_count + excluded.row_count
        )
        select ",
        columns!(),
        " from made"
    );
    let Retry { id, new_id, event_id, etag, create_time } = *retry;
    let statement = Statement::new(sql).bind(workspace).bind(id).bind(new_id).bind(etag);
    let statement = statement.bind(create_time).bind(service.platform.slots.next_slot()).bind(event_id.to_string());
    Ok(service.jobs.first(&service.database.write_rows(statement).await?)?)
}

/// Deletes a job and its events. Returns whether the job existed.
///
/// The job is locked first, so that no events are added meanwhile. The counters are updated last, so that no other call
/// waits for them while the events are deleted.
pub(crate) async fn delete(service: &Jobs, workspace: &str, id: Uuid) -> Result<bool, Error> {
    let slot = service.platform.slots.next_slot();
    let of = workspace.to_owned();
    let deleted = service
        .database
        .transaction(BEGIN, move |connection| Box::pin(async move { delete_in(connection, &of, id, slot).await }));
    let operation_type: Option<String> = deleted.await?;
    let Some(operation_type) = operation_type else { return Ok(false) };
    // The job is deleted even if this fails.
    if let Err(error) = delete_counters(&service.database, workspace, &operation_type).await {
        static FAILED: Rarely = Rarely::new();
        if let Some(times) = FAILED.times() {
            tracing::warn!(%error, times, "cannot delete the counters of an operation type without jobs");
        }
    }
    Ok(true)
}

/// Returns the operation type of the deleted job, or `None` if the job does not exist.
async fn delete_in(
    connection: &mut PgConnection,
    workspace: &str,
    id: Uuid,
    slot: i32,
) -> sqlx::Result<Option<String>> {
    let lock = "select operation_type from jobs where workspace_id = $1 and id = $2 for update";
    let lock = sqlx::query_scalar(lock).bind(workspace).bind(id);
    let operation_type: Option<String> = lock.fetch_optional(&mut *connection).await?;
    if operation_type.is_none() {
        // A job that is created after this point must not be deleted.
        return Ok(None);
    }
    delete_events(connection, workspace, id).await?;
    let hosts = "delete from job_host_states where workspace_id = $1 and job_id = $2";
    sqlx::query(hosts).bind(workspace).bind(id).execute(&mut *connection).await?;
    let sql = "
        with deleted as (
            delete from jobs where workspace_id = $1 and id = $2
            returning operation_type, status, retried_as is not null as retried
        ), counted as (
            insert into job_operation_type_counts as counts (workspace_id, operation_type, slot, row_count)
            select $1, operation_type, $3, -1 from deleted
            on conflict (workspace_id, operation_type, slot) do update set row_count = counts.row_count - 1
            returning slot
        )
        insert into job_status_counts as counts (workspace_id, status, retried, slot, row_count)
        -- The other table first.
        select $1, status, retried, $3, -1 from deleted where (select count(*) from counted) > 0
        on conflict (workspace_id, status, retried, slot) do update set row_count = counts.row_count - 1";
    sqlx::query(sql).bind(workspace).bind(id).bind(slot).execute(connection).await?;
    Ok(operation_type)
}

/// Deletes the events of a job in pieces of 20,000, so that no statement reaches its timeout, however many there are.
async fn delete_events(connection: &mut PgConnection, workspace: &str, id: Uuid) -> sqlx::Result<()> {
    let last = "
        select occur_time, id from job_events where workspace_id = $1 and job_id = $2
        order by workspace_id, job_id, occur_time, id offset 19999 limit 1";
    let piece = "
        delete from job_events where workspace_id = $1 and job_id = $2 and (occur_time, id) <= ($3, $4)";
    let rest = "delete from job_events where workspace_id = $1 and job_id = $2";
    let last = async |connection: &mut PgConnection| -> sqlx::Result<Option<(OffsetDateTime, String)>> {
        sqlx::query_as(last).bind(workspace).bind(id).fetch_optional(connection).await
    };
    while let Some((time, event_id)) = last(&mut *connection).await? {
        let query = sqlx::query(piece).bind(workspace).bind(id).bind(time).bind(event_id);
        query.execute(&mut *connection).await?;
    }
    sqlx::query(rest).bind(workspace).bind(id).execute(connection).await?;
    Ok(())
}

/// Deletes the counters of an operation type without jobs, which every page of operation types would otherwise read and
/// skip. A concurrent update of such a counter waits, and then creates the counter again.
async fn delete_counters(database: &Database, workspace: &str, operation_type: &str) -> sqlx::Result<()> {
    let sql = "
        with locked as (
            select slot, row_count from job_operation_type_counts
            where workspace_id = $1 and operation_type = $2 and 0 = (
                select sum(row_count) from job_operation_type_counts where workspace_id = $1 and operation_type = $2
            )
            order by slot for update
        )
        delete from job_operation_type_counts where workspace_id = $1 and operation_type = $2
            and slot in (select slot from locked) and 0 = (select sum(row_count) from locked)";
    database.write_rows(Statement::new(sql).bind(workspace).bind(operation_type)).await?;
    Ok(())
}

/// A host: its name, state and error, and the times at which it was submitted, acknowledged, started and ended.
type HostRow = (
    String,
    String,
    String,
    Option<OffsetDateTime>,
    Option<OffsetDateTime>,
    Option<OffsetDateTime>,
    Option<OffsetDateTime>,
);

/// A job and the state of each of its hosts, read in one snapshot. If the rows of the hosts are not those of the job's
/// events, the states are computed from all events. The errors of the hosts are truncated so that they
/// fit in an answer: 375,000 characters in total, which are at most 1.5 MB.
pub(crate) async fn get_with_hosts(service: &Jobs, workspace: &str, id: Uuid) -> Result<Option<GetJobResponse>, Error> {
    let sql = concat!(
        "select ",
        columns!(),
        ",
            array(
                select row(host, state, left(error, (375000 / count(*) over ())::int4), submit_time, acknowledge_time,
                    start_time, end_time)
                from (
                    select host, state, coalesce(error, '') as error, submit_time, acknowledge_time, start_time,
                        case when stage = 4 then occur_time end as end_time
                    from job_host_states left join lateral (
                        -- Only the primary key has this order.
                        select id, error from job_events where workspace_id = $1 and id >= job_host_states.event_id
                        order by id limit 1
                    ) as event on event.id = event_id
                    where workspace_id = $1 and job_id = $2 and jobs.hosts_etag = jobs.etag
                    union all
                    select host, state, error, submit_time, acknowledge_time, start_time, end_time
                    from job_hosts where workspace_id = $1 and job_id = $2 and jobs.hosts_etag is distinct from jobs.etag
                ) as states
                order by host
            ) as hosts
        from jobs where workspace_id = $1 and id = $2"
    );
    let rows = service.database.read_rows(Statement::new(sql).bind(workspace).bind(id)).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let hosts: Vec<HostRow> = row.try_get("hosts")?;
    let hosts = hosts.into_iter().map(|(host, state, error, submit, acknowledge, start, end)| JobHost {
        host,
        state: KINDS.value(&state).into(),
        error,
        submit_time: submit.map(timestamp),
        acknowledge_time: acknowledge.map(timestamp),
        start_time: start.map(timestamp),
        end_time: end.map(timestamp),
    });
    Ok(Some(GetJobResponse { job: Some(service.jobs.message(row)?), hosts: hosts.collect() }))
}

/// A job to insert.
#[derive(Debug, Clone)]
pub(crate) struct NewJob {
    /// The path of its request in a batch, with a trailing dot, as in `requests[3].`; empty outside a batch.
    pub(crate) path: String,
    pub(crate) id: Uuid,
    pub(crate) etag: Uuid,
    pub(crate) create_time: OffsetDateTime,
    /// The job. Its operation is always set.
    pub(crate) job: Job,
}

/// An existing job, with the fields that are compared with a new one.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ExistingJob {
    id: Uuid,
    operation_type: String,
    operation_data: String,
    target: String,
    priority: i32,
    policy_type: String,
}

/// The bytes of an operation's data: at least `{}`.
pub(crate) const OPERATION_DATA_BYTES: RangeInclusive<usize> = 2..=256 << 10;

/// The fields of a job that callers write.
pub fn job_fields(job: &Job) -> Vec<Field<'_>> {
    let (r#type, data) = operation(job);
    vec![
        Field::text("operation.type", r#type, 1..=128).in_column("operation_type"),
        Field::text("operation.data", data, OPERATION_DATA_BYTES).in_column("operation_data"),
        Field::text("target", &job.target, 0..=256),
        Field::new("priority", Value::Int4(Some(job.priority))),
        Field::text("policy_type", &job.policy_type, 0..=64),
    ]
}

/// The type and the data of a job's operation.
fn operation(job: &Job) -> (&str, &str) {
    job.operation.as_ref().map(|operation| (operation.r#type.as_str(), operation.data.as_str())).unwrap_or_default()
}

impl NewRow for NewJob {
    type Store = Jobs;
    type Existing = ExistingJob;

    async fn insert(service: &Jobs, workspace: &str, new: &[&Self]) -> sqlx::Result<()> {
        let rows = Rows::new(new.iter().map(|new| {
            let mut fields = job_fields(&new.job);
            fields.extend([
                Field::new("id", Value::Uuid(new.id)),
                Field::new("status", Value::Text(SUBMITTED)),
                Field::new("changed", Value::Bool(Some(false))),
                Field::new("bytes", Value::Int8(Some(0))),
                Field::new("files", Value::Int8(Some(0))),
                Field::new("error", Value::Text("")),
                Field::new("etag", Value::Uuid(new.etag)),
                Field::new("create_time", Value::Timestamptz(new.create_time)),
                Field::new("update_time", Value::Timestamptz(new.create_time)),
            ]);
            fields
        }));
        let (insert, slot) = (rows.insert_into("jobs", "id"), rows.next_parameter());
        let sql = format!(
            "
            with made as ({insert} returning operation_type), counted as (
                insert into job_operation_type_counts as counts (workspace_id, operation_type, slot, row_count)
                select $1, operation_type, ${slot}, count(*) from made group by operation_type order by operation_type
                on conflict (workspace_id, operation_type, slot)
                    do update set row_count = counts.row_count + excluded.row_count
                returning slot
            )
            insert into job_status_counts as counts (workspace_id, status, retried, slot, row_count)
            -- The other table first.
            select $1, 'submitted', false, ${slot}, count(*) from made where (select count(*) from counted) > 0
            on conflict (workspace_id, status, retried, slot) do update set row_count = counts.row_count + excluded.row_count"
        );
        let statement = rows.bind(Statement::built(sql.into()).bind(workspace));
        service.database.write_rows(statement.bind(service.platform.slots.next_slot())).await?;
        Ok(())
    }

    /// Existing data that differs in length from the new data is not read, because the jobs differ anyway. So the
    /// database returns no more bytes of data than the request contains.
    async fn find(service: &Jobs, workspace: &str, new: &[Self]) -> Result<Vec<Option<ExistingJob>>, Error> {
        let sql = "
            select job.id, operation_type, case when octet_length(operation_data) = given.bytes then operation_data else '' end
                as operation_data, target, priority, policy_type
            from unnest($2::uuid[], $3::int8[]) as given (id, bytes) cross join lateral (
                select * from jobs where workspace_id = $1 and jobs.id = given.id limit 1
            ) as job";
        let ids: Vec<_> = new.iter().map(|new| new.id).collect();
        let bytes: Vec<_> = new.iter().map(|new| operation(&new.job).1.len() as i64).collect();
        let statement = Statement::new(sql).bind(workspace).bind(ids).bind(bytes);
        let rows = service.database.transaction(BEGIN, move |connection| Box::pin(statement.fetch_all(connection)));
        let rows = rows.await?;
        let rows = rows.iter().map(ExistingJob::from_row).collect::<sqlx::Result<Vec<_>>>()?;
        let mut by_id: HashMap<Uuid, ExistingJob> = rows.into_iter().map(|row| (row.id, row)).collect();
        Ok(new.iter().map(|new| by_id.remove(&new.id)).collect())
    }

    fn keys(&self) -> Vec<&str> {
        vec![&self.job.id]
    }

    fn as_existing(&self) -> ExistingJob {
        let ((operation_type, operation_data), job) = (operation(&self.job), self.job.clone());
        ExistingJob {
            id: self.id,
            operation_type: operation_type.to_owned(),
            operation_data: operation_data.to_owned(),
            target: job.target,
            priority: job.priority,
            policy_type: job.policy_type,
        }
    }

    fn is_as(&self, existing: &ExistingJob) -> bool {
        let ExistingJob { operation_type, operation_data, target, priority, policy_type, .. } = existing;
        operation(&self.job) == (operation_type.as_str(), operation_data.as_str())
            && (&self.job.target, &self.job.priority, &self.job.policy_type) == (target, priority, policy_type)
    }

    fn resource(&self, _existing: Option<&ExistingJob>) -> Resource {
        Resource { kind: JOBS.message, field: format!("{}job.id", self.path), name: self.job.id.clone() }
    }
}
