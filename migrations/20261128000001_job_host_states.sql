-- The state of each job on each host, kept up to date by the events as they are recorded, so that a call reads what it brings
-- and not all events of its jobs. It replaces the view job_hosts, which the previous release still reads.
--
-- The previous release records events without these rows. It gives the job a new etag each time, and leaves hosts_etag. So the
-- rows are those of the job's events if and only if jobs.hosts_etag = jobs.etag. Otherwise the next call that records events of
-- the job computes the rows again from all of its events, and readers read the view. This also holds for all jobs that are older
-- than this table, and for a job that was deleted by the previous release, without its rows, and created again.
do $$ begin

create table job_host_states (
    workspace_id text collate "C" not null check (workspace_id ~ '^[a-z0-9-]{1,63}$'),
    job_id uuid not null,
    host text collate "C" not null check (octet_length(host) between 1 and 256),
    -- The most advanced event: its kind, how advanced that is (1 submitted, 2 acknowledged, 3 started, 4 ended), its id, time and
    -- result.
    state text collate "C" not null
        check (state in ('submitted', 'acknowledged', 'started', 'completed', 'failed', 'skipped')),
    stage int2 not null check (stage between 1 and 4),
    event_id text collate "C" not null,
    occur_time timestamptz not null,
    changed bool,
    exit_status int4,
    bytes int8,
    files int8,
    -- When the host first got to each stage.
    submit_time timestamptz,
    acknowledge_time timestamptz,
    start_time timestamptz,
    primary key (workspace_id, job_id, host)
);

-- The highest exit status of a job, and its host that failed last.
create index job_host_states_exit_status on job_host_states (workspace_id, job_id, exit_status) where exit_status is not null;
create index job_host_states_failed on job_host_states (workspace_id, job_id, occur_time, event_id) where state = 'failed';

alter table jobs
    add column hosts_etag uuid,
    -- How many hosts the job has, and how many of them have ended, completed, failed and changed something.
    add column host_count int4 not null default 0,
    add column ended_count int4 not null default 0,
    add column completed_count int4 not null default 0,
    add column failed_count int4 not null default 0,
    add column changed_count int4 not null default 0,
    -- When the last of the hosts ended, even if others have not ended.
    add column last_end_time timestamptz;

end $$;
