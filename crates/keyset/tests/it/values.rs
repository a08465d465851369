//! A filter finds the same rows as a plain condition, whatever the type of its column and of its value, whichever values
//! the connection has seen before, and whether an index serves it or not.
use std::collections::BTreeSet;

use keyset::{Error, Filter, List, Listing, Order, Query, asc, desc};
use pagination::proto::PageRequest;
use proptest::{collection::vec, option, prelude::*, sample::select, test_runner::Config};
use sqlx::{AssertSqlSafe, Encode, PgPool, Postgres, Type, types::Decimal};

use crate::support::{Id, database, ids, leak, open, request, run};

/// A Rust enum for an enum of the database.
#[derive(Debug, Clone, Copy, Type)]
#[sqlx(type_name = "mood", rename_all = "lowercase")]
enum Mood {
    Sad,
    Ok,
}

/// A type that the database does not have under the column.
#[derive(Debug, Clone, Copy, Type)]
#[sqlx(type_name = "weather", rename_all = "lowercase")]
enum Weather {
    Rain,
}

#[derive(Debug, Clone, Type)]
#[sqlx(type_name = "pair")]
struct Pair {
    number: i32,
    word: String,
}

#[derive(Debug, Clone, Copy, Type)]
#[sqlx(type_name = "small")]
struct Small(i32);

const SETUP: &str = "
    create extension citext; create extension ltree;
    create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create type mood as enum ('sad', 'ok', 'happy');
    create type pair as (number int4, word text);
    create domain small as int4 check (value < 100);
    create domain handle as varchar(9);
    create domain moods as mood[]; create domain smaller as small check (value < 50);
    create type span as range (subtype = float8);
    create schema other; create type other.\"Odd Mood\" as enum ('so so');";

