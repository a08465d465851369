-- Jobs, their events, and how many jobs there are of each kind.
do $$ begin

create table jobs (
    workspace_id text collate "C" not null check (workspace_id ~ '^[a-z0-9-]{1,63}$'),
    id uuid not null,
    operation_type text collate "C" not null check (octet_length(operation_type) between 1 and 128),
    -- The text of a JSON object, to be given back as it is, which jsonb would not.
    operation_data text not null check (octet_length(operation_data) between 2 and 262144),
    target text collate "C" not null check (octet_length(target) <= 256),
    priority int4 not null,
    policy_type text collate "C" not null check (octet_length(policy_type) <= 64),
    retried_from uuid,
    retried_as uuid,
    -- What its events come to.
    status text collate "C" not null
        check (status in ('submitted', 'processing', 'completed', 'failed', 'partial_failure', 'skipped')),
    changed bool not null,
    exit_status int4,
    bytes int8 not null,
    files int8 not null,
    error text not null check (octet_length(error) <= 16384),
    start_time timestamptz,
    end_time timestamptz,
    etag uuid not null,
    create_time timestamptz not null,
    update_time timestamptz not null,
    check ((end_time is not null) = (status in ('completed', 'failed', 'partial_failure', 'skipped')))
);

-- While all jobs have one status, type, target, priority or end, its index would seem to be worth nothing, and Postgres would
-- pass over every row for another one.
alter table jobs alter column status set (n_distinct = 1000);
alter table jobs alter column operation_type set (n_distinct = 1000);
alter table jobs alter column target set (n_distinct = 1000);
alter table jobs alter column priority set (n_distinct = 1000);
alter table jobs alter column end_time set (n_distinct = 1000);

create index jobs_create_time on jobs (workspace_id, create_time, id);
create index jobs_status_create_time on jobs (workspace_id, status, create_time, id);
create index jobs_operation_type_create_time on jobs (workspace_id, operation_type, create_time, id);
create index jobs_target_create_time on jobs (workspace_id, target, create_time, id);
create index jobs_end_time on jobs (workspace_id, end_time desc nulls last, id desc);
create index jobs_priority on jobs (workspace_id, priority desc, create_time, id);
-- Last, since Postgres takes the last of several indexes that seem to be worth the same, as all do before it knows the table.
alter table jobs add primary key (workspace_id, id);

-- No foreign key: events are recorded under the lock of their job and deleted with it, and to look it up again for each event
-- would cost as much as the event.
create table job_events (
    workspace_id text collate "C" not null check (workspace_id ~ '^[a-z0-9-]{1,63}$'),
    id text collate "C" not null check (octet_length(id) between 1 and 128),
    job_id uuid not null,
    kind text collate "C" not null
        check (kind in ('submitted', 'acknowledged', 'started', 'completed', 'failed', 'skipped', 'retried')),
    host text collate "C" not null check (octet_length(host) <= 256),
    message text not null check (octet_length(message) <= 16384),
    error text not null check (octet_length(error) <= 16384),
    -- The result, if the event has one.
    changed bool,
    exit_status int4,
    bytes int8 check (bytes between 0 and 1000000000000000),
    files int8 check (files between 0 and 1000000000000000),
    occur_time timestamptz not null,
    create_time timestamptz not null,
    primary key (workspace_id, id)
);

create index job_events_occur_time on job_events (workspace_id, job_id, occur_time, id);

-- What the events of a job come to on each host: its furthest event, and when it first got to each state.
create view job_hosts as
select distinct on (workspace_id, job_id, host)
    workspace_id, job_id, host, kind as state, kind in ('completed', 'failed', 'skipped') as has_ended, id as event_id,
    changed, exit_status, bytes, files, error,
    min(occur_time) filter (where kind = 'submitted') over events as submit_time,
    min(occur_time) filter (where kind = 'acknowledged') over events as acknowledge_time,
    min(occur_time) filter (where kind = 'started') over events as start_time,
    case when kind in ('completed', 'failed', 'skipped') then occur_time end as end_time
from job_events
where host <> '' and kind <> 'retried'
window events as (partition by workspace_id, job_id, host)
order by workspace_id, job_id, host,
    case kind when 'submitted' then 1 when 'acknowledged' then 2 when 'started' then 3 else 4 end desc,
    occur_time desc, id desc;

-- How many jobs there are, in total over the slots. Who changes jobs changes these in the same statement or transaction, in
-- one slot of each: each in turn, so that those who do so at once do not wait for each other. A slot may be negative. There
-- is room for the new version of a row on its page, so that no index is touched.
--
-- Who changes both tables changes the first one first: otherwise two could wait for each other.
create table job_operation_type_counts (
    workspace_id text collate "C" not null check (workspace_id ~ '^[a-z0-9-]{1,63}$'),
    operation_type text collate "C" not null,
    slot int4 not null,
    row_count int8 not null,
    primary key (workspace_id, operation_type, slot)
) with (fillfactor = 50);

create table job_status_counts (
    workspace_id text collate "C" not null check (workspace_id ~ '^[a-z0-9-]{1,63}$'),
    status text collate "C" not null,
    -- Whether they were retried.
    retried bool not null,
    slot int4 not null,
    row_count int8 not null,
    primary key (workspace_id, status, retried, slot)
) with (fillfactor = 50);

end $$;
