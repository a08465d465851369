//! RecordUsage sent again: a use is recorded once, however often and in whatever company it is sent.
use crate::support::{Client, at, costing, grouped, named, record, start, sums, told};
use platform::testing;
use prost_types::Timestamp;
use quire_proto::meter::v1::{UsageRecord, UsageSummary};
use tonic::Code;

async fn refusal(client: &Client, records: &[UsageRecord]) -> String {
    told(&record(client, records).await.unwrap_err())
}

fn full(request_id: &str) -> UsageRecord {
    UsageRecord {
        team_id: "search".into(),
        agent_id: "crawler-7".into(),
        surface: "ci".into(),
        event_type: "completion".into(),
        model: "large-2".into(),
        provider: "acme".into(),
        input_tokens: 1,
        output_tokens: 2,
        cache_read_tokens: 3,
        cache_write_tokens: 4,
        metadata: [("trace".into(), "abc".into())].into(),
        occur_time: at(0),
        ..costing(request_id, "0.5")
    }
}

#[tokio::test]
async fn what_was_recorded_with_the_same_content_is_passed_over() {
    let (platform, client) = start().await;
    assert_eq!(record(&client, &[full("a"), named("b")]).await.unwrap(), (2, 0));
    let before = testing::rows(&platform, &["usage_records"]).await;
    // A cost is compared as a number, a time as it is kept; one that is left out is not compared, nor what is not read.
    let same = [
        UsageRecord { cost_usd: "00.500".into(), ..full("a") },
        UsageRecord { occur_time: Some(Timestamp { nanos: 999, ..at(0).unwrap() }), ..full("a") },
        UsageRecord { occur_time: None, ..full("a") },
        UsageRecord { id: "x".into(), create_time: at(1), ..full("a") },
        UsageRecord { cost_usd: "0.000".into(), ..named("b") },
    ];
    for record_again in &same {
        assert_eq!(record(&client, std::slice::from_ref(record_again)).await.unwrap(), (0, 1), "{record_again:?}");
    }
    assert_eq!(record(&client, &same).await.unwrap(), (0, 5));
    assert_eq!(testing::rows(&platform, &["usage_records"]).await, before);
    // What is new beside it is recorded.
    assert_eq!(record(&client, &[named("c"), named("b"), full("a"), named("0")]).await.unwrap(), (2, 2));
    assert_eq!(testing::rows(&platform, &["usage_records"]).await.len(), 4);
}

