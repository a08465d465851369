-- Agents: what they can do, how they are, and when they were last heard of.
--
-- A heartbeat writes load and heartbeat_time and, now and then, another status. No index has the first two, and each page
-- has room left, so that it is a HOT update: it touches no index, and leaves nothing for vacuum to do.
do $$ begin

create table agents (
    workspace_id text collate "C" not null check (workspace_id ~ '^[a-z0-9-]{1,63}$'),
    id uuid not null,
    name text collate "C" not null check (octet_length(name) between 1 and 256),
    surface text collate "C" not null check (octet_length(surface) <= 64),
    endpoint text not null check (octet_length(endpoint) <= 1024),
    capabilities text[] collate "C" not null check (cardinality(capabilities) <= 32),
    status text collate "C" not null
        check (status in ('active', 'idle', 'busy', 'degraded', 'suspended', 'offline')),
    load int4 not null check (load >= 0),
    capacity int4 not null check (capacity >= 0),
    -- In milliseconds: 1 second to 1 day.
    time_to_live int8 not null check (time_to_live between 1000 and 86400000),
    metadata jsonb not null,
    etag uuid not null,
    register_time timestamptz not null,
    heartbeat_time timestamptz not null,
    update_time timestamptz not null,
    primary key (workspace_id, id),
    unique (workspace_id, name)
) with (fillfactor = 70);

-- While all agents have one status or one surface, its index would seem to be worth nothing, and Postgres would pass over
-- every row for another one.
alter table agents alter column status set (n_distinct = 1000);
alter table agents alter column surface set (n_distinct = 1000);

create index agents_register_time on agents (workspace_id, register_time, id);
create index agents_status_register_time on agents (workspace_id, status, register_time, id);
create index agents_surface_register_time on agents (workspace_id, surface, register_time, id);
-- For the sweep, which goes through those that silence makes offline.
create index agents_swept on agents (workspace_id, id) where status not in ('suspended', 'offline');

end $$;