/// The column types and their values.
const COLUMNS: &[(&str, &[&str])] = &[
    ("int2", &["-1", "5", "32767"]),
    ("int4", &["-1", "5", "2147483647"]),
    ("int8", &["-1", "5", "9007199254740993"]),
    ("small", &["1", "5"]),
    ("numeric", &["-1.5", "5", "5.00", "0.1", "'NaN'"]),
    ("numeric(20,4)", &["-1.5", "5", "0.1"]),
    ("float4", &["-1.5", "5", "0.1", "'NaN'"]),
    ("float8", &["-1.5", "5", "0.1", "'-0'"]),
    ("text", &["''", "'5'", "'ok'", "'OK'", "'a b'"]),
    ("varchar(9)", &["'5'", "'ok'", "'OK'"]),
    ("char(5)", &["'5'", "'ok'", "'ok '"]),
    ("name", &["'5'", "'ok'"]),
    ("handle", &["'5'", "'ok'"]),
    ("citext", &["'5'", "'ok'", "'OK'"]),
    ("text collate folded", &["'5'", "'ok'", "'OK'"]),
    ("mood", &["'sad'", "'ok'"]),
    ("other.\"Odd Mood\"", &["'so so'"]),
    ("bool", &["true", "false"]),
    ("uuid", &["'00000000-0000-0000-0000-000000000005'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"]),
    ("timestamptz", &["'2026-01-01'", "'2026-01-02'"]),
    ("bytea", &["'5'", "'ok'"]),
    ("pair", &["'(5,ok)'", "'(1,a)'"]),
    ("span", &["'[1,5)'", "'empty'"]),
    ("int4range", &["'[1,5)'", "'empty'"]),
    ("jsonb", &["'5'", "'{\"a\": 1}'"]),
    ("inet", &["'10.0.0.1'", "'::1'"]),
    ("cidr", &["'10.0.0.0/8'"]),
    ("date", &["'2026-01-01'"]),
    ("interval", &["'1 day'", "'24 hours'"]),
    ("time", &["'12:00'"]),
    ("timetz", &["'12:00+01'"]),
    ("timestamp", &["'2026-01-01'"]),
    ("bit(3)", &["'101'"]),
    ("varbit(9)", &["'101'"]),
    ("money", &["'$1.50'"]),
    ("\"char\"", &["'5'", "'o'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("pg_lsn", &["'16/B374D848'"]),
    ("tsvector", &["'a'"]),
    ("ltree", &["'a.b'"]),
    ("smaller", &["1", "5"]),
    ("oid", &["5"]),
    ("int4[]", &["'{5}'", "'{1,NULL}'", "'{}'"]),
    ("text[]", &["'{ok}'", "'{5}'"]),
    ("mood[]", &["'{ok}'", "'{sad,ok}'"]),
    ("moods", &["'{ok}'"]),
    ("small[]", &["'{5}'"]),
    ("citext[]", &["'{OK}'"]),
];

/// Postgres takes the other side of a comparison with a row type to be any row.
const OF_PAIRS: &[Filter] = &[
    Filter::equal("equal", "x"),
    Filter::any_of("any", "x"),
    Filter::at_least("least", "x"),
    Filter::less_than("less", "x"),
    Filter::condition("condition", "x = {condition}::pair"),
    Filter::condition("among", "x = any({among}::pair[])"),
];

/// There are no arrays of arrays.
const OF_ARRAYS: &[Filter] = &[
    Filter::equal("equal", "x"),
    Filter::at_least("least", "x"),
    Filter::less_than("less", "x"),
    Filter::condition("condition", "x = {condition}"),
];

/// A list over one column, `x`: compared by each kind of filter, with an index and without.
struct Table {
    pool: PgPool,
    name: &'static str,
    column: &'static str,
    list: List,
}

const FILTERS: &[Filter] = &[
    Filter::equal("equal", "x"),
    Filter::any_of("any", "x"),
    Filter::at_least("least", "x"),
    Filter::less_than("less", "x"),
    Filter::condition("condition", "x = {condition}"),
    Filter::condition("among", "x = any({among})"),
];

impl Table {
    async fn open(pool: &PgPool, place: usize, column: &'static str, values: &[&str]) -> Self {
        let filters = match column {
            "pair" => OF_PAIRS,
            "moods" => OF_ARRAYS,
            array if array.ends_with("[]") => OF_ARRAYS,
            _ => FILTERS,
        };
        let name: &'static str = leak(format!("t{place}"));
        let rows: Vec<_> = values.iter().enumerate().map(|(id, value)| format!("({id}, {value})")).collect();
        run(
            pool,
            &format!(
                "create table {name} (id int8 primary key, x {column}); create index on {name} (x, id);
                alter table {name} alter column x set (n_distinct = 1000);
                insert into {name} (id, x) values {}; insert into {name} (id) values (100)",
                rows.join(", ")
            ),
        )
        .await;
        let orders = leak([
            Order {
                name: "indexed",
                keys: leak([asc("id")]),
                indexed: if filters.len() == OF_ARRAYS.len() { &[&["equal"]] } else { &[&["equal"], &["any"]] },
            },
            Order { name: "scanned", keys: leak([asc("id")]), indexed: &[] },
        ]);
        let list = open(pool, Listing { name, from: name, columns: "id", filters, orders, ..Listing::DEFAULT });
        Self { pool: pool.clone(), name, column, list: list.await }
    }

    fn is_array(&self) -> bool {
        self.list.listing().filters.len() == OF_ARRAYS.len()
    }

    async fn expected(&self, condition: &str) -> Vec<i64> {
        let sql = format!("select id from {} where {condition} order by id", self.name);
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&self.pool).await.unwrap()
    }

    fn query<'a>(
        &'a self,
        page: PageRequest,
        order: &str,
        only: &str,
        filter: impl Fn(Query<'a>) -> Query<'a>,
    ) -> Query<'a> {
        let others = self.list.listing().filters.iter().map(|filter| filter.name).filter(|name| *name != only);
        filter(others.fold(self.list.page(Some(page), order), |query, name| query.filter::<String>(name, None)))
    }

    /// The rows with this value; `None` if the value is refused.
    async fn found<'a>(&'a self, only: &str, filter: impl Fn(Query<'a>) -> Query<'a>) -> Option<Vec<i64>> {
        let mut found = BTreeSet::new();
        for order in ["indexed", "scanned"] {
            match self.query(request(100, ""), order, only, &filter).fetch_rows::<Id>().await {
                Ok(page) => found.insert(Some(ids(&page))),
                Err(Error::Request(_) | Error::Listing { .. }) => found.insert(None),
                Err(error) => panic!("{} {only}: {error}", self.column),
            };
        }
        assert_eq!(found.len(), 1, "{} {only}: {found:?}", self.column);
        found.pop_first().flatten()
    }

    /// Compares every kind of filter with plain conditions on `literal`. Returns whether the value is accepted.
    async fn check<T>(&self, value: T, literal: &str) -> bool
    where
        T: for<'q> Encode<'q, Postgres> + Type<Postgres> + sqlx::postgres::PgHasArrayType + Clone,
    {
        let mut accepted = BTreeSet::new();
        let one = |operator: &str| format!("x {operator} {literal}");
        for (name, condition) in
            [("equal", one("=")), ("least", one(">=")), ("less", one("<")), ("condition", one("="))]
        {
            let found = self.found(name, |query| query.filter(name, Some(value.clone()))).await;
            accepted.insert(found.is_some());
            if let Some(found) = found {
                assert_eq!(found, self.expected(&condition).await, "{} {name} {literal}", self.column);
            }
        }
        for name in ["any", "among"].into_iter().filter(|_| !self.is_array()) {
            let found = self.found(name, |query| query.filter(name, Some(vec![value.clone(), value.clone()]))).await;
            accepted.insert(found.is_some());
            if let Some(found) = found {
                assert_eq!(found, self.expected(&one("=")).await, "{} {name} {literal}", self.column);
            }
        }
        assert_eq!(accepted.len(), 1, "{} with {literal}: {accepted:?}", self.column);
        accepted.contains(&true)
    }
}

