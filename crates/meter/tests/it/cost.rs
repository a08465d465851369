//! Costs: which texts are valid, and that costs are stored and summed exactly.
use crate::support::{Client, costing, grouped, list, record, start, summarize};
use platform::testing;
use proptest::{prelude::*, test_runner::Config};
use quire_proto::meter::v1::{ListUsageRequest, SummarizeUsageRequest, UsageRecord};
use sqlx::PgPool;
use tokio::runtime::Runtime;

const TEXTS: &str = "0 000000000.000000000000 0.0125 1.50 100 007 0.000000000001 999999999.999999999999 0000000001
    900719925.474099299999 1000000000 . -0 1E-3 1,5 0x1 NaN Infinity 1.2.3 1.0000000000000";

/// Asserts that a text is accepted exactly if it is a valid number, and that it is then stored and returned as the
/// number that Postgres reads, without trailing zeros.
async fn check(client: &Client, pool: &PgPool, text: &str) {
    let recorded = record(client, &[UsageRecord { agent_id: text.to_owned(), ..costing(text, text) }]).await;
    let sql = "select case when $1 ~ '^[0-9]{1,9}([.][0-9]{1,12})?$' then trim_scale($1::numeric)::text end,
        (select cost_usd::text from usage_records where request_id = $1)";
    let (expected, kept): (Option<String>, Option<String>) =
        sqlx::query_as(sql).bind(text).fetch_one(pool).await.unwrap();
    let answered = list(client, ListUsageRequest { agent_id: Some(text.to_owned()), ..Default::default() })
        .await
        .pop()
        .map(|record| record.cost_usd);
    assert_eq!((recorded.is_ok(), &kept, &answered), (expected.is_some(), &expected, &expected), "{text:?}");
}

#[test]
fn a_cost_is_the_number_that_postgres_reads() {
    let runtime = Runtime::new().unwrap();
    let (platform, client) = runtime.block_on(start());
    let pool = runtime.block_on(async { testing::pool(&platform) });
    for text in TEXTS.split_whitespace().chain(["1 ", "1\n"]) {
        runtime.block_on(check(&client, &pool, text));
    }
    let text = prop_oneof!["[0-9]{1,10}([.][0-9]{1,13})?", "0{0,3}[0-9]{1,3}[.][0-9]{0,3}0{0,9}", "[-+0-9.eE_ ]{1,6}"];
    let config = Config { failure_persistence: None, ..Config::default() };
    proptest!(config, |(text in text)| runtime.block_on(check(&client, &pool, &text)));
}

#[tokio::test]
async fn sums_are_exact_where_floats_are_not() {
    let (_platform, client) = start().await;
    let cases: [(&[&str], &str); 5] = [
        (&["0.1"; 10], "1"),
        (&["0.1", "0.2"], "0.3"),
        (&["999999999.999999999999", "0.000000000001"], "1000000000"),
        (&["900719925.474099299999", "0.000000000001", "0.1"], "900719925.5740993"),
        (&["", "0.00"], "0"),
    ];
    for (place, (costs, sum)) in cases.into_iter().enumerate() {
        let agent = place.to_string();
        let costing = |(place, cost)| costing(format!("{agent} {place}"), cost);
        let records = costs.iter().copied().enumerate().map(costing);
        let records: Vec<_> = records.map(|record| UsageRecord { agent_id: agent.clone(), ..record }).collect();
        record(&client, &records).await.unwrap();
        let request = SummarizeUsageRequest { agent_id: Some(agent), ..grouped(&[]) };
        assert_eq!(summarize(&client, request).await.unwrap().0[0].cost_usd, sum);
    }
}
