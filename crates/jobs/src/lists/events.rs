use std::collections::{BTreeSet, HashMap, HashSet};

use keyset::{List, Listing, Order, Statement, asc};
use platform::{Error, Field, Resource, Rows, Value};
use quire_proto::jobs::v1::JobEvent;
use sqlx::{FromRow, PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{BEGIN, JOBS, KINDS};
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
const MAX_HOSTS: i64 = 5_000;
/// The maximum number of events of a job, because all of them are read when an event is recorded.
const MAX_EVENTS: i64 = 50_000;

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
    /// Inserts the events and updates the outcomes of their jobs. Returns how many events were inserted; the others
    /// existed already.
    ///
    /// The jobs are locked first, so that each later statement sees all events that other calls have recorded for the
    /// same jobs. Every call locks jobs, then events, then counters, each in the order of their keys, so that calls do
    /// not deadlock.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for a job that does not exist, [`Error::AlreadyExists`] for an event whose id belongs to a
    /// different event, [`Error::FailedPrecondition`] when a job would have too many hosts or events.
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
            self.settle(connection, workspace, &changed, slot).await?.check()?;
        }
        Ok(recorded.len())
    }

    /// Locks the jobs, in the order of their ids.
    async fn lock(&self, connection: &mut PgConnection, workspace: &str) -> Result<Vec<LockedRow>, Error> {
        let sql = "
            select job.id, job.status from unnest($2::uuid[]) as wanted (id) cross join lateral (
                select id, status from jobs where workspace_id = $1 and jobs.id = wanted.id limit 1 for no key update
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
        let recorded = rows.bind(Statement::built(sql.into()).bind(workspace)).query()?.fetch_all(connection).await?;
        recorded.iter().map(|row| row.try_get("id")).collect()
    }

    /// Computes the outcomes of the changed jobs from their events, and updates the counters. The jobs are locked, so
    /// their `ctid`s do not change.
    async fn settle(
        &self,
        connection: &mut PgConnection,
        workspace: &str,
        changed: &[LockedRow],
        slot: i32,
    ) -> sqlx::Result<Amounts> {
        let sql = "
            with outcomes as (
                select changed.status as old_status, job.ctid, amount.event_count, outcome.*
                from unnest($2::uuid[], $3::text[]) as changed (id, status) cross join lateral (
                    select ctid from jobs where workspace_id = $1 and jobs.id = changed.id limit 1
                ) as job cross join lateral (
                    select count(*) as event_count from job_events where workspace_id = $1 and job_id = changed.id
                ) as amount cross join lateral (
                    select count(*) as host_count,
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
                        -- Not its error: those of all hosts would be read to keep one.
                        (array_agg(event_id order by end_time desc, event_id desc) filter (where state = 'failed'))[1]
                            as failed_event_id
                    from job_hosts where workspace_id = $1 and job_id = changed.id
                ) as outcome
            ), settled as (
                update jobs set status = outcome.status, changed = outcome.changed, exit_status = outcome.exit_status,
                    bytes = outcome.bytes, files = outcome.files, start_time = outcome.start_time,
                    end_time = outcome.end_time, error = coalesce((
                        select error from job_events
                        where workspace_id = $1 and job_id = jobs.id and id = outcome.failed_event_id
                    ), ''),
                    etag = $4, update_time = greatest($5, jobs.update_time + interval '1 microsecond')
                from outcomes as outcome where jobs.ctid = outcome.ctid
                returning old_status, jobs.status as new_status, jobs.retried_as is not null as retried
            ), counted as (
                insert into job_status_counts as counts (workspace_id, status, retried, slot, row_count)
                select $1, status, retried, $6, sum(change)
                from settled cross join lateral (values (old_status, -1), (new_status, 1)) as changes (status, change)
                group by status, retried having sum(change) <> 0 order by status, retried
                on conflict (workspace_id, status, retried, slot)
                    do update set row_count = counts.row_count + excluded.row_count
            )
            select max(host_count) as host_count, max(event_count) as event_count from outcomes";
        let query = sqlx::query_as(sql)
            .bind(workspace)
            .bind(changed.iter().map(|job| job.id).collect::<Vec<_>>())
            .bind(changed.iter().map(|job| job.status.as_str()).collect::<Vec<_>>())
            .bind(self.etag)
            .bind(self.time)
            .bind(slot);
        query.fetch_one(connection).await
    }
}

/// A locked job, with its status at that time.
#[derive(Debug, FromRow)]
struct LockedRow {
    id: Uuid,
    status: String,
}

/// The maximum numbers of hosts and of events among several jobs.
#[derive(Debug, FromRow)]
struct Amounts {
    host_count: i64,
    event_count: i64,
}

impl Amounts {
    fn check(&self) -> Result<(), Error> {
        if self.host_count > MAX_HOSTS {
            return Err(Error::FailedPrecondition("a job has at most 5000 hosts"));
        }
        if self.event_count > MAX_EVENTS {
            return Err(Error::FailedPrecondition("a job has at most 50000 events"));
        }
        Ok(())
    }
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
    let query = Statement::new(sql).bind(workspace).bind(job_ids).bind(ids).query()?;
    let mut by_id: HashMap<String, JobEvent> = HashMap::new();
    for row in query.fetch_all(connection).await? {
        let event: JobEvent = list.message(&row)?;
        by_id.insert(event.id.clone(), event);
    }
    // An id that is not found belongs to an event of another job.
    match new.iter().find(|new| by_id.get(&new.event.id).is_none_or(|existing| !new.is_as(existing))) {
        Some(new) => Err(Error::AlreadyExists(new.resource())),
        None => Ok(()),
    }
}