#[tokio::test]
async fn every_value_finds_what_a_plain_condition_finds() {
    let pool = database().await;
    run(&pool, SETUP).await;
    let mut table = String::new();
    for (place, (column, values)) in COLUMNS.iter().enumerate() {
        let shop = Table::open(&pool, place, column, values).await;
        // In two sequences, so that what a connection prepared for one value meets each other.
        let mut accepted = Vec::new();
        let base = column.split(['(', ' ']).next().unwrap_or_default();
        let numeric = ["int2", "int4", "int8", "small", "smaller", "numeric", "float4", "float8"].contains(&base);
        let number = |text: &str| if numeric { text.to_owned() } else { format!("'{text}'") };
        for _ in 0..2 {
            let mut note = |name: &'static str, is_accepted: bool| {
                if is_accepted && !accepted.contains(&name) {
                    accepted.push(name);
                }
            };
            note("i16", shop.check(5_i16, &number("5")).await);
            note("i32", shop.check(5_i32, &number("5")).await);
            note("f64", shop.check(5.0_f64, &number("5")).await);
            note("i64", shop.check(5_i64, &number("5")).await);
            note("f32", shop.check(5.0_f32, &number("5")).await);
            note("Decimal", shop.check(Decimal::new(500, 2), &number("5")).await);
            note("bool", shop.check(true, "true").await);
            note("Mood", shop.check(Mood::Ok, "'ok'").await);
            note("Weather", shop.check(Weather::Rain, "'rain'").await && base != "mood");
            note("Vec<u8>", shop.check(b"ok".to_vec(), "'ok'::bytea").await);
            note("Uuid", shop.check(uuid(), "'00000000-0000-0000-0000-000000000005'").await);
            note("Pair", shop.check(Pair { number: 5, word: "ok".into() }, "'(5,ok)'::pair").await);
            note("Small", shop.check(Small(5), "5").await);
            let text = values.first().copied().unwrap_or_default().trim_matches('\'');
            let cast = if *column == "pair" { "::pair" } else { "" };
            note("String", shop.check(text.to_owned(), &format!("'{text}'{cast}")).await);
        }
        accepted.sort_unstable();
        table += &format!("{column}: {}\n", accepted.join(", "));
    }
    insta::assert_snapshot!(table);
}

fn uuid() -> sqlx::types::Uuid {
    sqlx::types::Uuid::from_u128(5)
}