#[tokio::test]
async fn what_was_recorded_with_other_content_is_in_the_way() {
    let (platform, client) = start().await;
    record(&client, &[full("a")]).await.unwrap();
    let before = testing::rows(&platform, &["usage_records"]).await;
    let changes: [fn(&mut UsageRecord); 14] = [
        |record| record.team_id.clear(),
        |record| record.agent_id.clear(),
        |record| record.surface.clear(),
        |record| record.event_type.clear(),
        |record| record.model.push('x'),
        |record| record.provider.clear(),
        |record| record.input_tokens += 1,
        |record| record.output_tokens += 1,
        |record| record.cache_read_tokens += 1,
        |record| record.cache_write_tokens += 1,
        |record| record.cost_usd = "0.500000000001".into(),
        |record| record.metadata.values_mut().for_each(|value| value.push('x')),
        |record| drop(record.metadata.pop_first()),
        |record| record.occur_time = Some(Timestamp { nanos: 1_000, ..at(0).unwrap() }),
    ];
    let mut answers = Vec::new();
    for change in changes {
        let mut other = full("a");
        change(&mut other);
        // Whether it was recorded before, or stands earlier in the call.
        answers.push(refusal(&client, &[named("new"), named("newer"), other.clone()]).await);
        answers
            .push(refusal(&client, &[named("new"), full("b"), UsageRecord { request_id: "b".into(), ..other }]).await);
    }
    answers.sort();
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @r#"
    AlreadyExists: meter.v1.UsageRecord with records[2].request_id "a" already exists
      ALREADY_EXISTS of quire {"field": "records[2].request_id"}
      meter.v1.UsageRecord "a"
    AlreadyExists: meter.v1.UsageRecord with records[2].request_id "b" already exists
      ALREADY_EXISTS of quire {"field": "records[2].request_id"}
      meter.v1.UsageRecord "b"
    "#);
    // The first of several is named.
    insta::assert_snapshot!(refusal(&client, &[full("b"), costing("a", "2"), costing("a", "2")]).await, @r#"
    AlreadyExists: meter.v1.UsageRecord with records[1].request_id "a" already exists
      ALREADY_EXISTS of quire {"field": "records[1].request_id"}
      meter.v1.UsageRecord "a"
    "#);
    assert_eq!(testing::rows(&platform, &["usage_records"]).await, before);
}

#[tokio::test]
async fn what_stands_twice_in_a_call_is_recorded_once() {
    let (platform, client) = start().await;
    let left_out = UsageRecord { occur_time: None, ..full("a") };
    assert_eq!(record(&client, &[full("a"), named("b"), left_out, full("a"), named("b")]).await.unwrap(), (2, 3));
    assert_eq!(testing::rows(&platform, &["usage_records"]).await.len(), 2);
    // The first is recorded now, which is not when the second says.
    let left_out = UsageRecord { occur_time: None, ..full("c") };
    assert_eq!(record(&client, &[left_out, full("c")]).await.unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(testing::rows(&platform, &["usage_records"]).await.len(), 2);
}

/// Ten thousand uses, no two alike, of which the sums are known.
fn ten_thousand() -> (Vec<UsageRecord>, UsageSummary) {
    let use_of = |number: i64| UsageRecord {
        team_id: format!("team {}", number % 7),
        input_tokens: number,
        output_tokens: 2 * number,
        cache_read_tokens: 3 * number,
        cache_write_tokens: 4 * number,
        occur_time: at(number),
        ..costing(format!("request {}", number * 7_919 % 10_007), &format!("0.{number:012}"))
    };
    let sum = 10_000 * 9_999 / 2;
    let summary = UsageSummary {
        record_count: 10_000,
        input_tokens: sum,
        output_tokens: 2 * sum,
        cache_read_tokens: 3 * sum,
        cache_write_tokens: 4 * sum,
        cost_usd: format!("0.{sum:012}").trim_end_matches('0').to_owned(),
        ..Default::default()
    };
    ((0..10_000).map(use_of).collect(), summary)
}

/// Sends uses in batches, each of them twice, as one whose connection broke before the answer came.
async fn send(client: Client, records: &[UsageRecord], batch: usize) -> i32 {
    let mut recorded = 0;
    for records in records.chunks(batch) {
        for _ in 0..2 {
            let (new, passed_over) = record(&client, records).await.unwrap();
            assert_eq!((new + passed_over) as usize, records.len());
            recorded += new;
        }
    }
    recorded
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_sent_again_and_again_are_summed_exactly() {
    let (platform, client) = start().await;
    let (records, summary) = ten_thousand();
    let recorded = tokio::join!(send(client.clone(), &records, 1_000), send(client.clone(), &records, 333));
    assert_eq!(recorded.0 + recorded.1, 10_000);
    assert_eq!(testing::rows(&platform, &["usage_records"]).await.len(), 10_000);
    assert_eq!(sums(&client, &grouped(&[])).await, [summary]);
}

#[tokio::test]
async fn a_call_sent_again_while_it_is_being_done_waits_for_how_that_ends() {
    let (platform, client) = start().await;
    let pool = testing::pool(&platform);
    let insert = "insert into usage_records (workspace_id, id, request_id, team_id, agent_id, surface, event_type, model,
            provider, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time,
            create_time)
        values ('default', gen_random_uuid(), 'b', '', '', '', '', '', '', 0, 0, 0, 0, 0, '{}', now(), now())";
    for (is_done, counts) in [(false, (3, 0)), (true, (2, 1))] {
        sqlx::query("truncate usage_records").execute(&pool).await.unwrap();
        let mut first = pool.begin().await.unwrap();
        sqlx::query(insert).execute(&mut *first).await.unwrap();
        let records = ["a", "b", "c"].map(named);
        let end = async {
            testing::wait_for_waiting(&pool, 1).await;
            if is_done { first.commit().await.unwrap() } else { first.rollback().await.unwrap() }
        };
        assert_eq!(tokio::join!(record(&client, &records), end).0.unwrap(), counts);
        assert_eq!(testing::rows(&platform, &["usage_records"]).await.len(), 3);
    }
}

/// They take what they have in common in the same order, so that none waits for another that waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_overlap_in_other_orders_are_all_done() {
    let (platform, client) = start().await;
    for round in 0..6 {
        let forward: Vec<_> = (0..400).map(|number| named(format!("{round}/{number:03}"))).collect();
        let backward: Vec<_> = forward.iter().rev().cloned().collect();
        let calls = [&forward[..], &backward, &forward[200..], &forward].map(|records| record(&client, records));
        for answer in futures_util::future::join_all(calls).await {
            answer.unwrap();
        }
    }
    assert_eq!(testing::rows(&platform, &["usage_records"]).await.len(), 2_400);
}
