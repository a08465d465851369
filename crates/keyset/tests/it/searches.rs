//! Filters that indexes of their own serve: GIN indexes, and the two sides of an OR.
use keyset::{CatalogueError, Counter, Filter, Listing, Order, asc, conformance::Conformance, desc};
use pagination::proto::{PageRequest, TotalCount};
use sqlx::PgPool;

use crate::support::{Id, database, ids, open, paging, request, run};

const TABLE: &str = "
    create schema shop;
    create table shop.\"Books\" (library int8 not null, id int8 not null, doc jsonb not null, tags text[] not null,
        author text not null, editor text, print_time timestamptz not null, content text not null,
        primary key (library, id));
    create index on shop.\"Books\" (library, print_time, id);
    create index on shop.\"Books\" using gin (doc jsonb_path_ops);
    create index on shop.\"Books\" using gin (tags);
    create index on shop.\"Books\" (library, author);
    create index on shop.\"Books\" (library, editor);
    create index on shop.\"Books\" using gin (to_tsvector('english', content));";

const BOOKS: Listing = Listing {
    name: "books",
    from: "shop.\"Books\"",
    columns: "id",
    scope: &["library"],
    filters: &[
        Filter::search("doc", "doc @> {doc}"),
        Filter::search("tag", "tags @> array[{tag}]"),
        Filter::search("person", "\"Books\".author = {person} or editor = {person}"),
        Filter::search("words", "to_tsvector('english', content) @@ websearch_to_tsquery('english', {words})"),
        Filter::condition("odd", "(id % 2 = 1) = {odd}"),
        Filter::at_least("print_time_from", "print_time"),
    ],
    orders: &[
        Order { name: "print_time desc", keys: &[desc("print_time"), desc("id")], indexed: &[] },
        Order { name: "id", keys: &[asc("id")], indexed: &[] },
    ],
    weight: Some("octet_length(content)"),
    ..Listing::DEFAULT
};

/// One row in ten thousand is rare, and one in three common.
async fn seed(pool: &PgPool, numbers: std::ops::Range<u32>) {
    let (first, last) = (numbers.start, numbers.end - 1);
    run(
        pool,
        &format!(
            "insert into shop.\"Books\" select 1, n,
                jsonb_build_object('kind', case when n % 10000 = 0 then 'rare' when n % 3 = 0 then 'common' else 'other' end),
                array[case when n % 10000 = 0 then 'rare' when n % 3 = 0 then 'common' else 'tag' || n % 500 end],
                case when n % 10000 = 0 then 'rare' else 'author' || n % 500 end,
                case when n % 7 = 0 then 'common' when n % 10000 = 0 then 'rare' end,
                timestamptz '2026-01-01' + case when n % 10000 = 0 then 365 else n % 100 end * interval '1 day',
                case when n % 10000 = 0 then 'rare words' else 'common words' || n % 500 end
            from generate_series({first}, {last}) as n"
        ),
    )
    .await;
}

#[tokio::test]
async fn a_list_with_search_filters_conforms() {
    let pool = database().await;
    run(&pool, TABLE).await;
    let list = open(&pool, BOOKS).await;
    Conformance::of(&list)
        .scope(1_i64)
        .value("doc", r#"{"kind": "rare"}"#)
        .value("doc", r#"{"kind": "common"}"#)
        .value("tag", "rare")
        .value("tag", "common")
        .value("tag", "tag7")
        .value("person", "rare")
        .value("person", "author1")
        .value("words", "rare")
        .value("odd", true)
        .value("odd", false)
        .value("print_time_from", "2026-03-01T00:00:00Z")
        .value("print_time_from", "2026-12-01T00:00:00Z")
        .check(async |numbers| seed(&pool, numbers).await)
        .await;
}

#[tokio::test]
async fn few_rows_are_sorted_and_many_are_tested_in_order() {
    let pool = database().await;
    run(&pool, TABLE).await;
    seed(&pool, 0..9_000).await;
    let list = open(&pool, BOOKS).await;
    let page = async |tag: &str, request: PageRequest| {
        let query = list.page(Some(request), "id").scope(1_i64).filter("tag", Some(tag)).filter::<String>("doc", None);
        let query = query.filter::<String>("person", None).filter::<String>("words", None);
        let query = query.filter::<bool>("odd", None).filter::<String>("print_time_from", None);
        query.fetch_rows::<Id>().await.unwrap()
    };
    // The first page has all rows with the tag: 12 of 9,000.
    let some = page("tag7", request(50, "")).await;
    let expected: Vec<i64> = (0..9_000).filter(|n| n % 500 == 7 && n % 3 > 0).collect();
    assert_eq!((ids(&some), some.response.next_page_token.as_str()), (expected, ""));
    // 2,999 of 9,000 rows have this tag, more than a page sorts.
    let common = page("common", request(50, "")).await;
    assert_eq!(ids(&common), (1..=50).map(|n| n * 3).collect::<Vec<i64>>());
    let next = page("common", request(50, &common.response.next_page_token)).await;
    assert_eq!(ids(&next), (51..=100).map(|n| n * 3).collect::<Vec<i64>>());
    assert!(ids(&page("nothing", request(50, "")).await).is_empty());
    for (tag, capped) in [("tag7", 12), ("common", 2_999), ("rare", 1)] {
        for kind in [TotalCount::Capped, TotalCount::Exact] {
            let page = page(tag, PageRequest { total_count: kind.into(), ..request(1, "") }).await;
            assert_eq!(page.response.total_count, Some(capped), "{tag}");
        }
    }
}

#[tokio::test]
async fn a_search_filter_without_an_index_is_refused() {
    let pool = database().await;
    run(&pool, TABLE).await;
    for (drop, name) in [
        ("drop index shop.\"Books_doc_idx\"", "doc"),
        ("drop index shop.\"Books_library_editor_idx\"", "person"),
        ("drop index shop.\"Books_to_tsvector_idx\"", "words"),
    ] {
        run(&pool, drop).await;
        let refused = paging(&pool).open(crate::support::leak(BOOKS)).await.unwrap_err();
        assert!(matches!(refused, CatalogueError::Declaration { .. }), "{refused}");
        assert!(refused.to_string().contains(&format!("the filter {name}: no index serves")), "{refused}");
        run(&pool, "drop schema shop cascade").await;
        run(&pool, TABLE).await;
    }
    let query = Listing { from: "(select * from shop.\"Books\") as \"Books\"", ..BOOKS };
    let refused = paging(&pool).open(crate::support::leak(query)).await.unwrap_err().to_string();
    assert!(refused.contains("the filter doc: from is a query"), "{refused}");
    let counted = Listing { counters: &[Counter { table: "counts", filters: &["tag"] }], ..BOOKS };
    assert!(paging(&pool).open(crate::support::leak(counted)).await.is_err());
}
