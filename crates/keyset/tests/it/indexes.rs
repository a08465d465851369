//! Which indexes serve a list.
use insta::assert_snapshot;
use keyset::{Key, Listing, Order, asc, desc};
use sqlx::PgPool;

use crate::support::{Id, database, ids, leak, open, paging, request, run};

const KEYS: &[Key] = &[asc("title"), asc("id")];
const BOOKS: Listing = Listing {
    name: "books",
    from: "books",
    columns: "id, title",
    scope: &["shop"],
    orders: &[Order { name: "title", keys: KEYS, indexed: &[] }],
    ..Listing::DEFAULT
};

const BY_TITLE: &[Order] = &[Order { name: "title", keys: &[asc("title")], indexed: &[] }];
const REVERSED: &[Order] = &[Order { name: "title desc", keys: &[desc("title"), desc("id")], indexed: &[] }];

async fn pool() -> PgPool {
    let pool = database().await;
    run(
        &pool,
        "create table books (
            shop int4 not null, id int8 not null, title varchar(50) not null, n int4, archived bool not null default false,
            delete_time timestamptz, primary key (shop, id)
        )",
    )
    .await;
    pool
}

async fn refusal(pool: &PgPool, listing: Listing) -> String {
    match paging(pool).open(leak(listing)).await {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn an_invalid_index_is_rebuilt() {
    let pool = pool().await;
    run(&pool, "create index books_title on books (shop, title, id)").await;
    assert_eq!(refusal(&pool, BOOKS).await, "opened");
    run(&pool, "update pg_index set indisvalid = false where indexrelid = 'books_title'::regclass").await;
    assert_snapshot!(refusal(&pool, BOOKS).await, @r#"
    the list books: the index books_title is INVALID, and no other serves the order "title"
        reindex index concurrently books_title;
    "#);
    run(&pool, "reindex index concurrently books_title").await;
    assert_eq!(refusal(&pool, BOOKS).await, "opened");
    run(&pool, "update pg_index set indisvalid = false where indexrelid = 'books_title'::regclass").await;
    run(&pool, "create index on books (shop, title, id)").await;
    assert_eq!(refusal(&pool, BOOKS).await, "opened");
    run(&pool, "drop index books_title, books_shop_title_id_idx").await;
    assert_snapshot!(refusal(&pool, BOOKS).await, @r#"
    the list books: no index serves the order "title"
        create index concurrently on books (shop, title, id);
    "#);
}

#[tokio::test]
async fn an_invalid_unique_index_proves_nothing() {
    let pool = pool().await;
    run(&pool, "insert into books (shop, id, title) values (1, 1, 'x'), (1, 2, 'x')").await;
    let failed =
        sqlx::raw_sql("create unique index concurrently \"books of title\" on books (shop, title)").execute(&pool);
    assert!(failed.await.is_err());
    let by_title = Listing { orders: BY_TITLE, ..BOOKS };
    assert_snapshot!(refusal(&pool, by_title).await, @r#"
    the list books: the index "books of title" is INVALID, so the order "title" may not be unique
        reindex index concurrently "books of title";
    "#);
    run(&pool, "delete from books where id = 2").await;
    run(&pool, "reindex index concurrently \"books of title\"").await;
    assert_eq!(refusal(&pool, by_title).await, "opened");
}

/// A condition of the list, the predicate of an index, and whether the index has every row of the list.
const PARTIAL: &[(Option<&str>, &str, bool)] = &[
    (None, "not archived", false),
    (Some("not archived"), "not archived", true),
    (Some("archived = false"), "not archived", true),
    (Some("archived is false"), "not archived", false),
    (Some("not archived"), "archived", false),
    (Some("archived"), "not archived", false),
    (Some("not archived and delete_time is null"), "not archived", true),
    (Some("not archived and delete_time is null"), "delete_time is null and not archived", true),
    (Some("not archived"), "not archived and delete_time is null", false),
    (Some("not archived"), "not archived or delete_time is null", true),
    (Some("not archived or delete_time is null"), "not archived", false),
    (Some("delete_time is null"), "delete_time is null", true),
    (Some("delete_time is not null"), "delete_time is null", false),
    (Some("n > 10"), "n > 5", true),
    (Some("n > 5"), "n > 10", false),
    (Some("n = 5"), "n in (5, 6)", true),
    (Some("n = 5"), "n is not null", true),
    (Some("n is null"), "n > 5", false),
    (Some("n is null or n > 5"), "n > 5", false),
    (Some("coalesce(n, 0) = 0"), "n is null", false),
    (Some("title like 'x%'"), "title like 'x%'", true),
    (Some("delete_time > now()"), "delete_time is not null", false),
    (Some("true"), "true", true),
];

#[tokio::test]
async fn a_partial_index_serves_a_list_whose_condition_implies_its_predicate() {
    let pool = pool().await;
    for (condition, predicate, serves) in PARTIAL {
        run(&pool, &format!("create index partial on books (shop, title, id) where {predicate}")).await;
        let listing = Listing { condition: *condition, ..BOOKS };
        let refusal = refusal(&pool, listing).await;
        assert_eq!(refusal == "opened", *serves, "{condition:?} {predicate}: {refusal}");
        run(&pool, "drop index partial; create unique index partial on books (shop, title)").await;
        run(
            &pool,
            &format!("create unique index by_title on books (shop, title) where {predicate}; drop index partial"),
        )
        .await;
        let by_title = Listing { orders: BY_TITLE, ..listing };
        let refusal = self::refusal(&pool, by_title).await;
        assert_eq!(refusal == "opened", *serves, "unique {condition:?} {predicate}: {refusal}");
        run(&pool, "drop index by_title").await;
    }
}

/// A list whose condition is the predicate of its index, and rows that do not meet it.
#[tokio::test]
async fn a_list_with_a_condition_reads_only_its_rows() {
    let pool = pool().await;
    run(&pool, "create index on books (shop, title, id) where not archived").await;
    run(&pool, "insert into books select 1, n, 'x' || n % 3, n, n % 2 = 0 from generate_series(1, 20) as n").await;
    let list = open(&pool, Listing { condition: Some("not archived"), ..BOOKS }).await;
    let page = list.page(Some(request(50, "")), "").scope(1_i64).fetch_rows::<Id>().await.unwrap();
    assert_eq!(ids(&page), [3, 9, 15, 1, 7, 13, 19, 5, 11, 17]);
}

#[tokio::test]
async fn an_index_must_compare_as_the_list_does() {
    let pool = pool().await;
    let reversed = Listing { orders: REVERSED, ..BOOKS };
    for (index, serves) in [
        ("(shop, title, id)", true),
        ("(shop desc, title, id)", true),
        ("(shop, title desc, id desc)", true),
        ("(shop, title, id, n)", true),
        ("(shop, title, id) include (n)", true),
        ("(shop, title) include (id)", false),
        ("(shop, title varchar_pattern_ops, id)", false),
        ("(shop, title text_pattern_ops, id)", false),
        ("(shop, title collate \"C\", id)", false),
        ("(shop, lower(title), id)", false),
        ("(shop, title, id desc)", false),
        ("(title, shop, id)", false),
        ("(title, id)", false),
    ] {
        run(&pool, &format!("create index it on books {index}")).await;
        for listing in [BOOKS, reversed] {
            let refusal = refusal(&pool, listing).await;
            assert_eq!(refusal == "opened", serves, "{index}: {refusal}");
        }
        run(&pool, "drop index it").await;
    }
    for method in ["hash (title)", "brin (shop, title, id)"] {
        run(&pool, &format!("create index on books using {method}")).await;
    }
    assert!(refusal(&pool, BOOKS).await.contains("no index serves the order \"title\""));
}

/// The pages of an open list go on without an index, and through a change of the table.
#[tokio::test]
async fn an_open_list_is_read_without_its_index() {
    let pool = pool().await;
    run(&pool, "create index books_title on books (shop, title, id)").await;
    run(&pool, "insert into books (shop, id, title) values (1, 1, 'x'), (1, 2, 'y')").await;
    let list = open(&pool, BOOKS).await;
    list.check().await.unwrap();
    let page = async || ids(&list.page(Some(request(5, "")), "").scope(1_i64).fetch_rows::<Id>().await.unwrap());
    assert_eq!(page().await, [1, 2]);
    run(&pool, "drop index books_title").await;
    assert_eq!(list.check().await.unwrap_err().problems().len(), 1);
    assert_eq!(page().await, [1, 2]);
    run(&pool, "alter table books alter title type text; alter table books add check (octet_length(title) < 90)").await;
    assert_eq!(page().await, [1, 2]);
    run(&pool, "create index books_title on books (shop, title, id)").await;
    list.check().await.unwrap();
}
