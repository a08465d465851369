use std::collections::{BTreeSet, HashMap, HashSet};

use keyset::{List, Listing, Order, Statement, asc};
use platform::{Error, Field, Resource, Rows, Value};
use quire_proto::jobs::v1::JobEvent;
use sqlx::{FromRow, PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    BEGIN, JOBS, KINDS,
    hosts::{self, Deltas},
};
use crate::Jobs;

macro_rules! columns {
    () => {
        "id, job_id, kind, host, message, error, changed as \"result.changed\", exit_status as \"result.exit_status\", \
        bytes as \"result.bytes\", files as \"result.files\", occur_time, create_time"
    };
}

/// The events of a job.
pub static EVENTS: Listing = Listing {
    name: "jobs.v1.JobEvents",
    from: "job_events",
    message: "jobs.v1.JobEvent",
    columns: columns!(),
    scope: &["workspace_id", "job_id"],
    orders: &[Order { name: "occur_time", keys: &[asc("occur_time"), asc("id")], indexed: &[] }],
    weight: Some("octet_length(message) + octet_length(error)"),
    ..Listing::DEFAULT
};

/// The maximum number of bytes, and of files, in a result. The sums over all hosts fit in an `int8`.
const MAX_AMOUNT: i64 = 1_000_000_000_000_000;
/// The maximum number of hosts of a job, because all of them are in one answer.
const MAX_HOSTS: i32 = 5_000;

/// The fields of an event that callers write.
pub fn event_fields(event: &JobEvent) -> Vec<Field<'_>> {
    let result = event.result.as_ref();
    vec![
        Field::text("id", &event.id, 1..=128),
        Field::text("host", &event.host, 0..=256),
        Field::text("message", &event.message, 0..=16 << 10),
        Field::text("error", &event.error, 0..=16 << 10),
        Field::one_of("kind", event.kind, &KINDS),
        Field::new("changed", Value::Bool(result.map(|result| result.changed))),
        Field::new("exit_status", Value::Int4(result.and_then(|result| result.exit_status))),
        Field::int8("result.bytes", result.map(|result| result.bytes), 0..=MAX_AMOUNT).in_column("bytes"),
        Field::int8("result.files", result.map(|result| result.files), 0..=MAX_AMOUNT).in_column("files"),
    ]
}

/// An event to insert.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    /// The path of the event in its request, with a trailing dot, as in `events[3].`.
    pub(crate) path: String,
    /// Whether the request contains the time.
    pub(crate) is_occur_time_given: bool,
    pub(crate) job_id: Uuid,
    pub(crate) occur_time: OffsetDateTime,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) event: JobEvent,
}

impl NewEvent {
    /// Whether the existing event is identical to this one, as far as requests can tell.
    pub(crate) fn is_as(&self, existing: &JobEvent) -> bool {
        let JobEvent { occur_time, create_time, .. } = *existing;
        let occur_time = if self.is_occur_time_given { self.event.occur_time } else { occur_time };
        JobEvent { occur_time, create_time, ..self.event.clone() } == *existing
    }

    /// The event, as errors name it.
    pub(crate) fn resource(&self) -> Resource {
        Resource { kind: EVENTS.message, field: format!("{}id", self.path), name: self.event.id.clone() }
    }

    fn job(&self) -> Resource {
        Resource { kind: JOBS.message, field: format!("{}job_id", self.path), name: self.job_id.to_string() }
    }
}

/// Events to insert, all or none. Their ids are distinct.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) events: Vec<NewEvent>,
    /// The new etag of each job that changes.
    pub(crate) etag: Uuid,
    /// The time at which the events are recorded.
    pub(crate) time: OffsetDateTime,
}

impl Append {
    /// Inserts the events and updates the hosts and the outcomes of their jobs. Returns how many events were inserted; the
    /// others existed already.
    ///
    /// The jobs are locked first, so that each later statement sees everything that other calls have recorded for the same
    /// jobs. Every call locks jobs, then events, then hosts, then counters, each in the order of their keys, so that calls
    /// do not deadlock.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for a job that does not exist, [`Error::AlreadyExists`] for an event whose id belongs to a
    /// different event, [`Error::FailedPrecondition`] when a job would have too many hosts.
    pub(crate) async fn run(self, service: &Jobs, workspace: &str) -> Result<usize, Error> {
        let (list, workspace, slot) =
            (service.events.clone(), workspace.to_owned(), service.platform.slots.next_slot());
        let recorded = service.database.transaction(BEGIN, move |connection| {
            Box::pin(async move { self.run_in(connection, &list, &workspace, slot).await })
        });
        recorded.await
    }

