//! Whatever a table lacks for a list, the script of the error adds it, and the list opens.
use insta::assert_snapshot;
use keyset::{CatalogueError, Counter, Filter, Key, Listing, Order, Test, asc, desc};
use sqlx::PgPool;

use crate::support::{Id, database, database_with_types, leak, paging, request, run};

/// Tables whose names are awkward in different ways, and all of whose columns may be null.
const TABLES: &[&str] = &["plain", "\"Odd Schema\".\"Order; table\"", "\"order\"", "parted", "public.\"qu\"\"oted\""];

const COLUMNS: &str = "
    \"group\" int8, id int8, a bool, b bool, archived bool, n int4, x int2, t text, v varchar, \"Mixed Case\" text, folded text collate \"C\",
    doc jsonb, l int4[], texts text[], ts timestamptz, mood mood, e citext, d positive, code code, price numeric, f float8,
    point_of point_of, bits bit varying, blob bytea, r int4range, nr numrange, u uuid, addr inet, day date, span interval,
    c char(5), one \"char\", nm name, ip cidr, m money, ltree tsvector, \"user\" text, \"select\" text, \"UPPER\" \"Odd Schema\".\"Mood\"";

/// Keys of every precedence and type.
const KEYS: &[&str] = &[
    "not archived",
    "a or b",
    "a and not b",
    "n = 5",
    "n <> 5",
    "x is null",
    "x is not null",
    "n in (1, 2)",
    "n between 1 and 5",
    "a is distinct from b",
    "a is true",
    "case when a then n else x end",
    "case when a then t end",
    "n",
    "- n",
    "n + x",
    "n % 3",
    "n::int8",
    "n::text",
    "x::numeric",
    "t",
    "t || 'x'",
    "'x' || t",
    "lower(t)",
    "t collate \"C\"",
    "folded",
    "folded collate \"POSIX\"",
    "lower(t) collate \"C\"",
    "t like 'x%'",
    "t ~ 'x'",
    "v",
    "v::varchar(20)",
    "left(t, 20)",
    "\"Mixed Case\"",
    "lower(\"Mixed Case\")",
    "\"user\"",
    "\"select\"",
    "coalesce(\"user\", \"select\")",
    "doc",
    "(doc ->> 'k')",
    "doc ->> 'k'",
    "doc -> 'k' ->> 'l'",
    "(doc ->> 'n')::int4",
    "doc ? 'k'",
    "l",
    "l[1]",
    "l[1:2]",
    "texts",
    "texts[1]",
    "array_length(l, 1)",
    "ts",
    "ts at time zone 'UTC'",
    "(ts at time zone 'UTC')::date",
    "extract(year from ts at time zone 'UTC')",
    "mood",
    "\"UPPER\"",
    "e",
    "e::text",
    "d",
    "d + 1",
    "code",
    "price",
    "- price",
    "round(price, 2)",
    "price::float8",
    "f",
    "point_of",
    "bits",
    "blob",
    "substring(blob from 1 for 2)",
    "r",
    "lower(r)",
    "nr",
    "u",
    "addr",
    "host(addr)",
    "day",
    "day + 1",
    "span",
    "c",
    "one",
    "nm",
    "ip",
    "m",
    "coalesce(n, 0)",
    "greatest(n, x)",
    "nullif(n, x)",
    "row(n, x) < row(x, n)",
    "n & 3",
    "n is not distinct from x",
];

async fn create(pool: &PgPool, table: &str) {
    run(pool, &format!("drop table if exists {table}")).await;
    if table != "parted" {
        return run(pool, &format!("create table {table} ({COLUMNS}, primary key (\"group\", id))")).await;
    }
    run(
        pool,
        &format!(
            "create table parted ({COLUMNS}, primary key (\"group\", id)) partition by hash (\"group\");
            create table part_1 partition of parted for values with (modulus 2, remainder 0);
            create table part_2 partition of parted for values with (modulus 2, remainder 1)"
        ),
    )
    .await;
}

/// Runs the statements of the script, each in a transaction of its own.
async fn run_script(pool: &PgPool, error: &CatalogueError) {
    let script = error.script();
    let statements: String =
        script.lines().filter(|line| !line.starts_with("--")).map(|line| format!("{line}\n")).collect();
    for statement in statements.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        if let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(pool).await {
            panic!("{statement}: {error}\n{script}");
        }
    }
}

