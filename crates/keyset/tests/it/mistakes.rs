//! Mistakes in a declaration that would give wrong rows or fail on every page are refused when the list is opened.
use insta::assert_snapshot;
use keyset::{Counter, Filter, Listing, Order, asc, desc};
use sqlx::PgPool;

use crate::support::{database, leak, open, paging, run};

const BY_ID: &[Order] = &[Order { name: "id", keys: &[asc("id")], indexed: &[] }];
const ROWS: Listing = Listing { name: "rows", from: "rows", columns: "id", orders: BY_ID, ..Listing::DEFAULT };
const QUERY: &str = "(select * from rows) as rows";

async fn pool() -> PgPool {
    let pool = database().await;
    run(
        &pool,
        "create extension citext;
        create type mood as enum ('sad', 'glad');
        create table rows (
            id int8 primary key, n int4 not null, t text collate \"C\" not null, e citext, c char(5) collate \"C\", mood mood, doc json, x xml,
            p point, docs json[], o oid, hash xid, b box, v varchar(9) collate \"C\", nm name
        );
        create table counts (slot int4 not null, row_count int8 not null, primary key (slot))",
    )
    .await;
    pool
}

async fn refusal(pool: &PgPool, listing: Listing) -> String {
    match paging(pool).open(leak(listing)).await {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string().replace("the list rows: ", ""),
    }
}

