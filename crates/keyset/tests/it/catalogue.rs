//! A list whose declaration does not match the database is not opened, and the error says how to fix it.
use crate::support::{database, leak, paging, run};
use insta::assert_snapshot;
use keyset::{Counter, Filter, Key, Listing, Order, asc, desc};
use sqlx::PgPool;

const BOOKS: Listing = Listing { name: "books", from: "books", columns: "id", scope: &["shop"], ..Listing::DEFAULT };

async fn pool() -> PgPool {
    let pool = database().await;
    run(
        &pool,
        "create table books (
            shop int4 not null, id int8 not null, title text collate \"C\" not null, subtitle text not null check (octet_length(subtitle) <= 90),
            shelf text not null, price numeric not null, code varchar(800) not null, print_time timestamptz,
            primary key (shop, id)
        );
        create index books_print_time on books (shop, print_time, id);
        create index books_mixed on books (shop, print_time desc, shelf, id desc);
        create unique index books_code on books (shop, code) where shelf = 'new'",
    )
    .await;
    pool
}

/// Opens a list with one order of these keys, and returns the error, or `opened`.
async fn refusal<const N: usize>(pool: &PgPool, keys: [Key; N]) -> String {
    let orders = leak([Order { name: "it", keys: leak(keys), indexed: &[] }]);
    refusal_of(pool, Listing { orders, ..BOOKS }).await
}

