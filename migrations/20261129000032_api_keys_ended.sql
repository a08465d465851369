-- no-transaction
-- For the sweep, which deletes the keys of all workspaces in the order in which they ended.
create index concurrently if not exists api_keys_ended on api_keys (least(expire_time, revoke_time))
