//! Every statement of the service finds its rows by an index, however many rows there are.
use crate::support::{ORDERS, at, by, costing, grouped, list_in, named, page, record_in, start_on, summarize_in};
use platform::testing::Many;
use quire_proto::meter::v1::{ListUsageRequest, SummarizeUsageRequest, UsageDimension, UsageRecord};

/// 20,000 uses in five workspaces, each workspace's a second apart.
const SEED: [&str; 3] = [
    // What vacuum reads would be taken for what the calls read.
    "alter table usage_records set (autovacuum_enabled = off)",
    "insert into usage_records (workspace_id, id, request_id, team_id, agent_id, surface, event_type, model, provider,
        input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time, create_time)
    select 'w' || n % 5, gen_random_uuid(), n / 5, 'team ' || n % 7, 'agent ' || n % 11, '', '', 'model ' || n % 3, '', 0, 0, 0,
        0, 0.5, '{}', timestamptz '2026-01-01 UTC' + n / 5 * interval '1 s', now()
    from generate_series(0, 19999) as n",
    "analyze",
];

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn no_record_scans_a_table() {
    let many = Many::new(&SEED).await;
    let there = |number: i64| UsageRecord {
        team_id: format!("team {}", (number * 5 + 1) % 7),
        agent_id: format!("agent {}", (number * 5 + 1) % 11),
        model: format!("model {}", (number * 5 + 1) % 3),
        occur_time: at(number),
        ..costing(number.to_string(), "0.5")
    };
    // Each that is written looks at some pages of six indexes.
    many.assert_reads("RecordUsage", 200, async |platform| {
        let client = start_on(platform).await;
        let new: Vec<_> = (0..100).map(|number| named(format!("new {number}"))).collect();
        assert_eq!(record_in(&client, "w1", &new).await.unwrap(), (100, 0));
        // One that exists is looked for.
        record_in(&client, "w1", &[named("2000")]).await.unwrap_err();
    })
    .await;
    many.assert_reads("RecordUsage that passes over some", 200, async |platform| {
        let client = start_on(platform).await;
        let records: Vec<_> = (3_900..4_100).map(there).collect();
        assert_eq!(record_in(&client, "w1", &records).await.unwrap(), (100, 100));
    })
    .await;
    many.assert_reads("RecordUsage that passes over 1,000", 2_000, async |platform| {
        let client = start_on(platform).await;
        let records: Vec<_> = (2_000..3_000).map(there).collect();
        assert_eq!(record_in(&client, "w1", &records).await.unwrap(), (0, 1_000));
    })
    .await;
}

#[tokio::test]
async fn no_list_scans_a_table() {
    let many = Many::new(&SEED).await;
    let requests = [
        by(""),
        ListUsageRequest { agent_id: text("agent 1"), ..by("") },
        ListUsageRequest { team_id: text("team 1"), ..by("") },
        ListUsageRequest { model: text("model 1"), ..by("") },
        ListUsageRequest { start_time: at(1_000), end_time: at(3_000), ..by("") },
        ListUsageRequest { agent_id: text("agent 1"), start_time: at(1_000), end_time: at(3_000), ..by("") },
    ];
    for request in requests {
        many.assert_reads(&format!("ListUsage {request:?}"), 44, async |platform| {
            let client = start_on(platform).await;
            for order_by in ORDERS {
                let at =
                    |token| ListUsageRequest { page: page(10, token), order_by: order_by.into(), ..request.clone() };
                let (_, first) = list_in(&client, "w1", &at("")).await.unwrap();
                assert_eq!(list_in(&client, "w1", &at(&first.next_page_token)).await.unwrap().0.len(), 10);
            }
        })
        .await;
    }
    // At most 2,000 rows are looked at for what nobody provides.
    many.assert_reads("ListUsage of a provider", 2_000, async |platform| {
        let client = start_on(platform).await;
        let request = ListUsageRequest { provider: text("x"), page: page(10, ""), ..by("") };
        assert_eq!(list_in(&client, "w1", &request).await.unwrap().0, []);
    })
    .await;
}

#[tokio::test]
async fn no_sum_scans_a_table() {
    let many = Many::new(&SEED).await;
    let range = || SummarizeUsageRequest {
        start_time: at(1_000),
        end_time: at(1_200),
        ..grouped(&[UsageDimension::Team, UsageDimension::Agent])
    };
    // Of the workspace's 4,000 uses, those of the range, once for each page.
    many.assert_reads("SummarizeUsage", 400, async |platform| {
        let client = start_on(platform).await;
        let at = |token| SummarizeUsageRequest { page: page(10, token), ..range() };
        let (_, first) = summarize_in(&client, "w1", &at("")).await.unwrap();
        assert_eq!(summarize_in(&client, "w1", &at(&first.next_page_token)).await.unwrap().0.len(), 10);
    })
    .await;
    let of_one = [
        SummarizeUsageRequest { agent_id: text("agent 1"), ..range() },
        SummarizeUsageRequest { team_id: text("team 1"), ..range() },
        SummarizeUsageRequest { model: text("model 1"), ..range() },
    ];
    for request in of_one {
        // Those of one agent, or by time those of all.
        many.assert_reads(&format!("SummarizeUsage {request:?}"), 200, async |platform| {
            let client = start_on(platform).await;
            assert!(!summarize_in(&client, "w1", &request).await.unwrap().0.is_empty());
        })
        .await;
    }
}
