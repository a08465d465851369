create table if not exists books (
    id bigint primary key,
    isbn text not null unique,
    -- By bytes, so that a prefix is a range of the index; and bounded, so that a page token always holds a title.
    title text collate "C" not null check (octet_length(title) <= 512),
    shelf text not null,
    signed boolean not null,
    print_time timestamptz
);

-- However few shelves and times there are so far, each is one of many: without this, Postgres may read an index that has
-- neither.
alter table books alter column shelf set (n_distinct = 1000);
alter table books alter column print_time set (n_distinct = 1000);

-- One index for each order, and one for each order under the filter that most requests have.
create index if not exists books_print_time on books (print_time desc nulls last, id);
create index if not exists books_shelf_print_time on books (shelf, print_time desc nulls last, id);
create index if not exists books_title on books (title, id);
create index if not exists books_shelf_title on books (shelf, title, id);
