-- The subject that registered an agent, which may take it over. Empty without authentication, and in rows of earlier
-- releases. A constant default rewrites no rows.
alter table agents add column owner text collate "C" not null default '';