#[tokio::test]
async fn a_number_that_the_column_cannot_hold_matches_nothing_or_is_refused() {
    let pool = database().await;
    run(&pool, SETUP).await;
    let ints = Table::open(&pool, 0, "int4", &["-1", "5", "2147483647"]).await;
    let large = 5_000_000_000_i64;
    for (name, expected) in [("equal", vec![]), ("least", vec![]), ("less", vec![0, 1, 2])] {
        assert_eq!(ints.found(name, |query| query.filter(name, Some(large))).await, Some(expected), "{name}");
    }
    assert_eq!(ints.found("any", |query| query.filter("any", Some(vec![5, large]))).await, Some(vec![1]));
    assert_eq!(ints.found("less", |query| query.filter("less", Some(5.5))).await, None);
    let floats = Table::open(&pool, 1, "float8", &["9007199254740992"]).await;
    assert_eq!(floats.found("equal", |query| query.filter("equal", Some(9_007_199_254_740_993_i64))).await, None);
    let decimals = Table::open(&pool, 2, "numeric", &["0.1", "0.10", "1e30", "'NaN'"]).await;
    assert_eq!(decimals.found("equal", |query| query.filter("equal", Some(0.1_f64))).await, Some(vec![0, 1]));
    assert_eq!(decimals.found("equal", |query| query.filter("equal", Some(1e30_f64))).await, Some(vec![2]));
    assert_eq!(decimals.found("equal", |query| query.filter("equal", Some(f64::NAN))).await, Some(vec![3]));
    assert_eq!(decimals.found("equal", |query| query.filter("equal", Some("0.100"))).await, Some(vec![0, 1]));
}

#[tokio::test]
async fn a_text_that_is_no_value_of_the_column_is_refused() {
    let pool = database().await;
    run(&pool, SETUP).await;
    for (place, (column, value)) in [
        ("int4", "5"),
        ("uuid", "'00000000-0000-0000-0000-000000000005'"),
        ("mood", "'ok'"),
        ("timestamptz", "'2026-01-01'"),
    ]
    .into_iter()
    .enumerate()
    {
        let shop = Table::open(&pool, place, column, &[value]).await;
        for text in ["nothing", "", "a\0b", "99999999999999999999"] {
            let found = shop.found("equal", |query| query.filter("equal", Some(text))).await;
            assert_eq!(found, None, "{column} {text:?}");
            let found = shop.found("any", |query| query.filter("any", Some(vec![text]))).await;
            assert_eq!(found, None, "{column} {text:?}");
        }
    }
}

/// A request with filters of every kind.
#[derive(Debug, Clone)]
struct Filters {
    any: Vec<i16>,
    words: Vec<&'static str>,
    equal: Option<i16>,
    least: Option<i16>,
    less: Option<i16>,
    prefix: Option<&'static str>,
    odd: Option<bool>,
    search: Option<i16>,
    page_size: i32,
    order: &'static str,
}

/// How the same request is written: in which sequence the values of sets come, how often, and as which types.
#[derive(Debug, Clone)]
struct Writing {
    places: Vec<usize>,
    number: u8,
    has_empty: bool,
}

fn filters() -> impl Strategy<Value = Filters> {
    let number = || option::of(-2_i16..4);
    let words = vec(select(&["a", "b", "ab", ""][..]), 0..4);
    let prefix = option::of(select(&["", "a", "ab"][..]));
    let first = (vec(-2_i16..4, 0..4), words, number(), number(), number());
    let rest = (prefix, option::of(any::<bool>()), number(), 1..4, select(&["indexed", "scanned"][..]));
    (first, rest).prop_map(|((any, words, equal, least, less), (prefix, odd, search, page_size, order))| Filters {
        any,
        words,
        equal,
        least,
        less,
        prefix,
        odd,
        search,
        page_size,
        order,
    })
}

fn writing() -> impl Strategy<Value = Writing> {
    (vec(0_usize..8, 0..8), 0_u8..5, any::<bool>()).prop_map(|(places, number, has_empty)| Writing {
        places,
        number,
        has_empty,
    })
}

impl Writing {
    /// The same set: in another sequence, and with repeated values.
    fn set<T: Copy>(&self, set: &[T]) -> Vec<T> {
        let repeated = self.places.iter().filter_map(|place| set.get(place % set.len().max(1)).copied());
        repeated.chain(set.iter().rev().copied()).collect()
    }

