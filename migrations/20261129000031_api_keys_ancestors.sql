-- no-transaction
-- The keys that were made with a key. Without a list of pending entries, which each look-up would go through.
create index concurrently if not exists api_keys_ancestors on api_keys using gin (ancestor_ids) with (fastupdate = off)
