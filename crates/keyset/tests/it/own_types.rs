//! Types that the database defines, which sqlx looks up when it first sees them: as columns, keys, filters and scope.
use keyset::{Filter, Listing, Order, asc};
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::support::{Id, database_with_types, ids, leak, open, paging, request, run};

/// The name of each type, and one of its values.
const TYPES: &[(&str, &str)] = &[
    ("mood", "glad"),
    ("\"Odd Schema\".\"Mood\"", "glad"),
    ("citext", "X"),
    ("positive", "5"),
    ("code", "abc"),
    ("mood_domain", "sad"),
    ("code_of_code", "ab"),
    ("point_of", "(1,x)"),
    ("nested", "(glad,\"(1,x)\",{sad})"),
    ("numbers", "[1,5)"),
    ("moods", "[sad,glad)"),
    ("mood[]", "{sad,glad}"),
    ("citext[]", "{a,b}"),
    ("positive[]", "{1,2}"),
    ("mood_domain[]", "{sad}"),
    ("point_of[]", "{\"(1,x)\"}"),
    ("moods[]", "{\"[sad,glad)\"}"),
    ("list_of_moods", "{glad}"),
    ("point_domain", "(2,y)"),
    ("hstore_like", "{}"),
    ("other", "(1,x)"),
];

async fn pool() -> PgPool {
    let pool = database_with_types().await;
    run(
        &pool,
        "create type nested as (mood mood, point point_of, moods mood[]);
        create type numbers as range (subtype = int8, multirange_type_name = numbers_multi);
        create type moods as range (subtype = mood);
        create domain code_of_code as code check (length(value) < 9);
        create domain mood_domain as mood;
        create domain list_of_moods as mood[];
        create domain point_domain as point_of;
        create domain hstore_like as jsonb;
        create table other (x int4, y text)",
    )
    .await;
    pool
}

#[tokio::test]
async fn a_list_opens_with_any_type() {
    let pool = pool().await;
    let options = (*pool.connect_options()).clone();
    for (type_name, value) in TYPES {
        run(
            &pool,
            &format!(
                "drop table if exists rows;
                create table rows (id int8 primary key, it {type_name} not null, check (octet_length(it::text) <= 60));
                insert into rows values (1, '{value}'), (2, '{value}')"
            ),
        )
        .await;
        // Postgres has no operators of a domain of an enum.
        let it: &'static str = if *type_name == "mood_domain" { "it::mood" } else { "it" };
        run(&pool, &format!("create index on rows (({it}), id)")).await;
        let key = if it == "it" { asc(it) } else { asc(it).nulls_last() };
        let orders = leak([Order { name: "it", keys: leak([key, asc("id")]), indexed: &[] }]);
        // The connection has seen none of the types.
        let fresh = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await.unwrap();
        let listing = Listing {
            name: "rows",
            from: "rows",
            columns: "id, it",
            filters: leak([
                Filter::equal("equal", it),
                Filter::at_least("least", it),
                Filter::condition("condition", leak(format!("it::text = {{condition}}::{type_name}::text"))),
            ]),
            orders,
            ..Listing::DEFAULT
        };
        let query = leak(format!("(select * from rows where it::text = {{it}}::{type_name}::text) as rows"));
        let parameters = Listing { from: query, parameters: &["it"], filters: &[], ..listing };
        let list = open(&fresh, listing).await;
        for filter in ["equal", "least", "condition"] {
            let query =
                ["equal", "least", "condition"].into_iter().fold(list.page(Some(request(1, "")), ""), |query, name| {
                    query.filter(name, (name == filter).then_some(*value))
                });
            let page = query.fetch_rows::<Id>().await;
            // Arrays take only arrays.
            match page {
                Ok(page) => assert_eq!(ids(&page), [1], "{type_name} {filter}"),
                Err(error) => assert!(error.to_string().contains("no conversion"), "{type_name} {filter}: {error}"),
            }
        }
        let fresh = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await.unwrap();
        open(&fresh, parameters).await;
        if !type_name.ends_with("[]") && *type_name != "list_of_moods" {
            let any_of = Listing { scope: leak([it]), filters: leak([Filter::any_of("any", it)]), ..listing };
            let fresh = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await.unwrap();
            open(&fresh, any_of).await;
        }
    }
}

/// sqlx knows no multiranges.
#[tokio::test]
async fn a_type_that_sqlx_cannot_read_is_refused() {
    let pool = pool().await;
    run(
        &pool,
        "create table rows (id int8 primary key, it numbers_multi not null check (octet_length(it::text) <= 60))",
    )
    .await;
    run(&pool, "create index on rows (it, id)").await;
    let listing = |columns, keys| {
        let orders = leak([Order { name: "it", keys, indexed: &[] }]);
        leak(Listing { name: "rows", from: "rows", columns, orders, ..Listing::DEFAULT })
    };
    for (columns, keys) in [("id, it", leak(vec![asc("id")])), ("id", leak(vec![asc("it"), asc("id")]))] {
        let refused = paging(&pool).open(listing(columns, keys)).await.unwrap_err();
        assert!(refused.to_string().contains("sqlx cannot read one of the types"), "{refused}");
    }
    paging(&pool).open(listing("id, it::text", leak(vec![asc("id")]))).await.unwrap();
}