    async fn run_in(
        &self,
        connection: &mut PgConnection,
        list: &List,
        workspace: &str,
        slot: i32,
    ) -> Result<usize, Error> {
        let mut changed = self.lock(connection, workspace).await?;
        let recorded = self.record(connection, workspace).await?;
        let (recorded, others): (Vec<_>, Vec<_>) = self.events.iter().partition(|new| recorded.contains(&new.event.id));
        check_same(connection, list, workspace, &others).await?;
        let jobs: HashSet<Uuid> = recorded.iter().map(|new| new.job_id).collect();
        changed.retain(|job| jobs.contains(&job.id));
        if !changed.is_empty() {
            let deltas = hosts::update(connection, workspace, &changed, &recorded).await?;
            let host_count = self.settle(connection, workspace, &changed, &deltas, slot).await?;
            if host_count > MAX_HOSTS {
                return Err(Error::FailedPrecondition("a job has at most 5000 hosts"));
            }
        }
        Ok(recorded.len())
    }

    /// Locks the jobs, in the order of their ids.
    async fn lock(&self, connection: &mut PgConnection, workspace: &str) -> Result<Vec<LockedRow>, Error> {
        let sql = "
            select job.* from unnest($2::uuid[]) as wanted (id) cross join lateral (
                select id, status, coalesce(hosts_etag = etag, false) as has_hosts
                from jobs where workspace_id = $1 and jobs.id = wanted.id limit 1 for no key update
            ) as job";
        let ids: BTreeSet<Uuid> = self.events.iter().map(|new| new.job_id).collect();
        let query = sqlx::query_as(sql).bind(workspace).bind(ids.into_iter().collect::<Vec<_>>());
        let locked: Vec<LockedRow> = query.fetch_all(connection).await?;
        let ids: HashSet<Uuid> = locked.iter().map(|job| job.id).collect();
        match self.events.iter().find(|new| !ids.contains(&new.job_id)) {
            Some(new) => Err(Error::NotFound(new.job())),
            None => Ok(locked),
        }
    }

    /// Inserts the events that do not exist yet. Returns their ids.
    async fn record(&self, connection: &mut PgConnection, workspace: &str) -> sqlx::Result<HashSet<String>> {
        let rows = Rows::new(self.events.iter().map(|new| {
            let mut fields = event_fields(&new.event);
            fields.extend([
                Field::new("job_id", Value::Uuid(new.job_id)),
                Field::new("occur_time", Value::Timestamptz(new.occur_time)),
                Field::new("create_time", Value::Timestamptz(new.create_time)),
            ]);
            fields
        }));
        let insert = rows.insert_into("job_events", "id collate \"C\"");
        let sql = format!("{insert} on conflict (workspace_id, id) do nothing returning id");
        let recorded = rows.bind(Statement::built(sql.into()).bind(workspace)).fetch_all(connection).await?;
        recorded.iter().map(|row| row.try_get("id")).collect()
    }

