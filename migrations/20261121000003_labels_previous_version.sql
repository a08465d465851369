-- The version that a label pointed at before it was last moved, 0 when it was new: so that the statement that moves a label
-- can record from where.
alter table labels add column previous_version int4 not null default 0;
