-- Prompts, their versions, the labels that point at versions, and the history of the labels' moves.
--
-- The workspace leads every key and index, so that the tables can be distributed by it. Every text that an order uses has
-- the collation "C" and a bound on its length: an order by bytes, and a page token that always fits.

create table prompts (
    workspace_id text collate "C" not null check (workspace_id ~ '^[a-z0-9-]{1,63}$'),
    id uuid not null,
    name text collate "C" not null check (octet_length(name) between 1 and 256),
    surface text collate "C" not null check (octet_length(surface) <= 64),
    tags text[] collate "C" not null check (cardinality(tags) <= 32),
    metadata jsonb not null,
    latest_version int4 not null check (latest_version >= 1),
    etag uuid not null,
    create_time timestamptz not null,
    update_time timestamptz not null,
    primary key (workspace_id, id),
    unique (workspace_id, name)
);

-- While all prompts have one surface, its index would seem to be worth nothing, and Postgres would pass over every row for
-- another surface.
alter table prompts alter column surface set (n_distinct = 1000);

create index prompts_create_time on prompts (workspace_id, create_time, id);
create index prompts_surface_create_time on prompts (workspace_id, surface, create_time, id);
create index prompts_update_time on prompts (workspace_id, update_time, id);

create table prompt_versions (
    workspace_id text collate "C" not null,
    prompt_id uuid not null,
    version int4 not null check (version >= 1),
    content text not null check (octet_length(content) between 1 and 1048576),
    model text not null check (octet_length(model) <= 128),
    author text not null check (octet_length(author) <= 128),
    variables text[] not null,
    content_hash bytea not null check (octet_length(content_hash) = 32),
    create_time timestamptz not null,
    primary key (workspace_id, prompt_id, version),
    foreign key (workspace_id, prompt_id) references prompts (workspace_id, id) on delete cascade
);

create table labels (
    workspace_id text collate "C" not null,
    prompt_id uuid not null,
    label text collate "C" not null check (octet_length(label) between 1 and 64),
    version int4 not null,
    assigned_by text not null check (octet_length(assigned_by) <= 128),
    assign_time timestamptz not null,
    primary key (workspace_id, prompt_id, label),
    foreign key (workspace_id, prompt_id, version)
        references prompt_versions (workspace_id, prompt_id, version) on delete cascade
);

-- What ran is on record for longer than the prompt: no foreign key.
create table deployments (
    workspace_id text collate "C" not null check (workspace_id ~ '^[a-z0-9-]{1,63}$'),
    id uuid not null,
    prompt_id uuid not null,
    label text collate "C" not null check (octet_length(label) between 1 and 64),
    version int4 not null,
    previous_version int4 not null,
    actor text not null check (octet_length(actor) <= 128),
    create_time timestamptz not null,
    primary key (workspace_id, id)
);

alter table deployments alter column prompt_id set (n_distinct = 1000);

create index deployments_create_time on deployments (workspace_id, create_time, id);
create index deployments_prompt_create_time on deployments (workspace_id, prompt_id, create_time, id);
