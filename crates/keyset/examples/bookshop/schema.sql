-- Creates what does not exist.
do $$ begin
    create type binding as enum ('hardcover', 'paperback');
exception when duplicate_object then null;
end $$;

create table if not exists books (
    id bigint primary key,
    isbn text not null unique,
    -- Collation "C", so that a prefix is an index range. Bounded, so that every title fits in a page token.
    title text collate "C" not null check (octet_length(title) <= 512),
    shelf text not null,
    signed boolean not null,
    print_time timestamptz,
    binding binding not null default 'paperback',
    publisher_name text,
    publisher_city text,
    create_time timestamptz not null default now()
);

-- Makes Postgres expect many shelves and times, even while there are few. Otherwise it may choose an index without
-- these columns.
alter table books alter column shelf set (n_distinct = 1000);
alter table books alter column print_time set (n_distinct = 1000);

-- One index for each order, and one for each order under the most common filter.
create index if not exists books_print_time on books (print_time desc nulls last, id);
create index if not exists books_shelf_print_time on books (shelf, print_time desc nulls last, id);
create index if not exists books_title on books (title, id);
create index if not exists books_shelf_title on books (shelf, title, id);
