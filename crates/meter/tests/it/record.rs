//! RecordUsage: what is stored, and that a record is inserted once, even if it is sent again or in another batch.
use std::time::{Duration, UNIX_EPOCH};

use crate::support::{Client, at, costing, grouped, list, named, record, start, start_on, sums};
use platform::{Clock, Platform, testing};
use prost_types::Timestamp;
use quire_proto::meter::v1::{ListUsageRequest, RecordUsageRequest, UsageRecord, UsageSummary};

async fn rows(platform: &Platform) -> Vec<String> {
    testing::rows(platform, &["usage_records"]).await
}

/// A record with every field set.
fn full(request_id: &str) -> UsageRecord {
    UsageRecord {
        id: "not read".into(),
        team_id: "search".into(),
        agent_id: "crawler-7".into(),
        surface: "ci".into(),
        event_type: "completion".into(),
        model: "large-2".into(),
        provider: "acme".into(),
        input_tokens: 1_000_000_000_000,
        output_tokens: 1,
        cache_read_tokens: 2,
        cache_write_tokens: 3,
        metadata: [("trace".into(), "abc".into()), ("empty".into(), String::new())].into(),
        occur_time: Some(Timestamp { nanos: 123_456_789, ..at(0).unwrap() }),
        create_time: at(-1),
        ..costing(request_id, "000000012.3400")
    }
}

/// The service at 1,800,000,000 seconds, with ids that are numbers.
async fn start_at_rest() -> (Platform, Client) {
    let clock = Clock::new(|| UNIX_EPOCH + Duration::new(1_800_000_000, 123_456_789));
    let platform = Platform { clock, ids: testing::counting(), ..testing::platform().await };
    let client = start_on(&platform).await;
    (platform, client)
}

#[tokio::test]
async fn records_are_returned_as_stored_in_the_order_of_their_ids() {
    let (_platform, client) = start_at_rest().await;
    let all = ["z", "m", "a"].map(named);
    assert_eq!(record(&client, &[&[full("x")], &all[..]].concat()).await.unwrap(), (4, 0));
    let id = |number: usize| testing::id(number as u128);
    // Times are truncated to microseconds, the precision of the database.
    let now = Some(Timestamp { seconds: 1_800_000_000, nanos: 123_456_000 });
    let occur_time = Some(Timestamp { nanos: 123_456_000, ..at(0).unwrap() });
    let mut kept = vec![UsageRecord { id: id(1), cost_usd: "12.34".into(), occur_time, create_time: now, ..full("x") }];
    kept.extend(all.into_iter().enumerate().map(|(place, record)| UsageRecord {
        id: id(place + 2),
        cost_usd: "0".into(),
        occur_time: now,
        create_time: now,
        ..record
    }));
    assert_eq!(list(&client, ListUsageRequest::default()).await, kept);
}

#[tokio::test]
async fn occur_time_is_at_most_an_hour_in_the_future() {
    let (_platform, client) = start_at_rest().await;
    let occurring = |(seconds, nanos)| UsageRecord {
        occur_time: Some(Timestamp { seconds, nanos }),
        ..named(format!("{seconds}.{nanos:09}"))
    };
    let hour = 1_800_003_600;
    // Times are truncated to microseconds.
    let times = [(-62_135_596_800, 0), (hour - 1, 999_999_999), (hour, 0), (hour, 123_456_999)];
    assert_eq!(record(&client, &times.map(occurring)).await.unwrap(), (4, 0));
    let late = [(hour, 123_457_000), (253_402_300_799, 0)];
    insta::assert_snapshot!(record(&client, &late.map(occurring)).await.unwrap_err().message(), @"records[0].occur_time: must be at most an hour in the future; records[1].occur_time: must be at most an hour in the future");
}

