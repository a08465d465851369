//! Rows become messages, with the same bytes that prost writes for the same values.
use std::collections::BTreeMap;

use crate::support::{
    database,
    everything::{DESCRIPTORS, Deeper, Everything, Nested, listing, paging, row},
    leak, run,
};
use keyset::{CatalogueError, Error, Listing, Statement, conformance::convert};
use prost::{Message, encoding::message};
use prost_types::{Duration, Timestamp};
use sqlx::{PgPool, Postgres, Type, postgres::PgTypeInfo};

/// The bytes of a page of one row.
fn encoded(expected: &Everything) -> Vec<u8> {
    let mut bytes = Vec::new();
    message::encode(1, expected, &mut bytes);
    bytes
}

async fn check(pool: &PgPool, cases: &[(&str, Everything)]) {
    for (columns, expected) in cases {
        let found = row(pool, listing(columns, &[])).await.unwrap().unwrap();
        assert_eq!(found, encoded(expected), "{columns}: {:?}", Everything::decode(found.get(2..).unwrap_or_default()));
    }
}

fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos })
}

fn lasting(seconds: i64, nanos: i32) -> Option<Duration> {
    Some(Duration { seconds, nanos })
}

fn none() -> Everything {
    Everything::default()
}

#[tokio::test]
async fn texts() {
    let long = "é".repeat(10_000);
    let uuid = "0193a5b9-fcac-7d72-b1a9-4e1d77330bdb";
    let pool = database().await;
    run(&pool, "create type mood as enum ('sad', 'merry'); create domain name_of as varchar(40)").await;
    check(
        &pool,
        &[
            ("''::text as text, ''::text as maybe_text", Everything { maybe_text: Some(String::new()), ..none() }),
            ("null::text as text, null::text as maybe_text", none()),
            ("repeat('é', 10000) as text", Everything { text: long, ..none() }),
            (
                "'x'::varchar(9) as text, 'y'::name as maybe_text",
                Everything { text: "x".into(), maybe_text: Some("y".into()), ..none() },
            ),
            ("'x'::char(3) as text", Everything { text: "x  ".into(), ..none() }),
            ("'merry'::mood as text", Everything { text: "merry".into(), ..none() }),
            ("'of'::name_of as text", Everything { text: "of".into(), ..none() }),
            ("'0193A5B9-FCAC-7D72-B1A9-4E1D77330BDB'::uuid as text", Everything { text: uuid.into(), ..none() }),
        ],
    )
    .await;
}

