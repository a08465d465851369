//! What a release may change in a declaration: a page token is refused if the rows, or their order, may differ, and goes
//! on working if not.
use keyset::{Counter, Error, Filter, Key, List, Listing, Order, asc, desc};
use pagination::{
    Cursor, Direction, Fingerprint, InvalidArgument, PageTokenErrorKind, PageTokens, Position, TokenKeys, TokenVersion,
};

use crate::support::{Id, database, ids, leak, open, request, run};

const TABLE: &str = "
    create table books (library int8 not null, id int8 not null, rank int4 not null, other_rank int4 not null, time timestamptz,
        shelf text collate \"C\" not null check (octet_length(shelf) < 100), place text collate \"C\" not null,
        primary key (library, id));
    create table more_books (like books including all);
    create index on books (library, rank, id); create index on books (library, other_rank, id);
    create index on more_books (library, rank, id);
    create index on books (library, rank, id desc); create index on books (library, time, id);
    create index on books (library, time nulls first, id); create index on books (library, shelf, rank, id);
    create index on books (library, shelf, id); create index on books (library, id, rank);
    alter table books alter column shelf set (n_distinct = 1000), alter column rank set (n_distinct = 1000),
        alter column time set (n_distinct = 1000);
    create table counts (library int8 not null, slot int4 not null, row_count int8 not null, primary key (library, slot));
    insert into books select 1, n, n % 3, n % 5, timestamptz '2026-01-01' + n * interval '1 s', 's', 's' from generate_series(1, 9) as n;
    insert into more_books select * from books";

const BY_RANK: Order = Order { name: "it", keys: &[asc("rank"), asc("id")], indexed: &[] };

const BOOKS: Listing = Listing {
    name: "books",
    from: "books",
    columns: "id, rank",
    scope: &["library"],
    filters: &[Filter::equal("filter", "shelf")],
    orders: &[BY_RANK],
    ..Listing::DEFAULT
};

fn ordered(keys: &[Key]) -> Listing {
    Listing { orders: leak([Order { keys: leak(keys.to_vec()), ..BY_RANK }]), ..BOOKS }
}

fn filtered(filters: impl IntoIterator<Item = Filter>) -> Listing {
    Listing { filters: leak(filters.into_iter().collect::<Vec<_>>()), ..BOOKS }
}

