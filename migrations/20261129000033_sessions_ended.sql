-- no-transaction
-- For the sweep, which deletes the sessions of all workspaces in the order in which they ended.
create index concurrently if not exists sessions_ended on sessions (least(expire_time, revoke_time))
