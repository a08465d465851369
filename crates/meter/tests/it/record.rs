//! RecordUsage: what is kept, what is refused, and that a call is kept whole or not at all.
use std::time::{Duration, UNIX_EPOCH};

use crate::support::{Client, at, by, costing, named, record, record_in, start, start_on, told, walk, walk_in};
use platform::{
    Clock, Platform,
    testing::{self, Hands},
};
use prost_types::Timestamp;
use quire_proto::meter::v1::UsageRecord;
use uuid::Uuid;

async fn refusal(client: &Client, records: &[UsageRecord]) -> String {
    told(&record(client, records).await.unwrap_err())
}

/// How many records there are in all.
async fn count(platform: &Platform) -> i64 {
    sqlx::query_scalar("select count(*) from usage_records").fetch_one(&testing::pool(platform)).await.unwrap()
}

/// A use of which everything is given.
fn full(request_id: &str) -> UsageRecord {
    UsageRecord {
        id: "not read".into(),
        request_id: request_id.into(),
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
        cost_usd: "000000012.3400".into(),
        metadata: [("trace".into(), "abc".into()), ("empty".into(), String::new())].into(),
        occur_time: Some(Timestamp { nanos: 123_456_789, ..at(0).unwrap() }),
        create_time: at(-1),
    }
}

#[tokio::test]
async fn a_record_comes_back_as_it_is_kept() {
    let platform = Platform {
        clock: Clock::new(|| UNIX_EPOCH + Duration::new(1_800_000_000, 123_456_789)),
        ids: testing::counting(),
        ..testing::platform().await
    };
    let client = start_on(&platform).await;
    assert_eq!(record(&client, &[full("all"), named("least")]).await.unwrap(), (2, 0));
    // To the microsecond, which is what the database keeps.
    let now = Some(Timestamp { seconds: 1_800_000_000, nanos: 123_456_000 });
    let kept = UsageRecord {
        id: "00000000-0000-0000-0000-000000000001".into(),
        cost_usd: "12.34".into(),
        occur_time: Some(Timestamp { nanos: 123_456_000, ..at(0).unwrap() }),
        create_time: now,
        ..full("all")
    };
    let least = UsageRecord {
        id: "00000000-0000-0000-0000-000000000002".into(),
        cost_usd: "0".into(),
        occur_time: now,
        create_time: now,
        ..named("least")
    };
    assert_eq!(walk(&client, &by("occur_time")).await, [kept, least]);
}

#[tokio::test]
async fn a_thousand_are_recorded_at_once_with_ids_in_their_order() {
    let (platform, client) = start().await;
    let records: Vec<_> =
        (0..1_000).map(|place| costing(format!("{:04}", place * 7_919 % 1_000), &place.to_string())).collect();
    assert_eq!(record(&client, &records).await.unwrap(), (1_000, 0));
    // All occurred when they were recorded, so that their ids order them.
    let kept = walk(&client, &by("occur_time")).await;
    let pairs = |records: &[UsageRecord]| {
        records.iter().map(|record| (record.request_id.clone(), record.cost_usd.clone())).collect::<Vec<_>>()
    };
    assert_eq!(pairs(&kept), pairs(&records));
    assert!(kept.iter().all(|record| record.create_time == kept[0].create_time));
    assert_eq!(kept[0].id.parse::<Uuid>().unwrap().get_version_num(), 7);
    assert_eq!(count(&platform).await, 1_000);
}