    /// Updates the outcomes of the changed jobs by what has changed in their hosts, and updates the counters. Returns the
    /// maximum number of hosts among the jobs. The jobs are locked, so their `ctid`s do not change.
    async fn settle(
        &self,
        connection: &mut PgConnection,
        workspace: &str,
        changed: &[LockedRow],
        deltas: &Deltas,
        slot: i32,
    ) -> sqlx::Result<i32> {
        let sql = "
            with changed as (
                select * from unnest($2::uuid[], $3::text[], $4::bool[], $5::int4[], $6::int4[], $7::int4[], $8::int4[],
                    $9::int4[], $10::int8[], $11::int8[], $12::timestamptz[], $13::timestamptz[])
                    as changed (id, old_status, has_hosts, hosts, ended, completed, failed, changed, bytes, files, start_time,
                        end_time)
            ), sums as (
                -- A job whose hosts were computed from all events begins at zero.
                select changed.id, old_status, job.ctid, job.host_count * kept + hosts as host_count,
                    job.ended_count * kept + ended as ended_count,
                    job.completed_count * kept + completed as completed_count,
                    job.failed_count * kept + failed as failed_count,
                    job.changed_count * kept + changed.changed as changed_count,
                    job.bytes * kept + changed.bytes as bytes, job.files * kept + changed.files as files,
                    least(case when has_hosts then job.start_time end, changed.start_time) as start_time,
                    greatest(case when has_hosts then job.last_end_time end, changed.end_time) as last_end_time
                from changed cross join lateral (
                    select *, ctid, has_hosts::int4 as kept
                    from jobs where workspace_id = $1 and jobs.id = changed.id limit 1
                ) as job
            ), outcomes as (
                select sums.*,
                    case
                        when host_count = 0 then 'submitted'
                        when ended_count < host_count then 'processing'
                        when completed_count > 0 and failed_count > 0 then 'partial_failure'
                        when failed_count > 0 then 'failed'
                        when completed_count > 0 then 'completed'
                        else 'skipped'
                    end as status,
                    (
                        select exit_status from job_host_states
                        where workspace_id = $1 and job_id = sums.id and exit_status is not null
                        order by workspace_id desc, job_id desc, exit_status desc limit 1
                    ) as exit_status,
                    (
                        select event_id from job_host_states
                        where workspace_id = $1 and job_id = sums.id and state = 'failed'
                        order by workspace_id desc, job_id desc, occur_time desc, event_id desc limit 1
                    ) as failed_event_id
                from sums
            ), settled as (
                update jobs set status = outcome.status, changed = outcome.changed_count > 0,
                    exit_status = outcome.exit_status, bytes = outcome.bytes, files = outcome.files,
                    start_time = outcome.start_time,
                    end_time = case when outcome.status not in ('submitted', 'processing') then outcome.last_end_time end,
                    error = coalesce((
                        select error from (
                            -- Only the primary key has this order.
                            select id, error from job_events where workspace_id = $1 and id >= outcome.failed_event_id
                            order by id limit 1
                        ) as event where event.id = outcome.failed_event_id
                    ), ''),
                    host_count = outcome.host_count, ended_count = outcome.ended_count,
                    completed_count = outcome.completed_count, failed_count = outcome.failed_count,
                    changed_count = outcome.changed_count, last_end_time = outcome.last_end_time,
                    etag = $14, hosts_etag = $14, update_time = greatest($15, jobs.update_time + interval '1 microsecond')
                from outcomes as outcome where jobs.ctid = outcome.ctid
                returning old_status, jobs.status as new_status, jobs.retried_as is not null as retried
            ), counted as (
                insert into job_status_counts as counts (workspace_id, status, retried, slot, row_count)
                select $1, status, retried, $16, sum(change)
                from settled cross join lateral (values (old_status, -1), (new_status, 1)) as changes (status, change)
                group by status, retried having sum(change) <> 0 order by status, retried
                on conflict (workspace_id, status, retried, slot)
                    do update set row_count = counts.row_count + excluded.row_count
            )
            select max(host_count) from outcomes";
        let query = sqlx::query_scalar(sql)
            .bind(workspace)
            .bind(changed.iter().map(|job| job.id).collect::<Vec<_>>())
            .bind(changed.iter().map(|job| job.status.as_str()).collect::<Vec<_>>())
            .bind(changed.iter().map(|job| job.has_hosts).collect::<Vec<_>>());
        let query = deltas.bind(query, changed);
        query.bind(self.etag).bind(self.time).bind(slot).fetch_one(connection).await
    }
}

/// A locked job, with its status at that time.
#[derive(Debug, FromRow)]
pub(super) struct LockedRow {
    pub(super) id: Uuid,
    status: String,
    /// Whether its hosts are those of its events.
    pub(super) has_hosts: bool,
}

/// Checks that the existing events are identical to the new ones.
async fn check_same(
    connection: &mut PgConnection,
    list: &List,
    workspace: &str,
    new: &[&NewEvent],
) -> Result<(), Error> {
    if new.is_empty() {
        return Ok(());
    }
    let sql = concat!(
        "
        select event.* from unnest($2::uuid[], $3::text[]) as wanted (wanted_job_id, wanted_id) cross join lateral (
            select ",
        columns!(),
        " from job_events
            where workspace_id = $1 and job_events.job_id = wanted_job_id and job_events.id = wanted_id
            limit 1
        ) as event"
    );
    let job_ids: Vec<Uuid> = new.iter().map(|new| new.job_id).collect();
    let ids: Vec<&str> = new.iter().map(|new| new.event.id.as_str()).collect();
    let statement = Statement::new(sql).bind(workspace).bind(job_ids).bind(ids);
    let mut by_id: HashMap<String, JobEvent> = HashMap::new();
    for row in statement.fetch_all(connection).await? {
        let event: JobEvent = list.message(&row)?;
        by_id.insert(event.id.clone(), event);
    }
    // An id that is not found belongs to an event of another job.
    match new.iter().find(|new| by_id.get(&new.event.id).is_none_or(|existing| !new.is_as(existing))) {
        Some(new) => Err(Error::AlreadyExists(new.resource())),
        None => Ok(()),
    }
}
