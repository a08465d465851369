-- The agent with a name, in the default order of the list.
do $$ begin

create index if not exists agents_name_register_time on agents (workspace_id, name, register_time, id);
-- Names are unique in a workspace, but the statistics are those of all workspaces.
alter table agents alter column name set (n_distinct = 1000);

end $$;
