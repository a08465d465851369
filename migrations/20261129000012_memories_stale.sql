-- no-transaction
-- The memories whose words are not those of their content. No other index has this order, so Postgres finds them by this one
-- even if it expects that most memories are of this kind.
create index concurrently if not exists memories_stale on memories (workspace_id, etag, id)
    where words_etag is distinct from etag
