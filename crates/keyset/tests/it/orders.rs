//! A walk in any order of any columns returns the rows as one plain ORDER BY does.
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{Id, database, ids, leak, request, run};
use keyset::{Key, List, Listing, Nulls, Order, Sort};
use proptest::{prelude::*, sample::select, test_runner::Config};
use sqlx::PgPool;
use tokio::runtime::Runtime;

/// A column type, and values of it in ascending order. Some of them are easily lost to rounding.
const TYPES: &[(&str, &[&str])] = &[
    ("int4 not null", &["-2147483648", "-1", "0", "7", "2147483647"]),
    ("int8", &["-9223372036854775808", "0", "9007199254740993", "9223372036854775807"]),
    ("numeric(30,10)", &["-1.0000000001", "0", "0.1", "1", "12345678901234567890.0123456789"]),
    ("float8", &["'-Infinity'", "-0.0", "0.0", "0.1", "1e-310", "0.30000000000000004", "'NaN'"]),
    ("float4", &["-1.1", "0.1", "16777217", "'Infinity'"]),
    ("bool", &["false", "true"]),
    ("varchar(20)", &["''", "'Zebra'", "'zebra'", "'äpfel'", "'a b'"]),
    ("text collate \"C\" check (octet_length(%) <= 64)", &["''", "'Z'", "'a'", "'\u{e4}'", "'\u{1f600}'"]),
    ("text collate \"und-x-icu\" check (char_length(%) <= 16)", &["'a'", "'B'", "'\u{e4}'", "'a-b'", "'ab'"]),
    ("text collate folded check (octet_length(%) < 65)", &["'a'", "'A'", "'b'", "'B'"]),
    ("bytea check (octet_length(%) <= 32)", &["'\\x'", "'\\x00'", "'\\x0001'", "'\\xff'"]),
    ("char(4)", &["'a'", "'a  '", "'ab'"]),
    ("\"char\"", &["'a'", "'b'"]),
    ("name", &["'a'", "'B'"]),
    ("uuid", &["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"]),
    (
        "timestamptz",
        &["'-infinity'", "'2026-01-01 00:00:00.000001+00'", "'2026-01-01 00:00:00.000002+00'", "'infinity'"],
    ),
    ("timestamp", &["'1999-12-31 23:59:59.999999'", "'2000-01-01'"]),
    ("date", &["'-infinity'", "'2026-02-28'", "'4713-01-01 BC'"]),
    ("time", &["'00:00'", "'24:00'"]),
    ("timetz", &["'00:00+01'", "'00:00-01'"]),
    ("interval", &["'-1 mon'", "'24 hours'", "'1 day'", "'1 day 00:00:00.000001'"]),
    ("inet", &["'10.0.0.0/8'", "'10.0.0.1'", "'::1'"]),
    ("cidr", &["'10.0.0.0/8'", "'::/0'"]),
    ("macaddr", &["'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'"]),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    ("money", &["-1.5", "92233720368547758.07"]),
    ("bit(5)", &["B'00000'", "B'10101'"]),
    ("varbit(9)", &["B''", "B'1'", "B'10'"]),
    ("oid", &["0", "4294967295"]),
    ("pg_lsn", &["'0/0'", "'16/B374D848'"]),
    ("int4range", &["'empty'", "'[1,5)'", "'[1,)'", "'(,)'"]),
    ("tstzrange", &["'[2026-01-01,2026-01-02)'"]),
    ("int4[] check (octet_length(%::text) <= 32)", &["'{}'", "'{1,NULL}'", "'{1,2}'"]),
    ("jsonb check (octet_length(%::text) <= 32)", &["'null'", "'{\"a\": 1.10}'", "'[1]'"]),
    ("mood", &["'sad'", "'ok'", "'happy'"]),
    ("pair check (octet_length(%::text) <= 32)", &["'(1,a)'", "'(1,b)'", "'(2,)'"]),
    ("small", &["1", "99"]),
    ("handle", &["'a'", "'B'"]),
    ("tsvector check (octet_length(%::text) <= 32)", &["''", "'a:1'"]),
];

const SETUP: &str = r#"
    create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create type mood as enum ('sad', 'ok', 'happy');
    create type pair as (number int4, word text);
    create domain small as int4 check (value < 100);
    create domain handle as varchar(9) collate "POSIX";
"#;

static TABLES: AtomicU32 = AtomicU32::new(0);

#[derive(Debug, Clone)]
struct Column {
    column_type: usize,
    sort: Sort,
    nulls: Nulls,
}

#[derive(Debug, Clone)]
struct Configuration {
    columns: Vec<Column>,
    id_sort: Sort,
    /// For each row and column, the number of its value.
    rows: Vec<[u8; 3]>,
    page_sizes: Vec<i32>,
}

fn column() -> impl Strategy<Value = Column> {
    let sort = select(vec![Sort::Ascending, Sort::Descending]);
    let nulls = select(vec![Nulls::Never, Nulls::First, Nulls::Last]);
    (0..TYPES.len(), sort, nulls).prop_map(|(column_type, sort, nulls)| {
        // For a row type, IS NULL tests the fields, so a key of a row type is never null.
        let nulls = if TYPES[column_type].0.starts_with("pair") { Nulls::Never } else { nulls };
        Column { column_type, sort, nulls }
    })
}

