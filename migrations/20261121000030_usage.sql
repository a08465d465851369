-- What agents used, recorded once each. A cost is a number with 12 digits behind its point and 9 before it at most, so that
-- no sum of costs is ever rounded.
do $$ begin

create table usage_records (
    workspace_id text collate "C" not null check (workspace_id ~ '^[a-z0-9-]{1,63}$'),
    id uuid not null,
    request_id text collate "C" not null check (octet_length(request_id) between 1 and 128),
    team_id text collate "C" not null check (octet_length(team_id) <= 128),
    agent_id text collate "C" not null check (octet_length(agent_id) <= 256),
    surface text collate "C" not null check (octet_length(surface) <= 64),
    event_type text collate "C" not null check (octet_length(event_type) <= 64),
    model text collate "C" not null check (octet_length(model) <= 128),
    provider text collate "C" not null check (octet_length(provider) <= 64),
    input_tokens int8 not null check (input_tokens between 0 and 1000000000000),
    output_tokens int8 not null check (output_tokens between 0 and 1000000000000),
    cache_read_tokens int8 not null check (cache_read_tokens between 0 and 1000000000000),
    cache_write_tokens int8 not null check (cache_write_tokens between 0 and 1000000000000),
    cost_usd numeric not null check (cost_usd >= 0 and cost_usd < 1000000000 and scale(cost_usd) <= 12),
    metadata jsonb not null,
    occur_time timestamptz not null,
    create_time timestamptz not null,
    primary key (workspace_id, id),
    unique (workspace_id, request_id)
);

-- While all usage is of one agent, team or model, its index would seem to be worth nothing, and Postgres would pass over
-- every row for another one.
alter table usage_records alter column agent_id set (n_distinct = 1000);
alter table usage_records alter column team_id set (n_distinct = 1000);
alter table usage_records alter column model set (n_distinct = 1000);

create index usage_records_occur_time on usage_records (workspace_id, occur_time, id);
create index usage_records_agent_occur_time on usage_records (workspace_id, agent_id, occur_time, id);
create index usage_records_team_occur_time on usage_records (workspace_id, team_id, occur_time, id);
create index usage_records_model_occur_time on usage_records (workspace_id, model, occur_time, id);

end $$;
