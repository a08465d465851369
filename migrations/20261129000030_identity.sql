-- Who made a key, and what the uses of a refresh token answered.
do $$ begin

alter table api_keys
    -- The key that it was made with, and its subject. Neither is known of keys that an earlier release made.
    add column creator_api_key_id uuid,
    add column creator_subject text collate "C" not null default '',
    -- The key that it was made with, the key that this one was made with, and so on. So a whole tree is one search.
    add column ancestor_ids uuid[] not null default '{}';

-- Refresh tokens that were used in the last seconds. The next token is encrypted with a key that follows from the used one,
-- so only a holder of the used token gets it again.
create table refresh_uses (
    workspace_id text collate "C" not null,
    session_id uuid not null,
    token_hash bytea not null check (octet_length(token_hash) = 32),
    next_token bytea not null check (octet_length(next_token) = 72),
    use_time timestamptz not null,
    primary key (workspace_id, session_id, token_hash),
    foreign key (workspace_id, session_id) references sessions (workspace_id, id) on delete cascade
);

end $$;