fn configuration() -> impl Strategy<Value = Configuration> {
    (
        prop::collection::vec(column(), 0..=3),
        select(vec![Sort::Ascending, Sort::Descending]),
        prop::collection::vec(any::<[u8; 3]>(), 0..40),
        prop::collection::vec(1..15_i32, 1..4),
    )
        .prop_map(|(columns, id_sort, rows, page_sizes)| Configuration { columns, id_sort, rows, page_sizes })
}

/// The value of a column for this number. If the column may be null, one in four is.
fn literal(column: &Column, number: u8) -> String {
    let (_, values) = TYPES[column.column_type];
    if column.nulls != Nulls::Never && number.is_multiple_of(4) {
        return "null".to_owned();
    }
    values[usize::from(number / 4) % values.len()].to_owned()
}

async fn create(pool: &PgPool, Configuration { columns, id_sort, rows, .. }: &Configuration) -> List {
    let table = format!("things_{}", TABLES.fetch_add(1, Ordering::Relaxed));
    let mut keys: Vec<Key> = Vec::new();
    let mut definitions = String::new();
    for (place, column) in columns.iter().enumerate() {
        let name = format!("c{place}");
        let mut definition = TYPES[column.column_type].0.replace('%', &name).replace("not null", "");
        if column.nulls == Nulls::Never {
            definition.push_str(" not null");
        }
        definitions += &format!("{name} {definition}, ");
        keys.push(Key { expression: leak(name), sort: column.sort, nulls: column.nulls });
    }
    keys.push(Key { expression: "id", sort: *id_sort, nulls: Nulls::Never });
    run(pool, &format!("create table {table} ({definitions} id int8 primary key)")).await;
    for (id, row) in rows.iter().enumerate() {
        let values = columns.iter().zip(row).map(|(column, number)| literal(column, *number) + ", ");
        run(pool, &format!("insert into {table} values ({}{id})", values.collect::<String>())).await;
    }
    run(pool, &format!("create index on {table} ({})", order_by(&keys))).await;
    let order = Order { name: "it", keys: leak(keys), indexed: &[] };
    let listing =
        Listing { name: "things", from: leak(table), columns: "id", orders: leak([order]), ..Listing::DEFAULT };
    crate::support::open(pool, listing).await
}

fn order_by(keys: &[Key]) -> String {
    let keys = keys.iter().map(|Key { expression, sort, nulls }| {
        let sort = if *sort == Sort::Ascending { "asc" } else { "desc" };
        let nulls = match nulls {
            Nulls::Never => "",
            Nulls::First => "nulls first",
            Nulls::Last => "nulls last",
        };
        format!("{expression} {sort} {nulls}")
    });
    keys.collect::<Vec<_>>().join(", ")
}

/// Walks forward to the end and back to the beginning, and compares both with one plain statement.
async fn check(pool: &PgPool, configuration: &Configuration) {
    let list = create(pool, configuration).await;
    let order = order_by(list_keys(&list));
    let plain = sqlx::AssertSqlSafe(format!("select id from {} order by {order}", list.listing().from));
    let expected: Vec<i64> = sqlx::query_scalar(plain).persistent(false).fetch_all(pool).await.unwrap();

    let mut sizes = configuration.page_sizes.iter().copied().cycle();
    let (mut token, mut seen, mut pages) = (String::new(), Vec::new(), 0);
    let last = loop {
        let page = list.page(Some(request(sizes.next().unwrap(), &token)), "").fetch_rows::<Id>().await.unwrap();
        assert_eq!(page.response.previous_page_token.is_empty(), pages == 0);
        seen.extend(ids(&page));
        pages += 1;
        assert!(pages <= 50, "the walk does not end");
        if page.response.next_page_token.is_empty() {
            break page;
        }
        token = page.response.next_page_token;
    };
    assert_eq!(seen, expected, "forward");

    let mut seen: Vec<i64> = ids(&last);
    token = last.response.previous_page_token;
    while !token.is_empty() {
        let page = list.page(Some(request(sizes.next().unwrap(), &token)), "").fetch_rows::<Id>().await.unwrap();
        assert!(!page.response.next_page_token.is_empty());
        seen = ids(&page).into_iter().chain(seen).collect();
        pages += 1;
        assert!(pages <= 100, "the walk does not end");
        token = page.response.previous_page_token;
    }
    assert_eq!(seen, expected, "backward");
}

fn list_keys(list: &List) -> &'static [Key] {
    list.listing().orders[0].keys
}

#[test]
fn a_walk_in_any_order_returns_the_rows_as_order_by_does() {
    let runtime = Runtime::new().unwrap();
    let pool = runtime.block_on(async {
        let pool = database().await;
        run(&pool, SETUP).await;
        pool
    });
    let cases = std::env::var("KEYSET_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(96);
    let mut runner =
        prop::test_runner::TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&configuration(), |configuration| {
            runtime.block_on(check(&pool, &configuration));
            Ok(())
        })
        .unwrap();
}

#[test]
fn columns_of_every_type_are_walked_in_both_directions() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let pool = database().await;
        run(&pool, SETUP).await;
        for (column_type, (name, _)) in TYPES.iter().enumerate() {
            for (sort, nulls) in
                [(Sort::Ascending, Nulls::Never), (Sort::Descending, Nulls::First), (Sort::Ascending, Nulls::Last)]
            {
                let nulls = if name.starts_with("pair") { Nulls::Never } else { nulls };
                let columns = vec![Column { column_type, sort, nulls }];
                let rows = (0..24).map(|number| [number, 0, 0]).collect();
                let id_sort = Sort::Ascending;
                check(&pool, &Configuration { columns, id_sort, rows, page_sizes: vec![1, 2] }).await;
            }
        }
    });
}