/// Opens the list, runs the script, and opens it again.
async fn mend(pool: &PgPool, listing: Listing) {
    let listing = leak(listing);
    let paging = paging(pool);
    let Err(error) = paging.open(listing).await else { return };
    assert!(error.problems().iter().all(|problem| problem.fix.is_some()), "{:?}: {error}", listing.orders);
    run_script(pool, &error).await;
    match paging.open(listing).await {
        Ok(list) => {
            let query = list.page(Some(request(5, "")), "").scope(1_i64);
            let query = listing.filters.iter().fold(query, |query, filter| {
                if matches!(filter.test, Test::AnyOf(_)) {
                    query.filter::<Vec<String>>(filter.name, None)
                } else {
                    query.filter::<String>(filter.name, None)
                }
            });
            let page = query.fetch_rows::<Id>().await.unwrap();
            assert!(page.rows.is_empty());
        }
        Err(again) => panic!("{error}\nand then\n{again}"),
    }
}

fn listing(from: &'static str, keys: Vec<Key>) -> Listing {
    let orders = leak([Order { name: "it", keys: leak::<Vec<Key>>(keys), indexed: &[] }]);
    Listing { name: "rows", from, columns: "id", scope: &["\"group\""], orders, ..Listing::DEFAULT }
}

#[tokio::test]
async fn the_script_makes_any_key_work() {
    let pool = database_with_types().await;
    for key in KEYS {
        create(&pool, "plain").await;
        mend(&pool, listing("plain", vec![desc(key), asc("id")])).await;
    }
}

#[tokio::test]
async fn the_script_makes_keys_that_may_be_null_work() {
    let pool = database_with_types().await;
    for key in KEYS.iter().filter(|key| **key != "point_of") {
        create(&pool, "plain").await;
        mend(&pool, listing("plain", vec![asc(key).nulls_last(), desc("id")])).await;
    }
}

/// Several orders that share keys and indexes, indexed filters, a counter and a condition, all missing at once.
#[tokio::test]
async fn the_script_makes_any_table_work() {
    const EVERYTHING: Listing = Listing {
        name: "rows",
        columns: "id",
        scope: &["\"group\""],
        filters: &[
            Filter::equal("user", "\"user\""),
            Filter::any_of("moods", "\"UPPER\""),
            Filter::equal("e", "e"),
            Filter::prefix("prefix", "folded"),
            Filter::condition("k", "doc ->> 'k' = {k}"),
        ],
        orders: &[
            Order {
                name: "text",
                keys: &[asc("\"Mixed Case\""), asc("t || 'x'"), asc("id")],
                indexed: &[&["user"], &["moods", "e"], &["e", "moods"]],
            },
            Order { name: "text desc", keys: &[desc("\"Mixed Case\""), desc("t || 'x'"), desc("id")], indexed: &[] },
            Order {
                name: "nulls",
                keys: &[desc("price").nulls_last(), asc("t || 'x'"), asc("id")],
                indexed: &[&["user"]],
            },
            Order { name: "many", keys: &[asc("doc"), asc("l"), asc("blob"), asc("id")], indexed: &[] },
            Order { name: "id", keys: &[asc("id"), asc("id")], indexed: &[] },
        ],
        counters: &[Counter { table: "\"row counts\"", filters: &["moods", "user"] }],
        ..Listing::DEFAULT
    };
    let pool = database_with_types().await;
    for table in TABLES {
        for condition in
            [None, Some("not archived"), Some("archived is not true and n > 3 or \"user\" = 'x'"), Some("ts > now()")]
        {
            create(&pool, table).await;
            run(&pool, "drop table if exists \"row counts\"").await;
            mend(&pool, Listing { from: table, condition, ..EVERYTHING }).await;
        }
    }
}

async fn refusal(pool: &PgPool, listing: Listing) -> String {
    paging(pool).open(leak(listing)).await.unwrap_err().to_string()
}

#[tokio::test]
async fn keys_that_no_index_can_hold_are_refused() {
    let pool = database_with_types().await;
    create(&pool, "plain").await;
    for key in
        ["mood::text", "ts::text", "ts::date", "day < now()", "random()", "(n, x)::text", "(select n)", "concat(n, x)"]
    {
        let refusal = refusal(&pool, listing("plain", vec![asc(key), asc("id")])).await;
        let expected = format!(
            "the list rows: the order \"it\": no index can hold {key}, because its value depends on more than the row; use the \
             column that it is computed from, or store the value in a column"
        );
        assert_eq!(refusal, expected);
    }
}

