-- Names are unique in a workspace, but the statistics are those of all workspaces.
alter table agents alter column name set (n_distinct = 1000);
