-- Memories: texts to be known again, found by filters or by their words.
do $$ begin

create table memories (
    workspace_id text collate "C" not null check (workspace_id ~ '^[a-z0-9-]{1,63}$'),
    id uuid not null,
    scope text collate "C" not null check (scope in ('user', 'team', 'organization', 'agent', 'project')),
    content text not null check (octet_length(content) between 1 and 262144),
    type text collate "C" not null check (octet_length(type) <= 64),
    source text not null check (octet_length(source) <= 256),
    -- NaN is greater than every other number.
    confidence float8 not null check (confidence between 0 and 1),
    pinned bool not null,
    policy bool not null,
    user_id text collate "C" not null check (octet_length(user_id) <= 128),
    team_id text collate "C" not null check (octet_length(team_id) <= 128),
    project_id text collate "C" not null check (octet_length(project_id) <= 128),
    repository text collate "C" not null check (octet_length(repository) <= 256),
    agent text collate "C" not null check (octet_length(agent) <= 256),
    tags text[] collate "C" not null check (cardinality(tags) <= 32),
    metadata jsonb not null,
    etag uuid not null,
    create_time timestamptz not null,
    update_time timestamptz not null,
    -- The words of the content, and the workspace as a word among them: no text has one with a space in it. So what is looked
    -- up for one workspace is not looked up in the others. The words of so many characters, however long and however many,
    -- have less than the megabyte that Postgres takes. To find them takes it the square of the length of what has no space
    -- in it, and of a comment as in HTML, hence the spaces.
    search tsvector not null generated always as (
        to_tsvector('english', regexp_replace(translate(left(content, 65536), '<', ' '), '(\S{200})', '\1 ', 'g'))
        || array_to_tsvector(array['workspace ' || workspace_id])
    ) stored,
    primary key (workspace_id, id)
);

-- While all memories are of one agent, user or project, its index would seem to be worth nothing, and Postgres would pass
-- over every row for another one.
alter table memories alter column agent set (n_distinct = 1000);
alter table memories alter column user_id set (n_distinct = 1000);
alter table memories alter column project_id set (n_distinct = 1000);

create index memories_create_time on memories (workspace_id, create_time, id);
create index memories_agent_create_time on memories (workspace_id, agent, create_time, id);
create index memories_user_create_time on memories (workspace_id, user_id, create_time, id);
create index memories_project_create_time on memories (workspace_id, project_id, create_time, id);
create index memories_update_time on memories (workspace_id, update_time, id);

-- Without a list of what is yet to be put in its place, which each look-up would go through.
create index memories_search on memories using gin (search) with (fastupdate = off);

end $$;