    fn number<'a>(&self, query: Query<'a>, name: &str, number: Option<i16>) -> Query<'a> {
        match self.number {
            0 => query.filter(name, number),
            1 => query.filter(name, number.map(i32::from)),
            2 => query.filter(name, number.map(i64::from)),
            3 => query.filter(name, number.map(f64::from)),
            _ => query.filter(name, number.map(|number| Decimal::new(i64::from(number) * 10, 1))),
        }
    }

    fn query<'a>(&self, list: &'a List, filters: &Filters, token: &str) -> Query<'a> {
        let query = list.page(Some(request(filters.page_size, token)), filters.order);
        let query = query.filter("any", Some(self.set(&filters.any)));
        let words = self.set(&filters.words);
        let query = query.filter("words", (self.has_empty || !words.is_empty()).then_some(words));
        let query = self.number(query, "equal", filters.equal);
        let query = self.number(query, "least", filters.least);
        let query = self.number(query, "less", filters.less);
        let query = self.number(query, "search", filters.search);
        let prefix = filters.prefix.filter(|prefix| self.has_empty || !prefix.is_empty());
        query.filter("prefix", prefix).filter("odd", filters.odd)
    }
}

const OF_EVERY_KIND: Listing = Listing {
    name: "things",
    from: "things",
    columns: "id",
    filters: &[
        Filter::any_of("any", "n"),
        Filter::any_of("words", "word"),
        Filter::equal("equal", "n"),
        Filter::at_least("least", "n"),
        Filter::less_than("less", "m"),
        Filter::prefix("prefix", "word"),
        Filter::condition("odd", "(id % 2 = 1) = {odd}"),
        Filter::search("search", "m = {search}"),
    ],
    orders: &[
        Order { name: "indexed", keys: &[asc("word"), asc("id")], indexed: &[&["any"], &["any", "words"], &["equal"]] },
        Order { name: "scanned", keys: &[desc("id")], indexed: &[] },
    ],
    ..Listing::DEFAULT
};

/// A pool with sixty things.
async fn things() -> PgPool {
    let pool = database().await;
    run(
            &pool,
            "create table things (id int8 primary key, n int4 not null, m numeric not null,
                word text collate \"C\" not null check (octet_length(word) < 10));
            alter table things alter column n set (n_distinct = 1000), alter column word set (n_distinct = 1000);
            create index on things (word, id); create index on things (n, word, id); create index on things (m);
            insert into things select i, i % 5 - 1, i % 4 - 1, (array['a', 'b', 'ab', ''])[i % 4 + 1] from generate_series(1, 60) as i",
        )
        .await;
    pool
}

/// The condition of these filters in plain SQL.
fn plain(filters: &Filters) -> String {
    let number = |number: Option<i16>, test: &str| number.map(|number| format!("{test} {number}"));
    let among = |values: Vec<String>, column: &str| {
        (!values.is_empty()).then(|| format!("{column} in ({})", values.join(", ")))
    };
    let conditions = [
        among(filters.any.iter().map(i16::to_string).collect(), "n"),
        among(filters.words.iter().map(|word| format!("'{word}'")).collect(), "word"),
        number(filters.equal, "n ="),
        number(filters.least, "n >="),
        number(filters.less, "m <"),
        number(filters.search, "m ="),
        filters.prefix.map(|prefix| format!("starts_with(word, '{prefix}')")),
        filters.odd.map(|odd| format!("(id % 2 = 1) = {odd}")),
    ];
    conditions.into_iter().flatten().fold("true".to_owned(), |all, condition| format!("{all} and {condition}"))
}

/// Few rows are examined for a page, so that it is short, and search filters use their index.
#[test]
fn filters_in_any_combination_find_what_a_plain_condition_finds() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pool = runtime.block_on(things());
    let lists = [2_000, 20, 5, 1]
        .map(|examined_rows| runtime.block_on(open(&pool, Listing { examined_rows, ..OF_EVERY_KIND })));
    proptest!(Config::with_cases(200), |(filters in filters(), writing in writing(), list in select(&[0_usize, 1, 2, 3][..]))| {
        let (found, expected) = runtime.block_on(async {
            let (mut token, mut found) = (String::new(), Vec::new());
            for _ in 0..200 {
                let page = writing.query(&lists[list], &filters, &token).fetch_rows::<Id>().await.unwrap();
                found.extend(ids(&page));
                token = page.response.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
            let sort = if filters.order == "indexed" { "word, id" } else { "id desc" };
            let expected = format!("select id from things where {} order by {sort}", plain(&filters));
            let expected: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(expected)).fetch_all(&pool).await.unwrap();
            (found, expected)
        });
        prop_assert_eq!(found, expected);
    });
}

