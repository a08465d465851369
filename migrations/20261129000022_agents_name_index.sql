-- no-transaction
-- The agent with a name, in the default order of the list.
create index concurrently if not exists agents_name_register_time on agents (workspace_id, name, register_time, id)
