-- API keys, and the sessions that are begun with them. Of a secret there is its SHA-256, which is as good as the secret is
-- long: 32 random bytes.
do $$ begin

create table api_keys (
    workspace_id text collate "C" not null check (workspace_id ~ '^[a-z0-9-]{1,63}$'),
    id uuid not null,
    name text not null check (octet_length(name) between 1 and 128),
    subject text collate "C" not null check (octet_length(subject) between 1 and 128),
    scopes text[] collate "C" not null check (cardinality(scopes) between 1 and 32),
    secret_hash bytea not null check (octet_length(secret_hash) = 32),
    create_time timestamptz not null,
    expire_time timestamptz,
    last_use_time timestamptz,
    revoke_time timestamptz,
    primary key (workspace_id, id)
);

create index api_keys_create_time on api_keys (workspace_id, create_time, id);

create table sessions (
    workspace_id text collate "C" not null,
    id uuid not null,
    api_key_id uuid not null,
    subject text collate "C" not null check (octet_length(subject) between 1 and 128),
    scopes text[] collate "C" not null check (cardinality(scopes) between 1 and 32),
    ip text not null check (octet_length(ip) <= 64),
    user_agent text not null check (octet_length(user_agent) <= 256),
    -- What all refresh tokens of the session have in common, and what the next one has besides.
    family_hash bytea not null check (octet_length(family_hash) = 32),
    refresh_hash bytea not null check (octet_length(refresh_hash) = 32),
    create_time timestamptz not null,
    expire_time timestamptz not null,
    refresh_time timestamptz not null,
    revoke_time timestamptz,
    primary key (workspace_id, id),
    foreign key (workspace_id, api_key_id) references api_keys (workspace_id, id)
);

-- While all sessions are of one subject, its index would seem to be worth nothing, and Postgres would pass over every row for
-- another one.
alter table sessions alter column subject set (n_distinct = 1000);

create index sessions_create_time on sessions (workspace_id, create_time, id);
create index sessions_subject_create_time on sessions (workspace_id, subject, create_time, id);
-- For revoking a key, which looks for the sessions that were begun with it.
create index sessions_api_key on sessions (workspace_id, api_key_id, id);

end $$;