#[test]
fn what_means_the_same_opens_the_same() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let list = runtime.block_on(async { open(&things().await, OF_EVERY_KIND).await });
    proptest!(Config::with_cases(200), |(filters in filters(), one in writing(), other in writing())| {
        let second = runtime.block_on(async {
            let first = one.query(&list, &filters, "").fetch_rows::<Id>().await.unwrap();
            let token = first.response.next_page_token;
            if token.is_empty() {
                return None;
            }
            let same = one.query(&list, &filters, &token).fetch_rows::<Id>().await.unwrap();
            let written = other.query(&list, &filters, &token).fetch_rows::<Id>().await;
            Some((ids(&same), written.map(|page| ids(&page)).map_err(|error| error.to_string())))
        });
        if let Some((same, written)) = second {
            prop_assert_eq!(Ok(same), written);
        }
    });
}

#[tokio::test]
async fn an_array_is_compared_as_a_whole() {
    let pool = database().await;
    run(&pool, SETUP).await;
    let tables = [
        ("int4[]", ["'{5}'", "'{1,NULL}'", "'{}'"]),
        ("int8[]", ["'{5}'", "'{1,NULL}'", "'{}'"]),
        ("numeric[]", ["'{5.0}'", "'{1,NULL}'", "'{}'"]),
        ("small[]", ["'{5}'", "'{1,NULL}'", "'{}'"]),
        ("text[]", ["'{ok}'", "'{5,NULL}'", "'{}'"]),
        ("varchar(9)[]", ["'{ok}'", "'{5,NULL}'", "'{}'"]),
        ("citext[]", ["'{OK}'", "'{5,NULL}'", "'{}'"]),
        ("mood[]", ["'{ok}'", "'{sad,NULL}'", "'{}'"]),
        ("moods", ["'{ok}'", "'{sad,NULL}'", "'{}'"]),
    ];
    for (place, (column, values)) in tables.iter().enumerate() {
        let shop = Table::open(&pool, place, column, values).await;
        let (first, second, third) = if place < 4 {
            let found = async |value: Vec<Option<i64>>| {
                let narrow: Vec<Option<i16>> = value.iter().map(|value| value.map(|value| value as i16)).collect();
                let found = shop.found("equal", |query| query.filter("equal", Some(value.clone()))).await;
                assert_eq!(
                    found,
                    shop.found("condition", |query| query.filter("condition", Some(narrow.clone()))).await
                );
                found
            };
            (found(vec![Some(5)]).await, found(vec![Some(1), None]).await, found(vec![]).await)
        } else {
            let found = async |value: Vec<Option<&str>>| {
                let found = shop.found("equal", |query| query.filter("equal", Some(value.clone()))).await;
                assert_eq!(
                    found,
                    shop.found("condition", |query| query.filter("condition", Some(value.clone()))).await
                );
                found
            };
            let second = if place < 7 { "5" } else { "sad" };
            (found(vec![Some("ok")]).await, found(vec![Some(second), None]).await, found(vec![]).await)
        };
        assert_eq!([first, second, third], [Some(vec![0]), Some(vec![1]), Some(vec![2])], "{column}");
    }
    let moods = Table::open(&pool, 100, "mood[]", &["'{ok}'"]).await;
    assert_eq!(moods.found("equal", |query| query.filter("equal", Some(vec![Mood::Ok]))).await, Some(vec![0]));
    assert_eq!(moods.found("equal", |query| query.filter("equal", Some(vec![Mood::Sad]))).await, Some(vec![]));
}

#[tokio::test]
async fn a_set_has_no_null_and_one_dimension() {
    let pool = database().await;
    run(&pool, SETUP).await;
    let shop = Table::open(&pool, 0, "int4", &["1", "2"]).await;
    assert_eq!(shop.found("any", |query| query.filter("any", Some(vec![Some(1), None]))).await, None);
    assert_eq!(shop.found("any", |query| query.filter("any", Some(vec![None::<i32>]))).await, None);
    assert_eq!(shop.found("any", |query| query.filter("any", Some((0..33).collect::<Vec<i32>>()))).await, None);
    assert_eq!(shop.found("any", |query| query.filter("any", Some(1))).await, None);
    assert_eq!(shop.found("any", |query| query.filter("any", Some("1"))).await, None);
}
