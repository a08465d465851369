use std::collections::HashMap;

use keyset::{Counter, Database, Filter, Listing, Order, asc, desc};
use platform::{Error, NewRow, Resource, timestamp};
use quire_proto::jobs::v1::{GetJobResponse, Job, JobHost, JobOperation};
use sqlx::{Connection, FromRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{BEGIN, JOB, KINDS, STATUSES};

/// The jobs of a workspace.
pub static JOBS: Listing = Listing {
    name: "jobs.v1.Jobs",
    from: "jobs",
    columns: "id, operation_type, operation_data, target, priority, policy_type, retried_from, retried_as, status, changed, \
        exit_status, bytes, files, error, start_time, end_time, etag, create_time, update_time",
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
    ],
    weight: Some("octet_length(operation_data) + octet_length(error)"),
    counters: &[
        Counter { table: "job_status_counts", filters: &["statuses"] },
        Counter { table: "job_operation_type_counts", filters: &["operation_type"] },
    ],
    ..Listing::DEFAULT
};

const INDEXED: &[&[&str]] = &[&["statuses"], &["operation_type"], &["target"]];

/// A row of `jobs`.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub(crate) struct JobRow {
    pub(crate) id: Uuid,
    pub(crate) operation_type: String,
    pub(crate) operation_data: String,
    pub(crate) target: String,
    pub(crate) priority: i32,
    pub(crate) policy_type: String,
    pub(crate) retried_from: Option<Uuid>,
    pub(crate) retried_as: Option<Uuid>,
    pub(crate) status: String,
    pub(crate) changed: bool,
    pub(crate) exit_status: Option<i32>,
    pub(crate) bytes: i64,
    pub(crate) files: i64,
    pub(crate) error: String,
    pub(crate) start_time: Option<OffsetDateTime>,
    pub(crate) end_time: Option<OffsetDateTime>,
    pub(crate) etag: Uuid,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) update_time: OffsetDateTime,
}

/// A retry of a job.
#[derive(Debug)]
pub(crate) struct Retry {
    /// The job that is retried.
    pub(crate) id: Uuid,
    /// The job that is made.
    pub(crate) new_id: Uuid,
    /// The event that tells of it.
    pub(crate) event_id: Uuid,
    /// The etag of both.
    pub(crate) etag: Uuid,
    pub(crate) create_time: OffsetDateTime,
}

impl JobRow {
    pub(crate) async fn get(database: &Database, workspace: &str, id: Uuid) -> Result<Option<Self>, Error> {
        let sql = "
            select id, operation_type, operation_data, target, priority, policy_type, retried_from, retried_as, status,
                changed, exit_status, bytes, files, error, start_time, end_time, etag, create_time, update_time
            from jobs where workspace_id = $1 and id = $2";
        Ok(database.read(|| sqlx::query(sql).bind(workspace).bind(id)).await?.pop())
    }