#[tokio::test]
async fn the_script_and_the_text_of_an_error() {
    let pool = database_with_types().await;
    create(&pool, "plain").await;
    const ORDERS: &[Order] = &[
        Order { name: "mood", keys: &[asc("mood::text"), asc("id")], indexed: &[] },
        Order { name: "t", keys: &[asc("lower(t)").nulls_last(), desc("n")], indexed: &[] },
    ];
    let listing = Listing { orders: ORDERS, condition: Some("not archived"), ..listing("plain", Vec::new()) };
    let error = paging(&pool).open(leak(listing)).await.unwrap_err();
    assert_snapshot!(error.script(), @r#"
    -- The list rows

    -- the order "mood": no index can hold mood::text, because its value depends on more than the row; use the column that it is computed from, or store the value in a column

    -- the order "t" declares n never null, but the table does not; declare nulls_first or nulls_last if it may be null
    alter table plain alter column n set not null;

    -- the order "t": the length of lower(t) has no bound, so it may not fit in a page token; any bound up to this one will do
    alter table plain add constraint keyset_length_9ddcc22a575746e0 check (octet_length(lower(t)) <= 1024) not valid;
    alter table plain validate constraint keyset_length_9ddcc22a575746e0;

    -- the order "t" is not unique: no unique index has only NOT NULL columns from ("group", lower(t), n); end the order with the primary key

    -- no index serves the order "t"
    create index concurrently on plain ("group", (lower(t)) nulls last, n desc) where (not archived);
    "#);
    assert_snapshot!(error, @r#"
    the list rows: the order "mood": no index can hold mood::text, because its value depends on more than the row; use the column that it is computed from, or store the value in a column
    the list rows: the order "t" declares n never null, but the table does not; declare nulls_first or nulls_last if it may be null
        alter table plain alter column n set not null;
    the list rows: the order "t": the length of lower(t) has no bound, so it may not fit in a page token; any bound up to this one will do
        alter table plain add constraint keyset_length_9ddcc22a575746e0 check (octet_length(lower(t)) <= 1024) not valid;
        alter table plain validate constraint keyset_length_9ddcc22a575746e0;
    the list rows: the order "t" is not unique: no unique index has only NOT NULL columns from ("group", lower(t), n); end the order with the primary key
    the list rows: no index serves the order "t"
        create index concurrently on plain ("group", (lower(t)) nulls last, n desc) where (not archived);
    "#);
    assert_eq!(format!("{error:?}"), error.to_string());
}

/// Another collation may hold two texts equal that the index of the column holds different.
#[tokio::test]
async fn a_key_of_a_coarser_collation_is_not_unique() {
    let pool = database().await;
    run(
        &pool,
        "create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        create table names (name text primary key check (octet_length(name) < 100));
        create index on names ((name collate folded)); create index on names ((name collate \"C\"))",
    )
    .await;
    let names = |key| Listing {
        name: "names",
        from: "names",
        columns: "name",
        orders: leak([Order { name: "name", keys: leak([asc(key)]), indexed: &[] }]),
        ..Listing::DEFAULT
    };
    let found = refusal(&pool, names("name collate \"C\"")).await;
    assert!(!found.contains("is not unique"), "{found}");
    let found = refusal(&pool, names("name collate folded")).await;
    assert!(found.contains("order \"name\" is not unique"), "{found}");
}

#[tokio::test]
async fn a_filter_without_an_operator_for_its_value_is_refused() {
    let pool = database().await;
    run(
        &pool,
        "create type mood as enum ('sad', 'ok'); create domain feeling as mood;
        create table felt (id int8 primary key, feeling feeling not null)",
    )
    .await;
    const BY_ID: &[Order] = &[Order { name: "id", keys: &[asc("id")], indexed: &[] }];
    for filter in [Filter::equal("feeling", "feeling"), Filter::any_of("feelings", "feeling")] {
        let filters = leak([filter]);
        let refused = refusal(
            &pool,
            Listing { name: "felt", from: "felt", columns: "id", filters, orders: BY_ID, ..Listing::DEFAULT },
        );
        assert!(refused.await.contains("operator does not exist"));
    }
}
