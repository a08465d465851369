//! Costs are exact: which texts are one, and that neither keeping nor summing them rounds.
use crate::support::{by, costing, grouped, record, record_in, start, sums, sums_in, told, walk};
use platform::testing;
use proptest::{prelude::*, test_runner::Config};
use quire_proto::meter::v1::{ListUsageRequest, UsageRecord};
use tokio::runtime::Runtime;
use tonic::Code;

#[tokio::test]
async fn a_cost_is_kept_exactly_and_answered_without_needless_zeros() {
    let (platform, client) = start().await;
    let costs = [
        ("", "0"),
        ("0", "0"),
        ("000000000.000000000000", "0"),
        ("0.0125", "0.0125"),
        ("1.50", "1.5"),
        ("100", "100"),
        ("007", "7"),
        ("0.1", "0.1"),
        ("0.000000000001", "0.000000000001"),
        ("999999999.999999999999", "999999999.999999999999"),
        ("123456789.012345678901", "123456789.012345678901"),
        ("900719925.474099299999", "900719925.474099299999"),
    ];
    let records = costs.map(|(given, _)| costing(format!("given {given}"), given));
    record(&client, &records).await.unwrap();
    let kept = walk(&client, &by("occur_time")).await;
    let expected = costs.map(|(_, kept)| kept);
    assert_eq!(kept.iter().map(|record| record.cost_usd.as_str()).collect::<Vec<_>>(), expected);
    let sql = "select cost_usd::text from usage_records order by id";
    let written: Vec<String> = sqlx::query_scalar(sql).fetch_all(&testing::pool(&platform)).await.unwrap();
    assert_eq!(written, expected);
}

#[tokio::test]
async fn what_is_not_such_a_text_is_refused() {
    let (_platform, client) = start().await;
    insta::assert_snapshot!(told(&record(&client, &[costing("a", "1000000000")]).await.unwrap_err()), @"
    InvalidArgument: records[0].cost_usd: must be 1 to 9 digits, and if need be a point and 1 to 12 more, as in 0.0125
      records[0].cost_usd: must be 1 to 9 digits, and if need be a point and 1 to 12 more, as in 0.0125
    ");
    let texts = [
        ".5",
        "5.",
        ".",
        "-1",
        "-0",
        "+1",
        "1e3",
        "1E-3",
        "1_000",
        "1,5",
        " 1",
        "1 ",
        "1\n",
        "0x1",
        "NaN",
        "Infinity",
        "1.2.3",
        "\u{661}",
        "1\0",
        "0.0000000000001",
        "0000000001",
        "1.0000000000000",
    ];
    for text in texts {
        let status = record(&client, &[costing("a", text)]).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{text:?}");
        assert!(status.message().starts_with("records[0].cost_usd: must be 1 to 9 digits"), "{status:?}");
    }
    assert_eq!(walk(&client, &by("")).await, []);
}

/// A text is taken if it is such a number, and then it is the number that Postgres takes it for.
#[test]
fn a_text_is_the_number_that_postgres_takes_it_for() {
    let runtime = Runtime::new().unwrap();
    let (platform, client) = runtime.block_on(start());
    let pool = runtime.block_on(async { testing::pool(&platform) });
    let sql = "select case when $1 ~ '^[0-9]{1,9}([.][0-9]{1,12})?$' then trim_scale($1::numeric)::text end";
    let text = prop_oneof!["[0-9]{1,10}([.][0-9]{1,13})?", "0{0,3}[0-9]{1,3}[.][0-9]{0,3}0{0,9}", "[-+0-9.eE_ ]{1,6}"];
    proptest!(Config { failure_persistence: None, ..Config::default() }, |(text in text)| {
        let (kept, expected) = runtime.block_on(async {
            let expected: Option<String> = sqlx::query_scalar(sql).bind(&text).fetch_one(&pool).await.unwrap();
            let recorded = record(&client, &[UsageRecord { agent_id: text.clone(), ..costing(&text, &text) }]).await;
            let kept = walk(&client, &ListUsageRequest { agent_id: Some(text.clone()), ..by("") }).await;
            assert_eq!(kept.len(), usize::from(recorded.is_ok()));
            (kept.first().map(|record| record.cost_usd.clone()), expected)
        });
        prop_assert_eq!(kept, expected);
    });
}

#[tokio::test]
async fn sums_are_exact_where_floats_are_not() {
    let (_platform, client) = start().await;
    let sum_of = async |workspace: &str, costs: &[&str]| {
        let records = costs.iter().enumerate().map(|(place, cost)| costing(place.to_string(), cost));
        record_in(&client, workspace, &records.collect::<Vec<_>>()).await.unwrap();
        sums_in(&client, workspace, &grouped(&[]), 1).await[0].cost_usd.clone()
    };
    assert_eq!(sum_of("a", &["0.1", "0.2"]).await, "0.3");
    assert_eq!(sum_of("b", &["0.1"; 10]).await, "1");
    assert_eq!(sum_of("c", &["999999999.999999999999", "0.000000000001"]).await, "1000000000");
    assert_eq!(sum_of("d", &["900719925.474099299999", "0.000000000001", "0.1"]).await, "900719925.5740993");
    assert_eq!(sum_of("e", &["999999999.999999999999"; 1_000]).await, "999999999999.999999999");
    assert_eq!(sum_of("f", &["", "0.00"]).await, "0");
}

#[tokio::test]
async fn a_sum_may_be_larger_than_any_cost() {
    let (platform, client) = start().await;
    // More digits than a decimal of 96 bits has.
    let sql = "insert into usage_records (workspace_id, id, request_id, team_id, agent_id, surface, event_type, model, provider,
            input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time, create_time)
        select 'default', gen_random_uuid(), n, '', '', '', '', '', '', 1000000000000, 0, 0, 0, cost, '{}', now(), now()
        from generate_series(1, 10000) as n, (values (999999999.999999999999)) as costs (cost)";
    sqlx::query(sql).execute(&testing::pool(&platform)).await.unwrap();
    let sums = sums(&client, &grouped(&[])).await;
    assert_eq!((sums[0].input_tokens, sums[0].cost_usd.as_str()), (10_000_000_000_000_000, "9999999999999.99999999"));
}
