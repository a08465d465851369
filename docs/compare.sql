-- The figures of compare.md: what each way of paging reads for a page of 50 rows, and how long that takes.
--
-- In an empty database, with shared_buffers = 1GB so that all of it stays in memory; it takes some minutes:
--
--     createdb compare && psql -X -q -d compare -f docs/compare.sql
--
-- Each statement is run 15 times by EXPLAIN ANALYZE; the first 6 warm the cache and let Postgres settle on a plan, and the
-- median of the others is shown, planning included, with the buffers of the last run. All select the same columns, so that
-- only the paging differs.
\set ON_ERROR_STOP on
\pset pager off
set client_min_messages = warning;

-- Prompts: a million in one workspace, three to an instant.
\ir ../migrations/20261121000001_prompts.sql
insert into prompts (workspace_id, id, name, surface, tags, metadata, latest_version, etag, create_time, update_time)
select 'default',
    (lpad(to_hex((extract(epoch from t) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
        || substr(md5(n::text), 4, 15))::uuid,
    'team-' || n % 97 || '/agent-' || n % 1009 || '/prompt-' || n,
    (array['chat', 'code', 'search', 'support', 'voice', 'batch'])[1 + n % 6],
    array['lang-' || n % 7, 'tier-' || n % 3], jsonb_build_object('owner', 'user-' || n % 5003, 'source', 'import'),
    1 + n % 9, md5('etag' || n)::uuid, t, t + n % 1000 * interval '1 hour'
from (select n, timestamptz '2025-01-01 00:00Z' + n / 3 * interval '79.123457 s' as t from generate_series(1, 1000000) n) s;

-- Books: 300,000, of which a fifth has no print time. The last index is for es-entity, which sorts by id the same way.
\ir ../crates/keyset/examples/bookshop/schema.sql
insert into books
select n, 'isbn-' || n, 'title ' || md5(n::text), 'shelf-' || n % 40, n % 5 = 0,
    case when n % 5 <> 4 then timestamptz '2000-01-01 00:00Z' + n * 7919 % 300000 / 3 * interval '3000.5 s' end
from generate_series(1, 300000::bigint) n;
create index books_print_time_id_desc on books (print_time desc nulls last, id desc);
vacuum analyze prompts, books;

create table figure (
    place int generated always as identity, what text, page text, milliseconds numeric, buffers bigint, rows bigint);

create procedure measure(what text, page text, statement text, explain text = 'analyze, buffers, timing off')
language plpgsql as $$
declare
    plan json;
    times float8[];
begin
    for run in 1 .. 15 loop
        execute format('explain (%s, summary, format json) %s', explain, statement) into plan;
        times[run] := (plan #>> '{0,Planning Time}')::float8 + coalesce((plan #>> '{0,Execution Time}')::float8, 0);
    end loop;
    insert into figure (what, page, milliseconds, buffers, rows)
    select measure.what, measure.page, percentile_cont(0.5) within group (order by time),
        (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint,
        coalesce(plan #>> '{0,Plan,Actual Rows}', plan #>> '{0,Plan,Plan Rows}')::bigint
    from unnest(times[7:15]) as time;
end $$;

-- Where pages begin: behind the rows at these depths of the two orders.
create table anchor as
select depth, t, i from (select row_number() over (order by create_time desc, id desc) as depth, create_time as t, id as i
    from prompts) numbered where depth in (1000, 100000, 900000);
create table book_anchor as
select depth, t, i from (select row_number() over (order by print_time desc nulls last, id) as depth, print_time as t, id as i
    from books) numbered where depth in (1000, 100000, 200000, 270000);

\set row 'id, name, surface, tags, metadata, latest_version, etag, create_time, update_time'
\set newest 'order by create_time desc, id desc'
\set book 'id, isbn, title, shelf, signed, print_time'

-- OFFSET, and page tokens that hold an offset. PostgREST makes JSON of the page.
prepare by_offset(text, int) as select :row from prompts where workspace_id = $1 :newest limit 50 offset $2;
prepare postgrest(text, int) as
with pgrst_source as (select :row from prompts where workspace_id = $1 :newest limit 50 offset $2)
select null::bigint, count(_postgrest_t), coalesce(json_agg(_postgrest_t), '[]') from (select * from pgrst_source) _postgrest_t;
-- es-entity: a branch for each state of the cursor.
prepare es_entity(text, bigint, uuid, timestamptz) as
(select :row from prompts where workspace_id = $1 and ((create_time, id) < ($4, $3)) and ($3 is not null) :newest limit $2)
union all (select :row from prompts where workspace_id = $1 and ($3 is null) :newest limit $2) :newest limit $2;
-- OR: SeaORM; Ory; id_effect_sql; Toasty; sqlakeyset unless its driver is psycopg2.
prepare by_or(text, timestamptz, uuid) as
select :row from prompts where workspace_id = $1 and ((create_time = $2 and id < $3) or create_time < $2) :newest limit 51;
-- Row value: sqlakeyset with psycopg2, which puts the values into the text, so that nothing is prepared.
\set by_row 'select ' :row ' from prompts where workspace_id = ''default'' and (create_time, id) < (%L, %L::uuid) ' :newest ' limit 51'
-- Quire, as it sends them.
prepare quire_first(text, bigint) as
select * from ((select :row, create_time as keyset_key_1, id as keyset_key_2 from prompts where workspace_id = $1
order by keyset_key_1 desc, keyset_key_2 desc limit 201)) as page order by keyset_key_1 desc, keyset_key_2 desc limit $2;
prepare quire_after(text, timestamptz, uuid, bigint) as
select * from ((select :row, create_time as keyset_key_1, id as keyset_key_2 from prompts where workspace_id = $1 and
(create_time, id) < ($2::timestamp with time zone, $3::uuid) order by keyset_key_1 desc, keyset_key_2 desc limit 201)) as page
order by keyset_key_1 desc, keyset_key_2 desc limit $4;
prepare quire_before(text, timestamptz, uuid, bigint) as
select * from ((select :row, create_time as keyset_key_1, id as keyset_key_2 from prompts where workspace_id = $1 and
(create_time, id) > ($2::timestamp with time zone, $3::uuid) order by keyset_key_1, keyset_key_2 limit 201)) as page
order by keyset_key_1, keyset_key_2 limit $4;
prepare quire_skip(text, bigint, bigint, bigint) as
select * from (select * from ((select :row, create_time as keyset_key_1, id as keyset_key_2 from prompts where workspace_id = $1
order by keyset_key_1 desc, keyset_key_2 desc limit 10201)) as page order by keyset_key_1 desc, keyset_key_2 desc limit $3)
as page order by keyset_key_1 desc, keyset_key_2 desc limit $2 offset $4;

-- Order "print_time desc nulls last, id". Of es-entity, the nearest that it has: by id descending.
prepare book_offset(int) as select :book from books order by print_time desc nulls last, id limit 50 offset $1;
prepare book_es_entity(bigint, bigint, timestamptz) as
(select :book from books where ((print_time is null or (print_time, id) < ($3, $2))) and ($2 is not null and $3 is not null)
order by print_time desc nulls last, id desc limit $1)
union all (select :book from books where ((print_time is null and id < $2)) and ($2 is not null and $3 is null)
order by print_time desc nulls last, id desc limit $1)
union all (select :book from books where ($2 is null) order by print_time desc nulls last, id desc limit $1)
order by print_time desc nulls last, id desc limit $1;
prepare book_ory(timestamptz, bigint) as
select :book from books where ((print_time is not null and print_time < $1) or (print_time = $1 and id > $2))
order by print_time desc nulls last, id limit 51;
\set book_by_row 'select ' :book ' from books where (print_time, %2$L::bigint) < (%1$L, id) order by print_time desc nulls last, id limit 51'
prepare book_quire(timestamptz, bigint, bigint) as
select * from ((select * from (select :book, print_time as keyset_key_1, id as keyset_key_2 from books where print_time =
$1::timestamp with time zone and id > $2::bigint order by keyset_key_1 desc nulls last, keyset_key_2 limit 201) as leaf limit $3)
union all (select * from (select :book, print_time as keyset_key_1, id as keyset_key_2 from books where print_time <
$1::timestamp with time zone order by keyset_key_1 desc nulls last, keyset_key_2 limit 201) as leaf limit $3)
union all (select * from (select :book, print_time as keyset_key_1, id as keyset_key_2 from books where print_time is null
order by keyset_key_1 desc nulls last, keyset_key_2 limit 201) as leaf limit $3)) as page
order by keyset_key_1 desc nulls last, keyset_key_2 limit $3;
prepare book_quire_null(bigint, bigint) as
select * from ((select :book, print_time as keyset_key_1, id as keyset_key_2 from books where print_time is null and
id > $1::bigint order by keyset_key_1 desc nulls last, keyset_key_2 limit 201)) as page
order by keyset_key_1 desc nulls last, keyset_key_2 limit $2;

-- A filter that no index serves: by_tag is what all others run for their first page.
prepare by_tag(text, text) as select :row from prompts where workspace_id = $1 and tags @> array[$2] :newest limit 51;
prepare quire_tag(text, text, bigint, bigint) as
select * from (select rows.*, row_number() over (order by keyset_key_1 desc, keyset_key_2 desc) as keyset_position from
(select * from ((select :row, create_time as keyset_key_1, id as keyset_key_2, ((tags @> array[$2])) is true as keyset_hit
from prompts where workspace_id = $1 order by keyset_key_1 desc, keyset_key_2 desc limit 2000)) as page
order by keyset_key_1 desc, keyset_key_2 desc limit $3) as rows) as examined where keyset_hit or keyset_position = $3
order by keyset_key_1 desc, keyset_key_2 desc limit $4;

-- Totals.
prepare exact(text) as select count(*) from prompts where workspace_id = $1;
prepare postgrest_exact(text) as
with pgrst_source_count as (select 1 from prompts where workspace_id = $1) select (select count(*) from pgrst_source_count);
prepare seaorm_exact(text) as select count(*) from (select :row from prompts where workspace_id = $1) as sub_query;
prepare postgrest_capped(text) as
with pgrst_source_count as (select 1 from prompts where workspace_id = $1 limit 1001) select (select count(*) from pgrst_source_count);
prepare quire_capped(text) as
select count(*) filter (where keyset_hit), count(*) from (select true as keyset_hit from (select * from ((select :row,
create_time as keyset_key_1, id as keyset_key_2 from prompts where workspace_id = $1 order by keyset_key_1 desc, keyset_key_2 desc
limit 10001)) as page order by keyset_key_1 desc, keyset_key_2 desc limit 10001) as rows) as examined;

-- Only Quire's connections are set up for pages. Just-in-time compilation is off for all: it would only add noise.
create procedure settings(quire bool) language sql as $$
    select set_config(name, case when quire then value else boot_val end, false)
    from (values ('plan_cache_mode', 'force_generic_plan'), ('enable_sort', 'off'), ('enable_incremental_sort', 'off'))
        as setting (name, value) join pg_settings using (name)
$$;
set jit = off;

call measure('OFFSET', '0', $$execute by_offset('default', 0)$$);
call measure('PostgREST', '0', $$execute postgrest('default', 0)$$);
call measure('es-entity', '0', $$execute es_entity('default', 51, null, null)$$);
call measure('OR', '0', $$execute by_or('default', 'infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff')$$);
select format('call measure(%L, %L, %L)', what, depth, statement) from anchor cross join lateral (values
    ('OFFSET', format('execute by_offset(''default'', %s)', depth)),
    ('PostgREST', format('execute postgrest(''default'', %s)', depth)),
    ('es-entity', format('execute es_entity(''default'', 51, %L, %L)', i, t)),
    ('OR', format('execute by_or(''default'', %L, %L)', t, i)),
    ('row value', format(:'by_row', t, i))) as made (what, statement) order by depth \gexec
select format('call measure(%L, %L, %L)', what, depth, statement) from book_anchor cross join lateral (values
    ('books: OFFSET', format('execute book_offset(%s)', depth), true),
    ('books: es-entity', format('execute book_es_entity(51, %L, %L)', i, t), true),
    ('books: Ory v2', format('execute book_ory(%L, %L)', t, i), t is not null),
    ('books: row value', format(:'book_by_row', t, i), t is not null)) as made (what, statement, gets_here)
    where gets_here order by depth \gexec
call measure('absent tag: all others', '0', $$execute by_tag('default', 'none')$$);
call measure('tag of a third: all others', '0', $$execute by_tag('default', 'tier-1')$$);
call measure('total: count(*)', '', $$execute exact('default')$$);
call measure('total: PostgREST exact', '', $$execute postgrest_exact('default')$$);
call measure('total: SeaORM', '', $$execute seaorm_exact('default')$$);
call measure('total: PostgREST estimated, to 1,000', '', $$execute postgrest_capped('default')$$);

call settings(true);
call measure('Quire', '0', $$execute quire_first('default', 51)$$);
call measure('Quire, skip', '10000', $$execute quire_skip('default', 51, 10051, 10000)$$);
select format('call measure(%L, %L, %L)', what, depth, statement) from anchor cross join lateral (values
    ('Quire', format('execute quire_after(''default'', %L, %L, 51)', t, i)),
    ('Quire, backwards', format('execute quire_before(''default'', %L, %L, 51)', t, i))) as made (what, statement) order by depth \gexec
select format('call measure(%L, %L, %L)', 'books: Quire', depth, case when t is null
    then format('execute book_quire_null(%L, 51)', i) else format('execute book_quire(%L, %L, 51)', t, i) end)
    from book_anchor order by depth \gexec
call measure('absent tag: Quire', '0', $$execute quire_tag('default', 'none', 2000, 51)$$);
call measure('tag of a third: Quire', '0', $$execute quire_tag('default', 'tier-1', 2000, 51)$$);
call measure('total: Quire exact', '', $$execute exact('default')$$);
call measure('total: Quire capped', '', $$execute quire_capped('default')$$);
call measure('total: estimate', '', $$select 1 from prompts where workspace_id = 'default'$$, 'costs');
call measure('total: estimate, absent tag', '', $$select 1 from prompts where workspace_id = 'default' and (tags @> array['none']) is true$$, 'costs');

select what, page, round(milliseconds, 3) as milliseconds, buffers, rows from figure order by place;