#[tokio::test]
async fn a_resent_record_is_skipped() {
    let (platform, client) = start().await;
    assert_eq!(record(&client, &[full("a"), named("b")]).await.unwrap(), (2, 0));
    // Records of another workspace do not conflict.
    let theirs = RecordUsageRequest { records: vec![costing("a", "1"), named("b")] };
    let theirs = client.clone().record_usage(testing::from("other", theirs)).await.unwrap().into_inner();
    assert_eq!((theirs.recorded_count, theirs.passed_over_count), (2, 0));
    let before = rows(&platform).await;
    let nanos = |nanos| Some(Timestamp { nanos, ..at(0).unwrap() });
    // Costs are compared as numbers, and times as they are stored. An omitted time is not compared.
    let same = [
        UsageRecord { cost_usd: "12.34".into(), ..full("a") },
        UsageRecord { occur_time: nanos(123_456_000), ..full("a") },
        UsageRecord { occur_time: None, ..full("a") },
        UsageRecord { id: "x".into(), create_time: at(1), ..full("a") },
        UsageRecord { cost_usd: "0.000".into(), ..named("b") },
    ];
    assert_eq!(record(&client, &same).await.unwrap(), (0, 5));
    for again in same {
        assert_eq!(record(&client, std::slice::from_ref(&again)).await.unwrap(), (0, 1), "{again:?}");
    }
    // A record that differs is refused, and nothing of its batch is inserted. If several differ, the error names the
    // first.
    let mut shorter = full("a");
    shorter.metadata.pop_first();
    let later = UsageRecord { occur_time: nanos(123_457_000), ..full("a") };
    let left_out = UsageRecord { occur_time: None, ..full("c") };
    let refused = [
        vec![named("new"), later],
        vec![full("b"), shorter],
        vec![named("new"), costing("new", "1")],
        // The first record gets the current time, which differs from the time of the second.
        vec![left_out.clone(), full("c")],
    ];
    let mut answers = Vec::new();
    for records in refused {
        answers.push(record(&client, &records).await.unwrap_err().message().to_owned());
    }
    assert_eq!(rows(&platform).await, before);
    insta::assert_snapshot!(answers.join("\n"), @r#"
    meter.v1.UsageRecord with records[1].request_id "a" already exists
    meter.v1.UsageRecord with records[0].request_id "b" already exists
    meter.v1.UsageRecord with records[1].request_id "new" already exists
    meter.v1.UsageRecord with records[1].request_id "c" already exists
    "#);
    // A record that is twice in a call is inserted once.
    let twice = [full("c"), named("0"), left_out, full("c"), named("0"), named("b")];
    assert_eq!(record(&client, &twice).await.unwrap(), (2, 4));
    assert_eq!(rows(&platform).await.len(), 6);
}

#[tokio::test]
async fn a_resent_call_waits_for_the_first_to_end() {
    let (platform, client) = start().await;
    let pool = testing::pool(&platform);
    record(&client, &[named("b")]).await.unwrap();
    for (is_done, counts) in [(false, (3, 0)), (true, (2, 1))] {
        let mut first = pool.begin().await.unwrap();
        let sql = "create table if not exists copy as table usage_records; delete from usage_records";
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        sqlx::query("insert into usage_records table copy").execute(&mut *first).await.unwrap();
        let records = ["a", "b", "c"].map(named);
        let end = async {
            testing::wait_for_waiting(&pool, 1).await;
            if is_done { first.commit().await.unwrap() } else { first.rollback().await.unwrap() }
        };
        assert_eq!(tokio::join!(record(&client, &records), end).0.unwrap(), counts);
        assert_eq!(rows(&platform).await.len(), 3);
    }
}

/// Concurrent batches contain the same records in different orders and selections, and are sent again. They insert
/// common records in the same order, so that they do not deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_resent_records_are_inserted_once_and_summed_exactly() {
    let (_platform, client) = start().await;
    let use_of = |number: i64| UsageRecord {
        input_tokens: 1_000_000_000_000,
        ..costing(format!("request {}", number * 7_919 % 10_007), &format!("999999999.{number:012}"))
    };
    for round in 0..10 {
        let forward: Vec<_> = (0..1_000).map(|number| use_of(round * 1_000 + number)).collect();
        let backward: Vec<_> = forward.iter().rev().cloned().collect();
        let calls = [&forward[..], &backward, &forward[500..], &forward].map(|records| record(&client, records));
        let answers = futures_util::future::join_all(calls).await.into_iter().map(Result::unwrap);
        let sums = answers.fold((0, 0), |sums, (recorded, skipped)| (sums.0 + recorded, sums.1 + skipped));
        assert_eq!(sums, (1_000, 2_500));
    }
    let (record_count, input_tokens, cost_usd) = (10_000, 10_000_000_000_000_000, "9999999990000.000049995".to_owned());
    let sum = UsageSummary { record_count, input_tokens, cost_usd, ..Default::default() };
    assert_eq!(sums(&client, &grouped(&[]), 1).await, [sum]);
}
