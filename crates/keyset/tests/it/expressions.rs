//! Expressions of every precedence, wherever a listing has one: the rows are those of a query that computes each
//! expression as a column first.
use keyset::{Filter, Key, Listing, Order, asc, conformance::Conformance, desc};
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::{Id, database, ids, leak, open, request, run};

/// Expressions, and two of their values.
const BOOLEANS: &[&str] = &[
    "a or b",
    "a and b",
    "not a",
    "not a or b",
    "n = 5",
    "n <> 5",
    "n between 3 and 7",
    "n in (1, 2, 5)",
    "a is true",
    "a is distinct from b",
    "n is null",
    "t like 'x%'",
    "t ~ 'x'",
    "exists (select 1 where n > 3)",
    "(n > 3) = b",
    "case when a then b else n > 4 end",
];

const VALUES: &[&str] = &[
    "n + 1",
    "- n",
    "n % 3",
    "n * 2 - 1",
    "coalesce(m, n)",
    "case when a then n else - n end",
    "n::int8",
    "array_length(l, 1)",
    "l[1]",
    "(d ->> 'k')::int4",
    "n & 3",
    "n # 3",
    "extract(year from c at time zone 'UTC')::int4",
    "(select n * 2)",
];

const TEXTS: &[&str] =
    &["t || 'x'", "lower(t)", "t collate \"C\"", "d ->> 'w'", "t::varchar(3)", "'x' || t || n::text"];

async fn pool() -> PgPool {
    let pool = database().await;
    run(
        &pool,
        "create table rows (id int8 primary key, a bool not null, b bool not null, n int4 not null, m int4, t text not null,
            l int4[] not null, d jsonb not null, c timestamptz not null);
        insert into rows select n, n % 2 = 0, n % 3 = 0, n % 11, case when n % 4 > 0 then n % 7 end, 'x' || n % 5,
            array[n % 3], jsonb_build_object('k', n % 4, 'w', 'w' || n % 3), timestamptz '2020-01-01' + n * interval '200 days'
        from generate_series(1, 40) as n",
    )
    .await;
    pool
}