/// Whether the token of one declaration opens under another.
async fn opens(pool: &sqlx::PgPool, before: Listing, after: Listing) -> bool {
    let (before, after) = (leak(open(pool, before).await), leak(open(pool, after).await));
    let page = |list: &'static List, token: &str| {
        let query = list.page(Some(request(2, token)), "it").scope(1_i64);
        let names = list.listing().filters.iter().map(|filter| filter.name).enumerate();
        names.fold(query, |query, (place, name)| query.filter(name, (place == 0).then_some("s")))
    };
    let token = page(before, "").fetch_rows::<Id>().await.unwrap().response.next_page_token;
    match page(after, &token).fetch_rows::<Id>().await {
        Ok(_) => true,
        Err(Error::Request(InvalidArgument::PageToken(error))) if error.kind == PageTokenErrorKind::QueryChanged => {
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_token_of_other_rows_or_another_order_is_refused() {
    let pool = database().await;
    run(&pool, TABLE).await;
    for keys in [
        [asc("other_rank"), asc("id")].as_slice(),
        &[desc("rank"), desc("id")],
        &[asc("rank"), desc("id")],
        &[asc("id")],
        &[asc("id"), asc("rank")],
    ] {
        assert!(!opens(&pool, BOOKS, ordered(keys)).await, "{keys:?}");
    }
    let by_time = |key| Listing { from: "(select * from books) as books", ..ordered(&[key, asc("id")]) };
    let last = asc("time").nulls_last();
    for key in [asc("time").nulls_first(), desc("time").nulls_first(), desc("time").nulls_last()] {
        assert!(!opens(&pool, by_time(last), by_time(key)).await, "{key:?}");
    }
    for filter in [
        Filter::equal("filter", "place"),
        Filter::prefix("filter", "shelf"),
        Filter::at_least("filter", "shelf"),
        Filter::less_than("filter", "shelf"),
        Filter::condition("filter", "shelf <> {filter}"),
        Filter::equal("renamed", "shelf"),
    ] {
        let what = format!("{filter:?}");
        assert!(!opens(&pool, BOOKS, filtered([filter])).await, "{what}");
    }
    let condition = |condition| filtered([Filter::condition("filter", condition)]);
    assert!(!opens(&pool, condition("shelf >= {filter}"), condition("shelf <= {filter}")).await);
    assert!(!opens(&pool, BOOKS, Listing { from: "more_books", ..BOOKS }).await);
    assert!(!opens(&pool, BOOKS, Listing { name: "other", ..BOOKS }).await);
    assert!(!opens(&pool, BOOKS, Listing { condition: Some("rank <> 7"), ..BOOKS }).await);
    let query = |from| Listing { from, ..BOOKS };
    let (all, some) = ("(select * from books) as books", "(select * from books where id > 3) as books");
    assert!(!opens(&pool, query(all), query(some)).await);
}

#[tokio::test]
async fn columns_indexes_and_what_the_request_does_not_use_may_change() {
    let pool = database().await;
    run(&pool, TABLE).await;
    const UNUSED: Order = Order { name: "unused", keys: &[asc("other_rank"), asc("id")], indexed: &[] };
    let indexed = Order { indexed: &[&["filter"]], ..BY_RANK };
    for after in [
        Listing { columns: "id, shelf, rank + 1 as next", ..BOOKS },
        filtered([Filter::equal("filter", "shelf"), Filter::equal("place", "place"), Filter::at_least("rank", "rank")]),
        Listing { orders: leak([UNUSED, BY_RANK]), ..BOOKS },
        Listing { orders: leak([indexed]), ..BOOKS },
        Listing { counters: &[Counter { table: "counts", filters: &[] }], ..BOOKS },
        Listing { weight: Some("octet_length(shelf)"), ..BOOKS },
        Listing { examined_rows: 10, ..BOOKS },
    ] {
        let what = format!("{after:?}");
        assert!(opens(&pool, BOOKS, after).await, "{what}");
    }
}

#[tokio::test]
async fn a_token_of_the_previous_version_opens() {
    let pool = database().await;
    run(&pool, TABLE).await;
    let list = open(&pool, filtered([Filter::equal("filter", "shelf"), Filter::any_of("ranks", "rank")])).await;
    // The recipe of version 2: names of the order and of the types of the keys, and values as they were given.
    let set = [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 23], [0, 0, 0, 2], [0, 0, 0, 1], [0, 0, 0, 4], [0, 0, 0, 2]];
    let set = [set.concat(), vec![0, 0, 0, 4, 0, 0, 0, 1]].concat();
    let query = Fingerprint::of("books").part("order", b"it").part("key type", b"integer").part("key type", b"bigint");
    let query = query.part("library", &1_i64.to_be_bytes()).part("filter", b"s").part("ranks", &set).finish();
    let keys = vec![Some(1_i32.to_be_bytes().to_vec()), Some(4_i64.to_be_bytes().to_vec())];
    let cursor = Cursor { direction: Direction::Forward, position: Position::After(keys) };
    let keys = "test:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".parse().unwrap();
    let tokens = |version| PageTokens { version, ..PageTokens::new(TokenKeys::clone(&keys)) };
    let page = async |token: &str| {
        let query = list.page(Some(request(9, token)), "").scope(1_i64).filter("filter", Some("s"));
        query.filter("ranks", Some(vec![2_i32, 1])).fetch_rows::<Id>().await
    };
    let token = tokens(TokenVersion::Previous).seal(&cursor, &query).unwrap();
    assert_eq!(ids(&page(&token).await.unwrap()), [7, 2, 5, 8]);
    let token = tokens(TokenVersion::Current).seal(&cursor, &query).unwrap();
    assert!(page(&token).await.is_err());
}
