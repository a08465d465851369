//! The recipes of `recipes.md` whose statements no other test has.
use keyset::{Filter, List, Listing, Order, asc, conformance::Conformance, desc};
use sqlx::{AssertSqlSafe, PgPool, Row};

use crate::support::{Id, database, ids, open, request, run};

/// The plan of the statement that a page runs, without its values.
async fn plan(pool: &PgPool, statement: &str) -> String {
    let explain = format!("explain {statement}");
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0) + "\n").collect()
}

async fn walk(list: &List, page_size: i32) -> Vec<i64> {
    let (mut token, mut found) = (String::new(), Vec::new());
    loop {
        let page = list.page(Some(request(page_size, &token)), "").fetch_rows::<Id>().await.unwrap();
        found.extend(ids(&page));
        token = page.response.next_page_token;
        if token.is_empty() {
            return found;
        }
    }
}

#[tokio::test]
async fn two_tables_are_one_list_without_being_sorted() {
    const FEED: Listing = Listing {
        name: "feed",
        from: "(select id, create_time from posts union all select id, create_time from notes) as feed",
        columns: "id",
        orders: &[Order { name: "create_time desc", keys: &[desc("create_time"), desc("id")], indexed: &[] }],
        ..Listing::DEFAULT
    };
    let pool = database().await;
    run(
        &pool,
        "create table posts (id int8 primary key, create_time timestamptz not null);
        create table notes (id int8 primary key, create_time timestamptz not null);
        create index on posts (create_time, id); create index on notes (create_time, id);
        insert into posts select n * 2, timestamptz '2026-01-01' + n % 1000 * interval '1 s' from generate_series(1, 10000) as n;
        insert into notes select n * 2 + 1, timestamptz '2026-01-01' + n % 999 * interval '1 s' from generate_series(1, 10000) as n;
        analyze",
    )
    .await;
    let list = open(&pool, FEED).await;
    let all =
        "select id from (select * from posts union all select * from notes) as f order by create_time desc, id desc";
    let expected: Vec<i64> = sqlx::query_scalar(all).fetch_all(&pool).await.unwrap();
    assert_eq!(walk(&list, 200).await, expected);
    let seek = "select * from ((select id, (create_time) as k1, (id) as k2 from
        (select id, create_time from posts union all select id, create_time from notes) as feed
        where ((create_time), (id)) < (timestamptz '2026-01-01 00:10:00+00', 7) order by k1 desc, k2 desc limit 201)) as page
        order by k1 desc, k2 desc limit 51";
    let plan = plan(&pool, seek).await;
    assert!(plan.contains("Merge Append") && !plan.contains("Sort  ("), "{plan}");
}

#[tokio::test]
async fn a_join_is_a_list() {
    const SALES: Listing = Listing {
        name: "sales",
        from: "(select sales.id, sales.sale_time, books.title, books.shelf
            from sales join books on books.id = sales.book_id) as sold",
        columns: "id, title",
        filters: &[Filter::equal("shelf", "shelf"), Filter::at_least("sale_time_from", "sale_time")],
        orders: &[Order { name: "sale_time desc", keys: &[desc("sale_time"), desc("id")], indexed: &[] }],
        ..Listing::DEFAULT
    };
    let pool = database().await;
    run(
        &pool,
        "create table books (id int8 primary key, title text not null, shelf text not null);
        create table sales (id int8 primary key, book_id int8 not null references books, sale_time timestamptz not null);
        create index on sales (sale_time, id);
        insert into books select n, 'title ' || n, case when n = 7 then 'rare' else 'shelf' || n % 5 end from generate_series(1, 5000) as n",
    )
    .await;
    let list = open(&pool, SALES).await;
    Conformance::of(&list)
        .value("shelf", "rare")
        .value("shelf", "shelf1")
        .value("sale_time_from", "2027-01-01T00:00:00Z")
        .check(async |numbers| {
            let (first, last) = (numbers.start, numbers.end - 1);
            let insert = format!(
                "insert into sales select n, case when n % 10000 = 0 then 7 else 8 + n % 4000 end,
                    timestamptz '2026-01-01' + case when n % 10000 = 0 then 365 else n % 100 end * interval '1 day'
                from generate_series({first}, {last}) as n"
            );
            run(&pool, &insert).await;
        })
        .await;
}

#[tokio::test]
async fn a_range_of_a_second_column_has_an_index_of_its_own() {
    const BOOKS: Listing = Listing {
        name: "books",
        from: "books",
        columns: "id",
        filters: &[
            Filter::search("price_from", "price >= {price_from}"),
            Filter::search("price_below", "price < {price_below}"),
        ],
        orders: &[Order { name: "title", keys: &[asc("title"), asc("id")], indexed: &[] }],
        ..Listing::DEFAULT
    };
    let pool = database().await;
    run(
        &pool,
        "create table books (id int8 primary key, title text collate \"C\" not null check (octet_length(title) < 100),
            price numeric(10, 2) not null);
        create index on books (title, id); create index on books (price);
        insert into books select n, 'title ' || n % 777, n % 5000 from generate_series(1, 20000) as n; analyze",
    )
    .await;
    let list = open(&pool, BOOKS).await;
    for (from, below, first) in [(Some("10"), Some("12.5"), 12), (Some("4990"), None, 40), (None, Some("3000"), 200)] {
        let page = list.page(Some(request(200, "")), "").filter("price_from", from).filter("price_below", below);
        let found = ids(&page.fetch_rows::<Id>().await.unwrap());
        let (least, most) = (from.unwrap_or("0"), below.unwrap_or("9999"));
        let expected =
            format!("select id from books where price >= {least} and price < {most} order by title, id limit 200");
        let expected: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(expected)).fetch_all(&pool).await.unwrap();
        assert_eq!((found.len(), &found), (first, &expected), "{from:?} {below:?}");
    }
}