#[tokio::test]
async fn a_call_has_1_to_1000_records() {
    let (platform, client) = start().await;
    insta::assert_snapshot!(refusal(&client, &[]).await, @"
    InvalidArgument: records: must be 1 to 1000; there are 0
      records: must be 1 to 1000; there are 0
    ");
    let records: Vec<_> = (0..1_001).map(|place| named(place.to_string())).collect();
    insta::assert_snapshot!(refusal(&client, &records).await, @"
    InvalidArgument: records: must be 1 to 1000; there are 1001
      records: must be 1 to 1000; there are 1001
    ");
    assert_eq!(count(&platform).await, 0);
}

#[tokio::test]
async fn one_wrong_record_and_nothing_is_kept() {
    let (platform, client) = start().await;
    let mut records: Vec<_> = (0..10).map(|place| named(place.to_string())).collect();
    records[3] = UsageRecord { input_tokens: -1, cost_usd: "-1".into(), ..named("") };
    records[7] = UsageRecord { team_id: "\0".into(), ..named("7") };
    insta::assert_snapshot!(refusal(&client, &records).await, @"
    InvalidArgument: records[3].request_id: must have 1 to 128 bytes; it has 0; records[3].input_tokens: must be 0 to 1000000000000; records[3].cost_usd: must be 1 to 9 digits, and if need be a point and 1 to 12 more, as in 0.0125; records[7].team_id: must not contain NUL
      records[3].request_id: must have 1 to 128 bytes; it has 0
      records[3].input_tokens: must be 0 to 1000000000000
      records[3].cost_usd: must be 1 to 9 digits, and if need be a point and 1 to 12 more, as in 0.0125
      records[7].team_id: must not contain NUL
    ");
    assert_eq!(count(&platform).await, 0);
    // The same call without what was wrong is done.
    (records[3], records[7]) = (named("3"), named("7"));
    assert_eq!(record(&client, &records).await.unwrap(), (10, 0));
}

#[tokio::test]
async fn every_field_has_its_bounds() {
    let (platform, client) = start().await;
    const MAX_TOKENS: i64 = 1_000_000_000_000;
    let texts = |bytes: [usize; 7]| {
        let [request_id, team_id, agent_id, surface, event_type, model, provider] =
            bytes.map(|bytes| "x".repeat(bytes));
        UsageRecord { request_id, team_id, agent_id, surface, event_type, model, provider, ..Default::default() }
    };
    let tokens = |request_id, [input_tokens, output_tokens, cache_read_tokens, cache_write_tokens]: [i64; 4]| {
        UsageRecord { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, ..named(request_id) }
    };
    let metadata = |entries: &[(usize, usize)]| UsageRecord {
        metadata: entries.iter().map(|(key, value)| ("k".repeat(*key), "v".repeat(*value))).collect(),
        ..named("metadata")
    };
    let bytes = [128, 128, 256, 64, 64, 128, 64];
    record(&client, &[texts(bytes), tokens("tokens", [MAX_TOKENS; 4]), metadata(&[(64, 1_024)])]).await.unwrap();
    assert_eq!(count(&platform).await, 3);
    insta::assert_snapshot!(refusal(&client, &[texts(bytes.map(|most| most + 1))]).await, @"
    InvalidArgument: records[0].request_id: must have 1 to 128 bytes; it has 129; records[0].team_id: must have 0 to 128 bytes; it has 129; records[0].agent_id: must have 0 to 256 bytes; it has 257; records[0].surface: must have 0 to 64 bytes; it has 65; records[0].event_type: must have 0 to 64 bytes; it has 65; records[0].model: must have 0 to 128 bytes; it has 129; records[0].provider: must have 0 to 64 bytes; it has 65
      records[0].request_id: must have 1 to 128 bytes; it has 129
      records[0].team_id: must have 0 to 128 bytes; it has 129
      records[0].agent_id: must have 0 to 256 bytes; it has 257
      records[0].surface: must have 0 to 64 bytes; it has 65
      records[0].event_type: must have 0 to 64 bytes; it has 65
      records[0].model: must have 0 to 128 bytes; it has 129
      records[0].provider: must have 0 to 64 bytes; it has 65
    ");
    insta::assert_snapshot!(refusal(&client, &[tokens("a", [-1; 4]), tokens("b", [MAX_TOKENS + 1; 4])]).await, @"
    InvalidArgument: records[0].input_tokens: must be 0 to 1000000000000; records[0].output_tokens: must be 0 to 1000000000000; records[0].cache_read_tokens: must be 0 to 1000000000000; records[0].cache_write_tokens: must be 0 to 1000000000000; records[1].input_tokens: must be 0 to 1000000000000; records[1].output_tokens: must be 0 to 1000000000000; records[1].cache_read_tokens: must be 0 to 1000000000000; records[1].cache_write_tokens: must be 0 to 1000000000000
      records[0].input_tokens: must be 0 to 1000000000000
      records[0].output_tokens: must be 0 to 1000000000000
      records[0].cache_read_tokens: must be 0 to 1000000000000
      records[0].cache_write_tokens: must be 0 to 1000000000000
      records[1].input_tokens: must be 0 to 1000000000000
      records[1].output_tokens: must be 0 to 1000000000000
      records[1].cache_read_tokens: must be 0 to 1000000000000
      records[1].cache_write_tokens: must be 0 to 1000000000000
    ");
    insta::assert_snapshot!(refusal(&client, &[metadata(&[(0, 1), (65, 1), (2, 1_025)])]).await, @"
    InvalidArgument: records[0].metadata: a key must have 1 to 64 bytes; one has 0; records[0].metadata: a value must have at most 1024 bytes; one has 1025; records[0].metadata: a key must have 1 to 64 bytes; one has 65
      records[0].metadata: a key must have 1 to 64 bytes; one has 0
      records[0].metadata: a value must have at most 1024 bytes; one has 1025
      records[0].metadata: a key must have 1 to 64 bytes; one has 65
    ");
    assert_eq!(count(&platform).await, 3);
}

#[tokio::test]
async fn a_use_occurs_at_most_an_hour_in_the_future() {
    let clock = Hands::at(1_800_000_000).clock();
    let platform = Platform { clock, ..testing::platform().await };
    let client = start_on(&platform).await;
    let occurring = |seconds, nanos| UsageRecord {
        occur_time: Some(Timestamp { seconds, nanos }),
        ..named(format!("{seconds}.{nanos:09}"))
    };
    let hour = 1_800_003_600;
    // What is finer than a microsecond is cut off, and so not in the future.
    let times = [(-62_135_596_800, 0), (hour - 1, 999_999_999), (hour, 0), (hour, 999)];
    let records = times.map(|(seconds, nanos)| occurring(seconds, nanos));
    assert_eq!(record(&client, &records).await.unwrap(), (4, 0));
    let day = 1_800_000_000 + 24 * 60 * 60;
    let wrong = [(hour, 1_000), (day, 0), (253_402_300_800, 0), (-62_135_596_801, 0), (0, -1), (0, 1_000_000_000)];
    insta::assert_snapshot!(refusal(&client, &wrong.map(|(seconds, nanos)| occurring(seconds, nanos))).await, @"
    InvalidArgument: records[0].occur_time: must be at most an hour in the future; records[1].occur_time: must be at most an hour in the future; records[2].occur_time: must be a time of the years 1 to 9999; records[3].occur_time: must be a time of the years 1 to 9999; records[4].occur_time: must be a time of the years 1 to 9999; records[5].occur_time: must be a time of the years 1 to 9999
      records[0].occur_time: must be at most an hour in the future
      records[1].occur_time: must be at most an hour in the future
      records[2].occur_time: must be a time of the years 1 to 9999
      records[3].occur_time: must be a time of the years 1 to 9999
      records[4].occur_time: must be a time of the years 1 to 9999
      records[5].occur_time: must be a time of the years 1 to 9999
    ");
}

#[tokio::test]
async fn workspaces_do_not_see_each_other() {
    let (_platform, client) = start().await;
    let records = ["a", "b", "c"].map(named);
    assert_eq!(record_in(&client, "ours", &records).await.unwrap(), (3, 0));
    // What another workspace has recorded is not in the way, whatever it says.
    let others = ["a", "b", "c", "d"].map(|request_id| costing(request_id, "1"));
    assert_eq!(record_in(&client, "theirs", &others).await.unwrap(), (4, 0));
    assert_eq!(walk_in(&client, "ours", &by(""), 2).await.len(), 3);
    assert_eq!(walk_in(&client, "theirs", &by(""), 2).await.len(), 4);
    assert_eq!(walk_in(&client, "nobody", &by(""), 2).await, []);
}
