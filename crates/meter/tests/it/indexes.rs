//! Every statement of the service finds its rows by an index in large tables.
use meter::SERVICE;
use platform::testing::Many;

/// 20,000 usage records in four workspaces. The records of a workspace are a second apart.
const SEED: [&str; 3] = [
    // Reads by autovacuum would be counted as reads by the calls.
    "alter table usage_records set (autovacuum_enabled = off)",
    "insert into usage_records (workspace_id, id, request_id, team_id, agent_id, surface, event_type, model, provider,
        input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd, metadata, occur_time, create_time)
    select 'w' || n % 4, gen_random_uuid(), n / 4, 'team ' || n % 7, 'agent ' || n % 11, '', '', 'model ' || n % 3, '', 0, 0, 0,
        0, 0.5, '{}', timestamptz '2026-01-01 UTC' + n / 4 * interval '1 s', now()
    from generate_series(0, 19999) as n",
    "analyze",
];

#[tokio::test]
async fn no_call_scans_a_table() {
    // The records with these numbers in the workspace `w1`. The first 5,000 exist.
    let batch = |numbers: std::ops::Range<u32>| {
        let record = |number: u32| {
            let n = number * 4 + 1;
            format!(
                r#"{{"request_id": "{number}", "team_id": "team {}", "agent_id": "agent {}", "model": "model {}",
                    "cost_usd": "0.5"}}"#,
                n % 7,
                n % 11,
                n % 3
            )
        };
        format!(r#"{{"records": [{}]}}"#, numbers.map(record).collect::<Vec<_>>().join(", "))
    };
    let different = r#"{"records": [{"request_id": "2000"}]}"#.to_owned();
    let page = |more: &str| format!(r#"{{"page": {{"page_size": 10}}{more}}}"#);
    let range =
        |from, to| format!(r#", "start_time": "2026-01-01T00:{from}:00Z", "end_time": "2026-01-01T00:{to}:00Z""#);
    let [agent, team, model] =
        [r#", "agent_id": "agent 1""#, r#", "team_id": "team 1""#, r#", "model": "model 1""#].map(str::to_owned);
    let filters = [String::new(), agent.clone(), team.clone(), model.clone(), range(20, 50), range(20, 50) + &agent];
    let orders = |filter: &String| {
        ["occur_time desc", "occur_time"].map(|order| page(&format!(r#"{filter}, "order_by": "{order}""#)))
    };
    let groups = r#", "group_by": ["USAGE_DIMENSION_TEAM", "USAGE_DIMENSION_AGENT"]"#;
    let sums = |filter: &str| vec![page(&(range(20, 23) + groups + filter))];
    let mut calls = vec![
        // Each inserted record reads some pages of six indexes.
        ("RecordUsage", 200, vec![batch(5_000..5_100), different]),
        ("RecordUsage", 200, vec![batch(4_900..5_100)]),
        ("RecordUsage", 2_000, vec![batch(2_000..3_000)]),
        // A page examines at most 2,000 rows for a provider without records.
        ("ListUsage", 4_000, vec![page(r#", "provider": "x""#)]),
        // Each page reads only the records in the range, of the workspace's 5,000.
        ("SummarizeUsage", 400, sums("")),
    ];
    calls.extend(filters.iter().map(|filter| ("ListUsage", 44, orders(filter).into())));
    // Each reads the records of one agent, or the records of all agents in the time range.
    calls.extend([agent, team, model].iter().map(|filter| ("SummarizeUsage", 200, sums(filter))));
    Many::new(&SEED).await.assert_calls(&SERVICE, "w1", calls).await;
}