async fn refusal_of(pool: &PgPool, listing: Listing) -> String {
    match paging(pool).open(leak(listing)).await {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_list_that_matches_the_table_is_opened() {
    let pool = pool().await;
    assert_eq!(refusal(&pool, [asc("print_time").nulls_last(), asc("id")]).await, "opened");
    assert_eq!(refusal(&pool, [desc("print_time").nulls_first(), desc("id")]).await, "opened");
    assert_eq!(refusal(&pool, [asc("id")]).await, "opened");
}

#[tokio::test]
async fn an_index_must_serve_the_order() {
    let pool = pool().await;
    assert_snapshot!(refusal(&pool, [asc("print_time").nulls_first(), asc("id")]).await, @r#"
    the list books: no index serves the order "it"
        create index concurrently on books (shop, print_time nulls first, id);
    "#);
    assert_snapshot!(refusal(&pool, [asc("print_time").nulls_last(), desc("id")]).await, @r#"
    the list books: no index serves the order "it"
        create index concurrently on books (shop, print_time nulls last, id desc);
    "#);
    assert_snapshot!(refusal(&pool, [asc("subtitle"), asc("id")]).await, @r#"
    the list books: no index serves the order "it"
        create index concurrently on books (shop, subtitle, id);
    "#);
    assert_snapshot!(refusal(&pool, [asc("lower(subtitle)"), asc("id")]).await, @r#"
    the list books: the order "it" declares lower(subtitle) never null, but the table does not; declare nulls_first or nulls_last if it may be null
        alter table books add constraint keyset_not_null_6150f9a358e79132 check ((lower(subtitle)) is not null) not valid;
        alter table books validate constraint keyset_not_null_6150f9a358e79132;
    the list books: the order "it": the length of lower(subtitle) has no bound, so it may not fit in a page token; any bound up to this one will do
        alter table books add constraint keyset_length_cce341e3d809d1d6 check (octet_length(lower(subtitle)) <= 1024) not valid;
        alter table books validate constraint keyset_length_cce341e3d809d1d6;
    the list books: no index serves the order "it"
        create index concurrently on books (shop, (lower(subtitle)), id);
    "#);
}

#[tokio::test]
async fn an_index_must_begin_with_the_filters() {
    let pool = pool().await;
    const FILTERS: &[Filter] = &[Filter::equal("shelf", "shelf"), Filter::prefix("title_prefix", "title")];
    const KEYS: &[Key] = &[desc("print_time").nulls_first(), desc("id")];
    let listing =
        |indexed| Listing { filters: FILTERS, orders: leak([Order { name: "it", keys: KEYS, indexed }]), ..BOOKS };
    assert_snapshot!(refusal_of(&pool, listing(&[&["shelf"]])).await, @r#"
    the list books: no index serves the order "it" with shelf
        create index concurrently on books (shop, shelf, print_time desc nulls first, id desc);
    the list books: Postgres may not use the index of the filter shelf while shelf has few distinct values
        alter table books alter column shelf set (n_distinct = 1000);
        analyze books;
    "#);
    run(&pool, "create index on books (shop, shelf, print_time, id)").await;
    assert_snapshot!(refusal_of(&pool, listing(&[&["shelf"]])).await, @"
    the list books: Postgres may not use the index of the filter shelf while shelf has few distinct values
        alter table books alter column shelf set (n_distinct = 1000);
        analyze books;
    ");
    run(&pool, "alter table books alter column shelf set (n_distinct = 1000)").await;
    assert_eq!(refusal_of(&pool, listing(&[&["shelf"]])).await, "opened");
    assert_snapshot!(refusal_of(&pool, listing(&[&["title_prefix"]])).await, @r#"the list books: the order "it": title_prefix cannot be indexed, because it does not test equality"#);
    assert_snapshot!(refusal_of(&pool, listing(&[&["shelves"]])).await, @r#"the list books: the order "it": there is no filter shelves"#);
}

#[tokio::test]
async fn keys_must_be_unique_not_null_and_bounded() {
    let pool = pool().await;
    assert_snapshot!(refusal(&pool, [asc("print_time"), asc("id")]).await, @r#"
    the list books: the order "it" declares print_time never null, but the table does not; declare nulls_first or nulls_last if it may be null
        alter table books alter column print_time set not null;
    "#);
    assert_snapshot!(refusal(&pool, [asc("print_time").nulls_last()]).await, @r#"the list books: the order "it" is not unique: no unique index has only NOT NULL columns from (shop, print_time); end the order with the primary key"#);
    assert_snapshot!(refusal(&pool, [asc("code")]).await, @r#"
    the list books: the order "it": its keys can take 3208 bytes, but a page token holds 2816
    the list books: the order "it" is not unique: no unique index has only NOT NULL columns from (shop, code); end the order with the primary key
    the list books: no index serves the order "it"
        create index concurrently on books (shop, code);
    "#);
    assert_snapshot!(refusal(&pool, [asc("title"), asc("id")]).await, @r#"
    the list books: the order "it": the length of title has no bound, so it may not fit in a page token; any bound up to this one will do
        alter table books add constraint keyset_length_224e5e545200ed8e check (octet_length(title) <= 1024) not valid;
        alter table books validate constraint keyset_length_224e5e545200ed8e;
    the list books: no index serves the order "it"
        create index concurrently on books (shop, title, id);
    "#);
    assert_snapshot!(refusal(&pool, [asc("price"), asc("id")]).await, @r#"
    the list books: the order "it": the length of price has no bound, so it may not fit in a page token; any bound up to this one will do
        alter table books add constraint keyset_length_aadd18ac62265b17 check (octet_length((price)::text) <= 128) not valid;
        alter table books validate constraint keyset_length_aadd18ac62265b17;
    the list books: no index serves the order "it"
        create index concurrently on books (shop, price, id);
    "#);
    run(&pool, "alter table books add check (octet_length(price::text) <= 40), add check (char_length(title) < 10)")
        .await;
    run(&pool, "create index on books (shop, price, id); create index on books (shop, title, id)").await;
    assert_eq!(refusal(&pool, [asc("price"), asc("id")]).await, "opened");
    assert_eq!(refusal(&pool, [asc("title"), asc("id")]).await, "opened");
}

#[tokio::test]
async fn inconsistent_declarations_are_refused() {
    let pool = pool().await;
    const ORDERS: &[Order] = &[Order { name: "it", keys: &[asc("id")], indexed: &[] }];
    const FILTERS: &[Filter] = &[Filter::equal("shelf", "shelf"), Filter::condition("shelf", "true")];
    assert_snapshot!(refusal_of(&pool, BOOKS).await, @"the list books: it must have at least one order");
    assert_snapshot!(refusal(&pool, []).await, @r#"the list books: the order "it" must have one to four keys"#);
    assert_snapshot!(refusal(&pool, [asc("isbn")]).await, @r#"the list books: isbn: column "isbn" does not exist"#);
    assert_snapshot!(refusal_of(&pool, Listing { from: "magazines", orders: ORDERS, ..BOOKS }).await, @"the list books: the table magazines does not exist");
    assert_snapshot!(refusal_of(&pool, Listing { columns: "", orders: ORDERS, ..BOOKS }).await, @"the list books: name, from and columns must not be empty");
    assert_snapshot!(refusal_of(&pool, Listing { columns: "isbn", orders: ORDERS, ..BOOKS }).await, @r#"the list books: columns: column "isbn" does not exist"#);
    const CONDITION: &[Filter] = &[Filter::condition("tag", "tags @> array[{tag}]")];
    assert_snapshot!(refusal_of(&pool, Listing { filters: CONDITION, orders: ORDERS, ..BOOKS }).await, @r#"the list books: the filter tag: column "tags" does not exist"#);
    assert_snapshot!(refusal_of(&pool, Listing { examined_rows: 0, orders: ORDERS, ..BOOKS }).await, @"the list books: examined_rows must be 1 to 100000");
    const PREFIX: &[Filter] = &[Filter::prefix("shelf_prefix", "shelf")];
    assert_snapshot!(refusal_of(&pool, Listing { filters: PREFIX, orders: ORDERS, ..BOOKS }).await, @r#"the list books: the filter shelf_prefix: the column of a prefix filter must have the collation "C"; shelf does not"#);
    assert_snapshot!(refusal_of(&pool, Listing { from: "books b", orders: ORDERS, ..BOOKS }).await, @"the list books: from must be the name of a table, without an alias, or a query in parentheses");
    run(&pool, "create view old_books as select * from books").await;
    assert_snapshot!(refusal_of(&pool, Listing { from: "old_books", orders: ORDERS, ..BOOKS }).await, @"the list books: old_books is a view: select from it in a query, as in (select * from it) as rows");
    assert_snapshot!(refusal_of(&pool, Listing { filters: FILTERS, orders: ORDERS, ..BOOKS }).await, @"
    the list books: two filters are called shelf
    the list books: the filter shelf: the condition true does not contain the value {shelf}
    ");
}

/// The statements of each error can be pasted into psql, until the list opens.
#[tokio::test]
async fn a_counter_must_have_its_table_and_columns() {
    const SHELVES: Listing = Listing {
        filters: &[Filter::equal("shelf", "shelf"), Filter::any_of("shelves", "shelf")],
        orders: &[Order { name: "it", keys: &[asc("id")], indexed: &[] }],
        counters: &[Counter { table: "counts", filters: &["shelf", "shelves"] }],
        ..BOOKS
    };
    let pool = pool().await;
    let paste = async |refusal: String| {
        for statement in refusal.lines().filter(|line| line.starts_with("    ")) {
            run(&pool, statement).await;
        }
        refusal
    };
    run(&pool, "alter table books alter shelf type text collate \"C\"").await;
    assert_snapshot!(paste(refusal_of(&pool, SHELVES).await).await, @r#"
    the list books: the counter counts does not exist
        create table counts (shop integer not null, shelf text collate "C" not null, slot integer not null, row_count bigint not null, primary key (shop, shelf, slot));
    "#);
    assert_eq!(refusal_of(&pool, SHELVES).await, "opened");

    run(&pool, "alter table counts drop column shelf").await;
    assert_snapshot!(paste(refusal_of(&pool, SHELVES).await).await, @r#"
    the list books: the counter counts must have shelf text collate "C" not null
        alter table counts add column shelf text collate "C" not null;
    the list books: the counter counts has no unique index on its scope, then its filters, then slot, without row_count
        create unique index on counts (shop, shelf, slot);
    "#);
    assert_snapshot!(paste(refusal_of(&pool, SHELVES).await).await, @"opened");
    run(&pool, "alter table counts alter slot type int8, alter row_count drop not null").await;
    assert_snapshot!(paste(refusal_of(&pool, SHELVES).await).await, @"
    the list books: the counter counts must have slot integer not null
        alter table counts alter column slot type integer;
    the list books: the counter counts must have row_count bigint not null
        alter table counts alter column row_count set not null;
    ");
    assert_snapshot!(paste(refusal_of(&pool, SHELVES).await).await, @"opened");
    run(&pool, "alter table counts alter shelf type varchar(9)").await;
    assert_snapshot!(paste(refusal_of(&pool, SHELVES).await).await, @r#"
    the list books: the counter counts must have shelf text collate "C" not null
        alter table counts alter column shelf type text collate "C";
    "#);
    assert_eq!(refusal_of(&pool, SHELVES).await, "opened");
}

#[tokio::test]
async fn a_counter_must_have_an_index_of_its_scope_and_filters() {
    const ORDERS: &[Order] = &[Order { name: "it", keys: &[asc("id")], indexed: &[] }];
    const FILTERS: &[Filter] = &[Filter::equal("shelf", "shelf"), Filter::equal("code", "code")];
    let pool = pool().await;
    let counted_by = async |index: &str| {
        let sql = "drop table if exists counts;
            create table counts (shop int4 not null, shelf text not null, code varchar(800) not null, author text,
                page int4 not null, slot int4 not null, row_count int8 not null);
            create unique index on counts";
        run(&pool, &format!("{sql} {index}")).await;
        let counters = &[Counter { table: "counts", filters: &["shelf", "code"] }];
        refusal_of(&pool, Listing { filters: FILTERS, orders: ORDERS, counters, ..BOOKS }).await
    };
    assert_eq!(counted_by("(shop, code, shelf, slot)").await, "opened");
    for index in [
        "(code, shelf, shop, slot)",
        "(shop, shelf, slot, code)",
        "(shop, page, shelf, code, slot)",
        "(shop, shelf, code)",
        "(shop, shelf, code, slot, row_count)",
        "(shop, shelf, code, author, slot)",
        "(shop, shelf, code, slot) where slot > 0",
        "(shop, lower(shelf), shelf, code, slot)",
        "(shop, shelf collate \"C\", code, slot)",
    ] {
        assert!(counted_by(index).await.contains("has no unique index"), "{index}");
    }
    assert_snapshot!(counted_by("(shop, shelf, slot)").await, @"
    the list books: the counter counts has no unique index on its scope, then its filters, then slot, without row_count
        create unique index on counts (shop, shelf, code, slot);
    ");
    assert_eq!(counted_by("(shop, shelf, code, page, slot)").await, "opened");
}

#[tokio::test]
async fn a_counter_counts_the_rows_of_a_table_by_equal_columns() {
    const COUNTED: Listing = Listing {
        filters: &[
            Filter::equal("shelf", "shelf"),
            Filter::prefix("title_prefix", "title"),
            Filter::equal("first_word", "split_part(title, ' ', 1)"),
        ],
        orders: &[Order { name: "it", keys: &[asc("id")], indexed: &[] }],
        ..BOOKS
    };
    let pool = pool().await;
    let counted_by = async |filters| {
        refusal_of(&pool, Listing { counters: leak([Counter { table: "counts", filters }]), ..COUNTED }).await
    };
    assert_snapshot!(counted_by(&["shelves"]).await, @"the list books: the counter counts: there is no filter shelves");
    assert_snapshot!(counted_by(&["shelf", "title_prefix"]).await, @"the list books: the counter counts: title_prefix cannot be counted, because it does not test equality");
    assert_snapshot!(counted_by(&["first_word"]).await, @"the list books: the counter counts: split_part(title, ' ', 1) is not a column: add a generated column for it");
    let counters = &[Counter { table: "counts", filters: &[] }];
    let query = Listing { from: "(select * from books) as books", counters, ..COUNTED };
    assert_snapshot!(refusal_of(&pool, query).await, @"the list books: the counter counts: from is a query, but a counter counts the rows of a table");
}

/// Opening does not depend on the rows, although Postgres might choose another index if every row has the same value.
#[tokio::test]
async fn a_list_opens_whatever_rows_the_table_has() {
    let pool = pool().await;
    run(
        &pool,
        "insert into books select 1, n, 'title', 'subtitle', 'same', 1, 'code' || n, now() from generate_series(1, 3000) as n;
        create index on books (shop, shelf, print_time, id);
        alter table books alter column shelf set (n_distinct = 1000);
        analyze books",
    )
    .await;
    const FILTERS: &[Filter] = &[Filter::equal("shelf", "shelf")];
    const KEYS: &[Key] = &[desc("print_time").nulls_first(), desc("id")];
    const ORDERS: &[Order] = &[Order { name: "it", keys: KEYS, indexed: &[&["shelf"]] }];
    assert_eq!(refusal_of(&pool, Listing { filters: FILTERS, orders: ORDERS, ..BOOKS }).await, "opened");
}

/// Declarations that look right, but would lose rows or read all of them.
#[tokio::test]
async fn indexes_and_constraints_that_only_look_right_are_refused() {
    let pool = pool().await;
    run(
        &pool,
        "create schema elsewhere;
        create extension citext schema elsewhere;
        create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        create table words (
            shop int4 not null, id int8 not null, word elsewhere.citext not null check (octet_length(word::text) <= 20),
            name text collate folded not null check (octet_length(name) <= 20), data jsonb not null,
            primary key (shop, id)
        );
        create index on words (shop, word, id);
        create unique index on words (shop, name collate \"C\");
        create index on words (shop, name);
        create index on words (shop, coalesce(data ->> 'Key', ''), id);
        alter table words add check (octet_length(coalesce(data ->> 'key', '')) <= 40),
            add check (octet_length(coalesce(data ->> 'Key', '')) <= 40),
            add check (coalesce(data ->> 'key', '') is not null), add check (coalesce(data ->> 'Key', '') is not null);
        create table parted (shop int4 not null, id int8 not null, title text, primary key (shop, id)) partition by list (shop);
        create table parent (shop int4 not null, id int8 primary key);
        create table child () inherits (parent)",
    )
    .await;
    const BY_ID: &[Order] = &[Order { name: "it", keys: &[asc("id")], indexed: &[] }];
    let words = async |keys| {
        let orders = leak([Order { name: "it", keys: leak::<Vec<Key>>(keys), indexed: &[] }]);
        refusal_of(&pool, Listing { from: "words", orders, ..BOOKS }).await
    };
    assert_snapshot!(words(vec![asc("word"), asc("id")]).await, @r#"the list books: Postgres cannot seek by the index of order "it": are the operators of the type of word on the search_path?"#);
    assert_snapshot!(words(vec![asc("name")]).await, @r#"the list books: the order "it" is not unique: no unique index has only NOT NULL columns from (shop, name); end the order with the primary key"#);
    assert_snapshot!(words(vec![asc("coalesce(data ->> 'key', '')"), asc("id")]).await, @r#"
    the list books: no index serves the order "it"
        create index concurrently on words (shop, (coalesce(data ->> 'key', '')), id);
    "#);
    assert_eq!(words(vec![asc("coalesce(data ->> 'Key', '')"), asc("id")]).await, "opened");
    assert_snapshot!(refusal_of(&pool, Listing { from: "parted", orders: BY_ID, ..BOOKS }).await, @"the list books: parted is partitioned and has no partitions yet");
    assert_snapshot!(refusal_of(&pool, Listing { from: "parent", orders: BY_ID, ..BOOKS }).await, @"the list books: parent is a parent of other tables: its constraints need not hold for their rows");
    run(
        &pool,
        "create table part_1 partition of parted for values in (1); create table part_2 partition of parted default",
    )
    .await;
    assert_eq!(refusal_of(&pool, Listing { from: "parted", orders: BY_ID, ..BOOKS }).await, "opened");
    assert_snapshot!(refusal_of(&pool, Listing { from: "parted", columns: "*", orders: BY_ID, ..BOOKS }).await, @"the list books: columns must name each column; * would change with the table");
}