    /// Makes a job like one that has ended. What decides is in the row that the statement locks. Nothing when there is no
    /// such job, or it has not ended, or was retried before.
    pub(crate) async fn retry(database: &Database, workspace: &str, retry: &Retry) -> Result<Option<Self>, Error> {
        let sql = "
            with retried as (
                update jobs set retried_as = $3, etag = $4,
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
                returning id, operation_type, operation_data, target, priority, policy_type, retried_from, retried_as,
                    status, changed, exit_status, bytes, files, error, start_time, end_time, etag, create_time, update_time
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
            select id, operation_type, operation_data, target, priority, policy_type, retried_from, retried_as, status,
                changed, exit_status, bytes, files, error, start_time, end_time, etag, create_time, update_time
            from made";
        let Retry { id, new_id, event_id, etag, create_time } = *retry;
        let query = sqlx::query(sql).bind(workspace).bind(id).bind(new_id).bind(etag);
        let query = query.bind(create_time).bind(database.next_slot()).bind(event_id);
        Ok(database.write(query).await?.pop())
    }

    /// Deletes a job and its events. Whether there was one.
    ///
    /// It is locked first, so that all its events are seen, and counted last, so that nobody waits for the counters while they
    /// are deleted.
    pub(crate) async fn delete(database: &Database, workspace: &str, id: Uuid) -> Result<bool, Error> {
        let mut connection = database.acquire().await?;
        let mut transaction = connection.begin_with(BEGIN).await?;
        let lock = "select operation_type from jobs where workspace_id = $1 and id = $2 for update";
        let lock = sqlx::query_scalar(lock).bind(workspace).bind(id);
        let operation_type: Option<String> = lock.fetch_optional(&mut *transaction).await?;
        let Some(operation_type) = operation_type else {
            // One that is made from now on is not the one that was meant.
            transaction.rollback().await?;
            connection.release();
            return Ok(false);
        };
        let events = "delete from job_events where workspace_id = $1 and job_id = $2";
        sqlx::query(events).bind(workspace).bind(id).execute(&mut *transaction).await?;
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
        let query = sqlx::query(sql).bind(workspace).bind(id).bind(database.next_slot());
        query.execute(&mut *transaction).await?;
        transaction.commit().await?;
        connection.release();
        // The job is deleted, whatever becomes of this.
        if let Err(error) = forget_type(database, workspace, &operation_type).await {
            tracing::warn!(%error, "what counts an operation type that no job has is still there");
        }
        Ok(true)
    }
}

/// Removes the counters of a type of operation that no job has any more, which all pages of such types would pass over.
/// What is added to one of them meanwhile waits, and then makes it anew.
async fn forget_type(database: &Database, workspace: &str, operation_type: &str) -> sqlx::Result<()> {
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
    database.write::<()>(sqlx::query(sql).bind(workspace).bind(operation_type)).await?;
    Ok(())
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        Self {
            id: row.id.to_string(),
            operation: Some(JobOperation { r#type: row.operation_type, data: row.operation_data }),
            target: row.target,
            status: STATUSES.value(&row.status).into(),
            priority: row.priority,
            policy_type: row.policy_type,
            changed: row.changed,
            exit_status: row.exit_status,
            bytes: row.bytes,
            files: row.files,
            error: row.error,
            retried_from: id(row.retried_from),
            retried_as: id(row.retried_as),
            create_time: Some(timestamp(row.create_time)),
            start_time: row.start_time.map(timestamp),
            end_time: row.end_time.map(timestamp),
            update_time: Some(timestamp(row.update_time)),
            etag: row.etag.to_string(),
        }
    }
}

/// A job, and what became of it on each host, at one moment.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct JobWithHosts {
    #[sqlx(flatten)]
    job: JobRow,
    hosts: Vec<HostRow>,
}

/// A host: its name, its state, its error, and when it was submitted, acknowledged, started and ended.
type HostRow = (
    String,
    String,
    String,
    Option<OffsetDateTime>,
    Option<OffsetDateTime>,
    Option<OffsetDateTime>,
    Option<OffsetDateTime>,
);

impl JobWithHosts {
    /// The errors of all hosts together are cut to what fits in an answer: 375,000 characters, which are at most 1.5 MB.
    pub(crate) async fn get(database: &Database, workspace: &str, id: Uuid) -> Result<Option<Self>, Error> {
        let sql = "
            select id, operation_type, operation_data, target, priority, policy_type, retried_from, retried_as, status,
                changed, exit_status, bytes, files, error, start_time, end_time, etag, create_time, update_time,
                array(
                    select row(host, state, left(error, (375000 / count(*) over ())::int4), submit_time, acknowledge_time,
                        start_time, end_time)
                    from job_hosts where workspace_id = $1 and job_id = $2 order by host
                ) as hosts
            from jobs where workspace_id = $1 and id = $2";
        Ok(database.read(|| sqlx::query(sql).bind(workspace).bind(id)).await?.pop())
    }
}

impl From<JobWithHosts> for GetJobResponse {
    fn from(JobWithHosts { job, hosts }: JobWithHosts) -> Self {
        let hosts = hosts.into_iter().map(|(host, state, error, submit, acknowledge, start, end)| JobHost {
            host,
            state: KINDS.value(&state).into(),
            error,
            submit_time: submit.map(timestamp),
            acknowledge_time: acknowledge.map(timestamp),
            start_time: start.map(timestamp),
            end_time: end.map(timestamp),
        });
        Self { job: Some(job.into()), hosts: hosts.collect() }
    }
}

/// A job to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewJob {
    /// The path of the request that asks for it, with the dot behind it: empty, or as in `requests[3].`.
    pub(crate) path: String,
    pub(crate) job: JobRow,
}