#[tokio::test]
async fn numerics_are_exact_and_without_trailing_zeros() {
    let pool = database().await;
    for (number, text) in [
        ("0", "0"),
        ("-0.00", "0"),
        ("1", "1"),
        ("10000", "10000"),
        ("100000000", "100000000"),
        ("1.50", "1.5"),
        ("-12345.6789", "-12345.6789"),
        ("0.0001", "0.0001"),
        ("0.00000001", "0.00000001"),
        ("0.000000010", "0.00000001"),
        ("10000.00001000", "10000.00001"),
        ("1e20", "100000000000000000000"),
        ("1e-20", "0.00000000000000000001"),
        ("99999999.99999999", "99999999.99999999"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
    ] {
        let columns = format!("'{number}'::numeric as text");
        check(&pool, &[(&columns, Everything { text: text.into(), ..none() })]).await;
    }
    // Compared with Postgres's own text, for numbers of any length.
    let sql = "select array_agg(trim_scale(n)::text order by place), array_agg(n::text order by place)
        from (select place, (random() - 0.5)::numeric * 10::numeric ^ (place % 60 - 30) as n
            from generate_series(1, 300) as place) as numbers";
    let (texts, numbers): (Vec<String>, Vec<String>) = sqlx::query_as(sql).fetch_one(&pool).await.unwrap();
    let columns = format!("'{{{}}}'::numeric[] as texts", numbers.join(","));
    check(&pool, &[(&columns, Everything { texts, ..none() })]).await;
}

#[tokio::test]
async fn integers_floats_and_bytes() {
    let pool = database().await;
    check(
        &pool,
        &[
            (
                "0::int2 as int32, 0::int8 as int64, 0::int8 as maybe_int64",
                Everything { maybe_int64: Some(0), ..none() },
            ),
            ("'-32768'::int2 as int32, 32767::int2 as int64", Everything { int32: -32_768, int64: 32_767, ..none() }),
            (
                "'-2147483648'::int4 as int32, 2147483647::int4 as int64",
                Everything { int32: i32::MIN, int64: i32::MAX.into(), ..none() },
            ),
            (
                "'9223372036854775807'::int8 as int64, '-9223372036854775808'::int8 as maybe_int64",
                Everything { int64: i64::MAX, maybe_int64: Some(i64::MIN), ..none() },
            ),
            (
                "'-2147483648'::int4 as sint32, '-9223372036854775808'::int8 as sint64",
                Everything { sint32: i32::MIN, sint64: i64::MIN, ..none() },
            ),
            (
                "2147483647::int4 as uint32, '9223372036854775807'::int8 as uint64",
                Everything { uint32: i32::MAX as u32, uint64: i64::MAX as u64, ..none() },
            ),
            (
                "7::int4 as fixed32, '9223372036854775807'::int8 as fixed64",
                Everything { fixed32: 7, fixed64: i64::MAX as u64, ..none() },
            ),
            ("'-7'::int4 as sfixed32, '-7'::int2 as sfixed64", Everything { sfixed32: -7, sfixed64: -7, ..none() }),
            (
                "'NaN'::float4 as float, 'NaN'::float8 as double",
                Everything { float: f32::NAN, double: f64::NAN, ..none() },
            ),
            (
                "'-Infinity'::float4 as float, 'Infinity'::float8 as double",
                Everything { float: f32::NEG_INFINITY, double: f64::INFINITY, ..none() },
            ),
            ("'-0'::float4 as float, '-0'::float8 as double", Everything { float: -0.0, double: -0.0, ..none() }),
            ("0::float4 as float, 0::float8 as double", none()),
            ("1.1::float4 as double", Everything { double: f64::from(1.1_f32), ..none() }),
            ("true as bool, false as maybe_bool", Everything { bool: true, maybe_bool: Some(false), ..none() }),
            ("false as bool, null::bool as maybe_bool", none()),
            ("'\\x00ff'::bytea as bytes", Everything { bytes: vec![0, 255], ..none() }),
            ("''::bytea as bytes", none()),
        ],
    )
    .await;
}

#[tokio::test]
async fn times_and_durations() {
    let pool = database().await;
    check(
        &pool,
        &[
            ("null::timestamptz as time, null::interval as duration", none()),
            (
                "'1970-01-01 00:00:00Z'::timestamptz as time, '0'::interval as duration",
                Everything { time: at(0, 0), duration: lasting(0, 0), ..none() },
            ),
            ("'0001-01-01 00:00:00Z'::timestamptz as time", Everything { time: at(-62_135_596_800, 0), ..none() }),
            (
                "'9999-12-31 23:59:59.999999Z'::timestamptz as time",
                Everything { time: at(253_402_300_799, 999_999_000), ..none() },
            ),
            ("'1969-12-31 23:59:59.999999Z'::timestamptz as time", Everything { time: at(-1, 999_999_000), ..none() }),
            (
                "'1999-12-31 23:59:59.5Z'::timestamptz as time",
                Everything { time: at(946_684_799, 500_000_000), ..none() },
            ),
            ("'1.5 seconds'::interval as duration", Everything { duration: lasting(1, 500_000_000), ..none() }),
            ("'-1.5 seconds'::interval as duration", Everything { duration: lasting(-1, -500_000_000), ..none() }),
            ("'2 days -1 second'::interval as duration", Everything { duration: lasting(172_799, 0), ..none() }),
        ],
    )
    .await;
}

#[tokio::test]
async fn texts_become_enum_values() {
    let pool = database().await;
    run(&pool, "create type status as enum ('submitted', 'partial_failure')").await;
    check(
        &pool,
        &[
            (
                "'submitted' as status, 'partial_failure'::varchar as maybe_status",
                Everything { status: 1, maybe_status: Some(-2), ..none() },
            ),
            ("'partial_failure'::status as status", Everything { status: -2, ..none() }),
            (
                "'unspecified' as status, 'a later release knows' as maybe_status",
                Everything { maybe_status: Some(0), ..none() },
            ),
            ("'SUBMITTED' as status", none()),
            (
                "array['submitted', 'what', 'partial_failure'] as statuses",
                Everything { statuses: vec![1, 0, -2], ..none() },
            ),
        ],
    )
    .await;
}

/// A value is a word behind the name of its enum, however that is written.
#[tokio::test]
async fn words_leave_out_the_name_of_the_enum() {
    let pool = database().await;
    let columns = "'get' as http_method, 'get' as status, 'get' as v2_status, 'get' as job_status";
    let listing = Listing { message: "everything.v1.Enums", unfilled: &[], ..listing(columns, &[]) };
    let found = row(&pool, listing).await.unwrap().unwrap();
    // A row of eight bytes: the fields 1 to 4, each with the value 1.
    assert_eq!(found, [10, 8, 8, 1, 16, 1, 24, 1, 32, 1]);
}

#[tokio::test]
async fn arrays_and_maps() {
    let strings = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let pool = database().await;
    check(
        &pool,
        &[
            ("array[]::text[] as texts, array[]::int4[] as packed, array[]::int8[] as unpacked", none()),
            ("null::text[] as texts, null::int4[] as packed, null::jsonb as strings", none()),
            (
                "array['', 'x', repeat('y', 200)] as texts",
                Everything { texts: vec![String::new(), "x".into(), "y".repeat(200)], ..none() },
            ),
            (
                "array[0, -1, 2147483647] as packed, array[0, -1]::int8[] as unpacked",
                Everything { packed: vec![0, -1, i32::MAX], unpacked: vec![0, -1], ..none() },
            ),
            ("array_fill(300, array[100]) as packed", Everything { packed: vec![300; 100], ..none() }),
            ("'[5:6]={7,8}'::int4[] as packed", Everything { packed: vec![7, 8], ..none() }),
            (
                "array['1970-01-01 00:00:00Z', '2000-01-01 00:00:00Z']::timestamptz[] as times",
                Everything {
                    times: vec![Timestamp::default(), Timestamp { seconds: 946_684_800, nanos: 0 }],
                    ..none()
                },
            ),
            (
                "array[true, false] as bools_list, array[0, 'NaN']::float8[] as doubles_list",
                Everything { bools_list: vec![true, false], doubles_list: vec![0.0, f64::NAN], ..none() },
            ),
            ("'{}'::jsonb as strings, '{}'::json as integers", none()),
            // In the order of the keys, which differs from jsonb's own order.
            (
                r#"'{"b": "1", "": "2", "aaa": "", "é": "\u00e9\n"}'::jsonb as strings"#,
                Everything { strings: strings(&[("b", "1"), ("", "2"), ("aaa", ""), ("é", "é\n")]), ..none() },
            ),
            // Of two with the same name, which json may have, the last counts.
            (
                r#"'{"b": "1", "a": "2", "b": "3", "\u0062": "4"}'::json as strings"#,
                Everything { strings: strings(&[("a", "2"), ("b", "4")]), ..none() },
            ),
            (
                r#"'{"b": 9223372036854775807, "a": 0}'::json as integers"#,
                Everything { integers: [("b".to_owned(), i64::MAX), ("a".to_owned(), 0)].into(), ..none() },
            ),
            (
                r#"'{"b": true, "a": false}'::jsonb as bools, '{"x": 1, "y": 0.5}'::jsonb as doubles"#,
                Everything {
                    bools: [("b".to_owned(), true), ("a".to_owned(), false)].into(),
                    doubles: [("x".to_owned(), 1.0), ("y".to_owned(), 0.5)].into(),
                    ..none()
                },
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_nested_message_is_absent_if_all_its_columns_are_null() {
    let nested = |r#type: &str, count, deeper: Option<bool>| {
        let deeper = deeper.map(|is_there| Deeper { is_there });
        Everything { nested: Some(Nested { r#type: r#type.into(), count, deeper }), ..none() }
    };
    let pool = database().await;
    let columns = |kind: &str, count: &str, is_there: &str| {
        format!(
            r#"{kind}::text as "nested.type", {is_there}::bool as "nested.deeper.is_there", {count}::int4 as "nested.count""#
        )
    };
    check(
        &pool,
        &[
            (&columns("null", "null", "null"), none()),
            (&columns("''", "null", "null"), nested("", None, None)),
            (&columns("null", "0", "null"), nested("", Some(0), None)),
            (&columns("null", "null", "false"), nested("", None, Some(false))),
            (&columns("'x'", "1", "true"), nested("x", Some(1), Some(true))),
            (&columns("repeat('x', 300)", "1", "true"), nested(&"x".repeat(300), Some(1), Some(true))),
        ],
    )
    .await;
    let columns = columns("null", "null", "null");
    let found = row(&pool, listing(&columns, &["nested"])).await.unwrap().unwrap();
    assert_eq!(found, encoded(&nested("", None, None)), "declared in always_there");
}

/// Fields are written in the order of their numbers, as prost does, whatever the order of the columns.
#[tokio::test]
async fn columns_may_have_any_order() {
    let pool = database().await;
    let columns = "7::int8 as maybe_int64, true as bool, 'x' as text, 'y' as \"nested.type\", 1 as int32";
    let expected = Everything {
        text: "x".into(),
        int32: 1,
        bool: true,
        nested: Some(Nested { r#type: "y".into(), ..Default::default() }),
        maybe_int64: Some(7),
        ..none()
    };
    check(&pool, &[(columns, expected)]).await;
}

#[tokio::test]
async fn values_that_do_not_fit_their_fields_are_refused() {
    let pool = database().await;
    let mut faults = Vec::new();
    for columns in [
        "'infinity'::timestamptz as time",
        "'-infinity'::timestamptz as time",
        "'10000-01-01 00:00:00Z'::timestamptz as time",
        "'0001-12-31 23:59:59Z BC'::timestamptz as time",
        "'1 month'::interval as duration",
        "'400000000 days'::interval as duration",
        "'-1'::int4 as uint32",
        "'-1'::int8 as fixed64",
        "array['x', null] as texts",
        "'{{1, 2}, {3, 4}}'::int4[] as packed",
        "'[]'::jsonb as strings",
        "'null'::jsonb as strings",
        r#"'{"a": 1}'::jsonb as strings"#,
        r#"'{"a": null}'::jsonb as strings"#,
        r#"'{"a": 1.5}'::jsonb as integers"#,
        r#"'{"a": 9223372036854775808}'::jsonb as integers"#,
    ] {
        let Err(Error::Row { reason, .. }) = row(&pool, listing(columns, &[])).await.unwrap() else {
            panic!("{columns}")
        };
        faults.push(format!("{columns}: {reason}"));
    }
    insta::assert_snapshot!(faults.join("\n"));
}

#[tokio::test]
async fn columns_and_fields_that_do_not_match_are_refused() {
    let pool = database().await;
    run(&pool, "create type point_of as (x int4, y int4)").await;
    let mut problems = Vec::new();
    for columns in [
        "1 as no_such_field",
        "1 as \"nested.no_such_field\"",
        "1 as \"text.type\"",
        "1 as \"no_such_field.type\"",
        "1 as int32, 2 as int32",
        "1::int8 as int32",
        "1::int8 as uint32",
        "1.5::float8 as float",
        "1 as text",
        "now()::timestamp as time",
        "now()::date as time",
        "'{}'::jsonb as text",
        "'{}'::text as strings",
        "'x' as texts",
        "array['x'] as text",
        "array[1]::int8[] as packed",
        "row(1, 2)::point_of as nested",
        "'x' as nested",
        "1 as status",
    ] {
        problems.push(format!("{columns}: {}", refused(&pool, listing(columns, &[])).await));
    }
    let text = || listing("'x' as text", &[]);
    let unfilled: Vec<_> = text().unfilled[1..].to_vec();
    for (what, listing) in [
        ("a field without a column", Listing { unfilled: leak(unfilled), ..text() }),
        (
            "a nested field without a column",
            Listing { unfilled: listing("'x' as nested", &[]).unfilled, columns: "'x' as \"nested.type\"", ..text() },
        ),
        (
            "a field that is unfilled and has a column",
            Listing { unfilled: leak([text().unfilled, &["text"]].concat()), ..text() },
        ),
        ("an always_there message without columns", Listing { always_there: &["nested"], ..text() }),
        ("an always_there field that is not a message", Listing { always_there: &["text"], ..text() }),
        ("a message that does not exist", Listing { message: "everything.v1.Nothing", ..text() }),
    ] {
        problems.push(format!("{what}: {}", refused(&pool, listing).await));
    }
    insta::assert_snapshot!(problems.join("\n"));
}

async fn refused(pool: &PgPool, listing: Listing) -> String {
    match row(pool, listing).await {
        Err(CatalogueError::Declaration { problems, .. }) => {
            problems.into_iter().map(|problem| problem.what).collect::<Vec<_>>().join("; ")
        }
        other => panic!("{other:?}"),
    }
}

/// A service's own statement also gives messages if its first columns are those of the list.
#[tokio::test]
async fn a_statement_must_return_the_columns_of_the_list_first() {
    let pool = database().await;
    let list = paging(&pool).open(leak(listing("'x'::text as text, 1 as int32", &[]))).await.unwrap();
    let rows = async |sql: &'static str| Statement::new(sql).query().unwrap().fetch_all(&pool).await.unwrap();
    let found: Option<Everything> =
        list.first(&rows("select 'y'::text as text, 2 as int32, true as more").await).unwrap();
    assert_eq!(found, Some(Everything { text: "y".into(), int32: 2, ..none() }));
    assert_eq!(list.first::<Everything>(&rows("select 1 where false").await).unwrap(), None);
    let mut mistakes = Vec::new();
    for sql in [
        "select 2 as int32, 'y'::text as text",
        "select 'y'::text as text",
        "select 'y'::text as text, 2::int8 as int32",
        "select 'y'::varchar as text, 2 as int32",
    ] {
        let Err(Error::Listing { mistake, .. }) = list.first::<Everything>(&rows(sql).await) else { panic!("{sql}") };
        mistakes.push(mistake);
    }
    insta::assert_snapshot!(mistakes.join("\n"));
}

proptest::proptest! {
    /// Any bytes convert to a field that can be decoded, or are refused.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64), header in 0_usize..3) {
        // Headers of a one-dimensional array whose first element is shorter than 256 bytes, and of a jsonb object.
        let header: &[u8] = [&[][..], &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0], b"\x01{"][header];
        let bytes = [header, &bytes].concat();
        let pool = prost_reflect::DescriptorPool::decode(DESCRIPTORS.as_slice()).unwrap();
        let message = pool.get_message_by_name("everything.v1.Everything").unwrap();
        let mut conversions = 0;
        for from in column_types() {
            for field in message.fields() {
                let Some(converted) = convert(&from, &field, &bytes) else { continue };
                conversions += 1;
                if let Ok(converted) = converted {
                    let read = prost_reflect::DynamicMessage::decode(message.clone(), converted.as_slice()).unwrap();
                    assert_eq!(read.unknown_fields().count(), 0);
                }
            }
        }
        assert_eq!(conversions, 58, "pairs of types with a conversion");
    }
}

/// The types that have a conversion.
fn column_types() -> Vec<PgTypeInfo> {
    fn of<T: Type<Postgres>>() -> PgTypeInfo {
        T::type_info()
    }
    vec![
        of::<bool>(),
        of::<i16>(),
        of::<i32>(),
        of::<i64>(),
        of::<f32>(),
        of::<f64>(),
        of::<String>(),
        of::<Vec<u8>>(),
        of::<uuid::Uuid>(),
        of::<rust_decimal::Decimal>(),
        of::<sqlx::types::time::OffsetDateTime>(),
        of::<sqlx::postgres::types::PgInterval>(),
        of::<sqlx::types::Json<()>>(),
        of::<Vec<bool>>(),
        of::<Vec<i32>>(),
        of::<Vec<i64>>(),
        of::<Vec<f64>>(),
        of::<Vec<String>>(),
        of::<Vec<uuid::Uuid>>(),
        of::<Vec<rust_decimal::Decimal>>(),
        of::<Vec<sqlx::types::time::OffsetDateTime>>(),
    ]
}

#[test]
fn the_proto_matches_the_prost_message() {
    let pool = prost_reflect::DescriptorPool::decode(DESCRIPTORS.as_slice()).unwrap();
    let message = pool.get_message_by_name("everything.v1.Everything").unwrap();
    let everything = Everything { text: "x".into(), maybe_int64: Some(1), ..none() };
    let dynamic = prost_reflect::DynamicMessage::decode(message, everything.encode_to_vec().as_slice()).unwrap();
    assert_eq!(dynamic.unknown_fields().count(), 0);
}