async fn expected(pool: &PgPool, expression: &str, condition: &str, sort: &str) -> Vec<i64> {
    let sql = format!(
        "select id from (select id, {expression} as it from rows offset 0) as computed where {condition} order by {sort}"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap()
}

/// Walks forward and back in this order.
async fn check_order(pool: &PgPool, key: Key, sort: &str) {
    let orders = leak([Order { name: "it", keys: leak([key, asc("id")]), indexed: &[] }]);
    let from = "(select * from rows) as rows";
    let list = open(pool, Listing { name: "rows", from, columns: "id", orders, ..Listing::DEFAULT }).await;
    let expected = expected(pool, key.expression, "true", &format!("{sort}, id")).await;
    let (mut forward, mut token, mut back) = (Vec::new(), String::new(), String::new());
    while forward.len() <= expected.len() {
        let page = list.page(Some(request(7, &token)), "").fetch_rows::<Id>().await.unwrap();
        forward.extend(ids(&page));
        back = page.response.previous_page_token;
        token = page.response.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(forward, expected, "{} {sort}", key.expression);
    let mut backward = forward.split_off(35);
    while !back.is_empty() {
        let page = list.page(Some(request(7, &back)), "").fetch_rows::<Id>().await.unwrap();
        backward.splice(0..0, ids(&page));
        back = page.response.previous_page_token;
    }
    assert_eq!(backward, expected, "{} {sort}, backward", key.expression);
}

#[tokio::test]
async fn any_expression_can_be_a_key() {
    let pool = pool().await;
    for expression in BOOLEANS.iter().chain(VALUES).chain(TEXTS) {
        check_order(&pool, asc(expression).nulls_last(), "it nulls last").await;
        check_order(&pool, desc(expression).nulls_first(), "it desc nulls first").await;
        if !expected(&pool, expression, "it is null", "id").await.is_empty() {
            continue;
        }
        check_order(&pool, asc(expression), "it").await;
        check_order(&pool, desc(expression), "it desc").await;
    }
}

#[tokio::test]
async fn any_expression_can_be_a_filter_and_a_scope() {
    let pool = pool().await;
    for (place, expression) in BOOLEANS.iter().chain(VALUES).chain(TEXTS).enumerate() {
        let (is_boolean, is_text) = (place < BOOLEANS.len(), place >= BOOLEANS.len() + VALUES.len());
        let literals: &[&str] = match (is_boolean, is_text) {
            (true, _) => &["true", "false"],
            (_, true) => &["x1", "x1x", "w1", "xx11"],
            _ => &["1", "2", "-1", "2020"],
        };
        let condition: &'static str = leak(format!("{expression} or id = {{negated}}"));
        let filters = leak([
            Filter::equal("equal", expression),
            Filter::any_of("any", expression),
            Filter::at_least("least", expression),
            Filter::less_than("less", expression),
            Filter::condition("negated", if is_boolean { condition } else { "n = 3 or id = {negated}" }),
        ]);
        const ORDERS: &[Order] = &[Order { name: "id", keys: &[asc("id")], indexed: &[] }];
        let listing =
            Listing { name: "rows", from: "rows", columns: "id", filters, orders: ORDERS, ..Listing::DEFAULT };
        let list = open(&pool, listing).await;
        let in_scope =
            Listing { scope: leak([*expression]), from: "(select * from rows) as rows", filters: &[], ..listing };
        let scoped = open(&pool, in_scope).await;
        for literal in literals {
            let given = |name: &'static str| {
                let query = list.page(Some(request(200, "")), "");
                ["equal", "any", "least", "less", "negated"].into_iter().fold(query, |query, other| match other {
                    "any" => query.filter("any", (name == "any").then(|| vec![*literal])),
                    "negated" => query.filter("negated", (name == "negated").then_some(3_i64)),
                    other => query.filter(other, (name == other).then_some(*literal)),
                })
            };
            let value = format!("'{literal}'");
            let negated = if is_boolean { "it or id = 3" } else { "id in (select id from rows where n = 3) or id = 3" };
            for (name, condition) in [
                ("equal", format!("it = {value}")),
                ("any", format!("it = {value}")),
                ("least", format!("it >= {value}")),
                ("less", format!("it < {value}")),
                ("negated", negated.to_owned()),
            ] {
                let found = ids(&given(name).fetch_rows::<Id>().await.unwrap());
                assert_eq!(found, expected(&pool, expression, &condition, "id").await, "{expression} {name} {literal}");
            }
            let page = scoped.page(Some(request(200, "")), "").scope(*literal).fetch_rows::<Id>().await.unwrap();
            let condition = format!("it = {value}");
            assert_eq!(ids(&page), expected(&pool, expression, &condition, "id").await, "{expression} in scope");
        }
    }
}

#[tokio::test]
async fn the_kit_computes_expressions_by_themselves() {
    const LISTED: Listing = Listing {
        name: "listed",
        from: "listed",
        columns: "id",
        filters: &[
            Filter::equal("either", "a or b"),
            Filter::any_of("part", "n % 10000 + 1"),
            Filter::condition("not_both", "not a or id = {not_both}"),
            Filter::at_least("double_from", "n * 2 + 0"),
        ],
        orders: &[Order { name: "id", keys: &[asc("id")], indexed: &[] }],
        ..Listing::DEFAULT
    };
    let pool = database().await;
    run(&pool, "create table listed (id int8 primary key, a bool not null, b bool not null, n int4 not null)").await;
    let list = open(&pool, LISTED).await;
    Conformance::of(&list)
        .value("either", true)
        .value("either", false)
        .value("part", vec![1])
        .value("part", vec![3, 2])
        .value("not_both", 20_000_i64)
        .value("double_from", 40_116.0)
        .value("double_from", 50_i16)
        .check(async |numbers| {
            let (first, last) = (numbers.start + 1, numbers.end);
            let insert = format!(
                "insert into listed select n, n % 10000 > 0, n % 3 = 0, n - 1 from generate_series({first}, {last}) as n"
            );
            run(&pool, &insert).await;
        })
        .await;
}