impl NewRow for NewJob {
    type Existing = JobRow;

    async fn insert(database: &Database, workspace: &str, new: &[&Self]) -> sqlx::Result<()> {
        let sql = "
            with given as (
                select * from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::int4[], $7::text[], $8::uuid[],
                    $9::timestamptz[])
                    as given (id, operation_type, operation_data, target, priority, policy_type, etag, create_time)
            ), made as (
                insert into jobs (workspace_id, id, operation_type, operation_data, target, priority, policy_type, status,
                    changed, bytes, files, error, etag, create_time, update_time)
                select $1, id, operation_type, operation_data, target, priority, policy_type, 'submitted', false, 0, 0, '',
                    etag, create_time, create_time
                -- Two batches that have jobs in common take them in the same order, so that neither waits for the other.
                from given order by id
                returning operation_type
            ), counted as (
                insert into job_operation_type_counts as counts (workspace_id, operation_type, slot, row_count)
                select $1, operation_type, $10, count(*) from made group by operation_type order by operation_type
                on conflict (workspace_id, operation_type, slot)
                    do update set row_count = counts.row_count + excluded.row_count
                returning slot
            )
            insert into job_status_counts as counts (workspace_id, status, retried, slot, row_count)
            -- The other table first.
            select $1, 'submitted', false, $10, count(*) from made where (select count(*) from counted) > 0
            on conflict (workspace_id, status, retried, slot) do update set row_count = counts.row_count + excluded.row_count";
        let jobs = || new.iter().map(|new| &new.job);
        let query = sqlx::query(sql)
            .bind(workspace)
            .bind(jobs().map(|job| job.id).collect::<Vec<_>>())
            .bind(jobs().map(|job| job.operation_type.as_str()).collect::<Vec<_>>())
            .bind(jobs().map(|job| job.operation_data.as_str()).collect::<Vec<_>>())
            .bind(jobs().map(|job| job.target.as_str()).collect::<Vec<_>>())
            .bind(jobs().map(|job| job.priority).collect::<Vec<_>>())
            .bind(jobs().map(|job| job.policy_type.as_str()).collect::<Vec<_>>())
            .bind(jobs().map(|job| job.etag).collect::<Vec<_>>())
            .bind(jobs().map(|job| job.create_time).collect::<Vec<_>>())
            .bind(database.next_slot());
        database.write::<()>(query).await?;
        Ok(())
    }

    /// Data that has another length than that asked for is other data, whatever it is, and is left out: what is read is no
    /// more than what was sent.
    async fn find(database: &Database, workspace: &str, new: &[Self]) -> sqlx::Result<Vec<Option<JobRow>>> {
        let sql = "
            select job.id, operation_type, case when octet_length(operation_data) = given.bytes then operation_data else '' end
                as operation_data, target, priority, policy_type, retried_from, retried_as, status, changed, exit_status,
                job.bytes, files, '' as error, start_time, end_time, etag, create_time, update_time
            from unnest($2::uuid[], $3::int8[]) as given (id, bytes) cross join lateral (
                select * from jobs where workspace_id = $1 and jobs.id = given.id limit 1
            ) as job";
        let ids: Vec<_> = new.iter().map(|new| new.job.id).collect();
        let bytes: Vec<_> = new.iter().map(|new| new.job.operation_data.len() as i64).collect();
        let mut connection = database.acquire().await?;
        let mut transaction = connection.begin_with(BEGIN).await?;
        let query = sqlx::query_as(sql).bind(workspace).bind(&ids).bind(bytes);
        let rows: Vec<JobRow> = query.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        connection.release();
        let mut by_id: HashMap<Uuid, JobRow> = rows.into_iter().map(|row| (row.id, row)).collect();
        Ok(ids.iter().map(|id| by_id.remove(id)).collect())
    }

    fn is_as(&self, existing: &JobRow) -> bool {
        let JobRow { id, operation_type, operation_data, target, priority, policy_type, .. } = existing;
        let job = &self.job;
        (&job.id, &job.operation_type, &job.operation_data, &job.target, &job.priority, &job.policy_type)
            == (id, operation_type, operation_data, target, priority, policy_type)
    }

    fn resource(&self, _existing: Option<&JobRow>) -> Resource {
        Resource { kind: JOB, field: format!("{}job.id", self.path), name: self.job.id.to_string() }
    }
}