#[tokio::test]
async fn names_must_be_unambiguous() {
    let pool = pool().await;
    let order = |name| Order { name, keys: BY_ID[0].keys, indexed: &[] };
    let orders =
        async |names: [&'static str; 2]| refusal(&pool, Listing { orders: leak(names.map(order)), ..ROWS }).await;
    assert_eq!(orders(["id", "id desc"]).await, "opened");
    assert_snapshot!(orders(["id", "id"]).await, @r#"two orders are called "id""#);
    assert_snapshot!(orders(["id desc, n", "id  desc ,n"]).await, @r#"two orders are called "id  desc ,n""#);
    assert_snapshot!(orders(["id", ""]).await, @"an order must have a name");
    assert_snapshot!(orders(["id", " n"]).await, @r#"no request can choose the order " n": write its name with one space between words and after commas"#);

    let filters =
        async |filters: Vec<Filter>| refusal(&pool, Listing { filters: leak::<Vec<Filter>>(filters), ..ROWS }).await;
    assert_snapshot!(filters(vec![Filter::equal("", "n")]).await, @"a filter must have a name");
    assert_snapshot!(filters(vec![Filter::equal("n", "n"), Filter::at_least("n", "n")]).await, @"two filters are called n");
    assert_snapshot!(filters(vec![Filter::condition("n", "n > 5"), Filter::search("t", "t = {T}")]).await, @"
    the filter n: the condition n > 5 does not contain the value {n}
    the filter t: the condition t = {T} does not contain the value {t}
    ");

    let parameters = async |from, parameters| refusal(&pool, Listing { from, parameters, ..ROWS }).await;
    const BETWEEN: &str = "(select * from rows where n between {low} and {high}) as rows";
    assert_eq!(parameters(BETWEEN, &["low", "high"]).await, "opened");
    assert_snapshot!(parameters(BETWEEN, &["low", "high", "low"]).await, @"two parameters are called low");
    assert_snapshot!(parameters(BETWEEN, &["low", "high", "middle"]).await, @"from does not contain the parameter {middle}");
    assert_snapshot!(parameters(BETWEEN, &["low"]).await, @r#"from: syntax error at or near "{""#);
    assert_snapshot!(parameters("(select * from rows where {where}) as rows", &["where"]).await, @r#"a parameter must not be called "where""#);
    assert_snapshot!(parameters("rows", &["low"]).await, @"from does not contain the parameter {low}");
    let both =
        Listing { from: BETWEEN, parameters: &["low", "high"], filters: leak([Filter::equal("low", "n")]), ..ROWS };
    assert_snapshot!(refusal(&pool, both).await, @"a filter and a parameter are called low");

    assert_snapshot!(refusal(&pool, Listing { from: QUERY, scope: &["n", "n"], ..ROWS }).await, @"the scope has n twice");
    const COUNTER: Counter = Counter { table: "counts", filters: &[] };
    assert_eq!(refusal(&pool, Listing { counters: &[COUNTER], ..ROWS }).await, "opened");
    assert_snapshot!(refusal(&pool, Listing { counters: &[COUNTER, COUNTER], ..ROWS }).await, @"two counters have the table counts");
}

/// A key that is repeated, as by [`keyset::orders`] for the primary key itself, changes nothing.
#[tokio::test]
async fn a_key_may_be_repeated() {
    let pool = pool().await;
    let list = open(&pool, Listing { orders: keyset::orders!["id"; "id"], ..ROWS }).await;
    run(&pool, "insert into rows (id, n, t) select n, 1, 'x' from generate_series(1, 9) as n").await;
    for (order, expected) in [("id", (1..=9).collect::<Vec<i64>>()), ("id desc", (1..=9).rev().collect())] {
        let mut walked = Vec::new();
        let mut token = String::new();
        while walked.len() < expected.len() {
            let page = list.page(Some(crate::support::request(2, &token)), order);
            let page = page.fetch_rows::<crate::support::Id>().await.unwrap();
            walked.extend(crate::support::ids(&page));
            token = page.response.next_page_token;
        }
        assert_eq!(walked, expected);
    }
}

#[tokio::test]
async fn types_without_an_order_are_refused() {
    let pool = pool().await;
    for from in ["rows", QUERY] {
        for key in ["doc", "x", "p", "docs", "hash", "b", "doc -> 'k'"] {
            for key in [asc(key), desc(key).nulls_last()] {
                let orders = leak([Order { name: "it", keys: leak([key, asc("id")]), indexed: &[] }]);
                let refusal = refusal(&pool, Listing { from, orders, ..ROWS }).await;
                assert!(
                    refusal.contains("has no order") || refusal.contains("which has no order"),
                    "{from} {key:?}: {refusal}"
                );
                assert_eq!(refusal.lines().count(), 1, "{from} {key:?}: {refusal}");
            }
        }
        for filter in [
            Filter::equal("it", "doc"),
            Filter::any_of("it", "x"),
            Filter::equal("it", "b"),
            Filter::at_least("it", "b"),
        ] {
            let refusal = refusal(&pool, Listing { from, filters: leak([filter]), ..ROWS }).await;
            assert!(refusal.contains("which has no"), "{from}: {refusal}");
        }
    }
    const DOC: &[Order] = &[Order { name: "it", keys: &[asc("doc"), asc("id")], indexed: &[] }];
    assert_snapshot!(refusal(&pool, Listing { orders: DOC, filters: leak([Filter::equal("doc", "doc")]), ..ROWS }).await, @r#"the order "it": doc has the type json, which has no order; use an expression of another type"#);
}

#[tokio::test]
async fn a_prefix_filter_needs_a_text_that_compares_by_characters() {
    let pool = pool().await;
    let of = async |column| refusal(&pool, Listing { filters: leak([Filter::prefix("it", column)]), ..ROWS }).await;
    for column in
        ["t", "v", "lower(t)", "e::text collate \"C\"", "mood::text collate \"C\"", "nm", "n::text collate \"POSIX\""]
    {
        assert_eq!(of(column).await, "opened", "{column}");
    }
    assert_snapshot!(of("e").await, @"the filter it: the column of a prefix filter must be text or varchar, because citext does not compare by characters; cast e to text");
    assert_snapshot!(of("c").await, @"the filter it: the column of a prefix filter must be text or varchar, because bpchar does not compare by characters; cast c to text");
    assert_snapshot!(of("mood").await, @"the filter it: the column of a prefix filter must be text or varchar, because mood does not compare by characters; cast mood to text");
    assert_snapshot!(of("n").await, @"the filter it: the column of a prefix filter must be text or varchar, because integer does not compare by characters; cast n to text");
    assert_snapshot!(of("n::text").await, @r#"the filter it: the column of a prefix filter must have the collation "C"; n::text does not"#);
}

#[tokio::test]
async fn a_prefix_filter_needs_a_database_in_utf8() {
    let pool = pool().await;
    let name: String = sqlx::query_scalar("select current_database() || '_latin'").fetch_one(&pool).await.unwrap();
    run(&pool, &format!("create database {name} encoding 'LATIN1' locale 'C' template template0")).await;
    let options = (*pool.connect_options()).clone().database(&name);
    let pool = PgPool::connect_with(options).await.unwrap();
    run(&pool, "create table rows (id int8 primary key, t text not null)").await;
    let filters = leak([Filter::prefix("it", "t collate \"C\"")]);
    assert_snapshot!(refusal(&pool, Listing { filters, ..ROWS }).await, @"the filter it: a prefix filter needs a database in UTF8; this one is in LATIN1");
    assert_eq!(refusal(&pool, ROWS).await, "opened");
}

/// Mistakes that do not depend on each other are told at once.
#[tokio::test]
async fn every_mistake_is_told() {
    let pool = pool().await;
    const FILTERS: &[Filter] = &[
        Filter::equal("isbn", "isbn"),
        Filter::any_of("docs", "array[n]"),
        Filter::condition("t", "t >= {t} and"),
        Filter::condition("u", "t is not distinct from nothing({u})"),
        Filter::condition("v", "array_length({v}, 1) > 0"),
        Filter::condition("w", "{w}"),
        Filter::condition("n", "n + {n}"),
        Filter::prefix("mood", "mood"),
    ];
    const ORDERS: &[Order] = &[
        Order { name: "a", keys: &[asc("publisher"), asc("id")], indexed: &[] },
        Order { name: "b", keys: &[asc("lower(n)"), asc("id")], indexed: &[&["w"]] },
        Order { name: "c", keys: &[asc("n"), asc("id")], indexed: &[] },
    ];
    let listing = Listing { filters: FILTERS, orders: ORDERS, columns: "id, nothing", weight: Some("weight"), ..ROWS };
    assert_snapshot!(refusal(&pool, listing).await, @r#"
    the order "b": w cannot be indexed, because it does not test equality
    columns: column "nothing" does not exist
    the weight weight: column "weight" does not exist
    publisher: column "publisher" does not exist
    lower(n): function lower(integer) does not exist
    isbn: column "isbn" does not exist
    the filter docs: Postgres has no arrays of arrays; use a condition, as in x && {docs}
    the filter t: syntax error at or near ")"
    the filter u: function nothing(unknown) does not exist
    the filter v: could not determine polymorphic type because input has type unknown
    the filter n: argument of WHERE must be type boolean, not type integer
    the filter mood: the column of a prefix filter must be text or varchar, because mood does not compare by characters; cast mood to text
    no index serves the order "c"
        create index concurrently on rows (n, id);
    "#);
    assert_snapshot!(refusal(&pool, Listing { from: QUERY, ..listing }).await, @r#"
    the order "b": w cannot be indexed, because it does not test equality
    columns: column "nothing" does not exist
    the weight weight: column "weight" does not exist
    publisher: column "publisher" does not exist
    lower(n): function lower(integer) does not exist
    isbn: column "isbn" does not exist
    the filter docs: Postgres has no arrays of arrays; use a condition, as in x && {docs}
    the filter t: syntax error at or near ")"
    the filter u: function nothing(unknown) does not exist
    the filter v: could not determine polymorphic type because input has type unknown
    the filter n: argument of WHERE must be type boolean, not type integer
    the filter mood: the column of a prefix filter must be text or varchar, because mood does not compare by characters; cast mood to text
    "#);
    assert_snapshot!(refusal(&pool, Listing { from: "(select * from nothing) as rows", ..listing }).await, @r#"
    the order "b": w cannot be indexed, because it does not test equality
    from: relation "nothing" does not exist
    "#);
    let condition = Some("no such column");
    assert_snapshot!(refusal(&pool, Listing { condition, weight: Some("t"), ..ROWS }).await, @r#"
    the condition no such column: syntax error at or near "such"
    the weight t: function sum(text) does not exist
    "#);
}
