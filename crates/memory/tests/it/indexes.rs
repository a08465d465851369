//! Every statement of the service finds its rows by an index in large tables.
use memory::SERVICE;
use platform::{
    Sweeper,
    testing::{Many, id},
};

/// 20,000 memories in five workspaces that share their words, and 12,000 in another workspace.
const SEED: [&str; 6] = [
    // Reads by autovacuum would be counted as reads by the calls.
    "alter table memories set (autovacuum_enabled = off)",
    "insert into memories (workspace_id, id, scope, content, type, source, confidence, pinned, policy, user_id, team_id,
        project_id, repository, agent, tags, metadata, etag, create_time, update_time)
    select 'w' || n % 5, lpad(to_hex(n / 5 + 1), 32, '0')::uuid, 'user',
        'common' || case when n % 200 < 5 then ' rare' else '' end || ' words ' || repeat('and more ', 40), '', '', 1, false,
        false, 'user ' || n % 7, '', 'project ' || n % 7, '', 'agent ' || n % 7, '{}', '{}', gen_random_uuid(),
        timestamptz '2026-01-01' + n * interval '1 s', timestamptz '2026-01-01' + n % 977 * interval '1 s'
    from generate_series(0, 19999) as n",
    "insert into memories (workspace_id, id, scope, content, type, source, confidence, pinned, policy, user_id, team_id,
        project_id, repository, agent, tags, metadata, etag, create_time, update_time)
    select 'plenty', gen_random_uuid(), 'user', 'common words', '', '', 1, false, false, '', '', '', '', '', '{}', '{}',
        gen_random_uuid(), now(), now()
    from generate_series(1, 12000) as n",
    "update memories set words = search, words_etag = etag",
    "vacuum memories",
    "analyze",
];

#[tokio::test]
async fn no_call_scans_a_table() {
    let by_id = |number| vec![format!(r#"{{"id": "{}"}}"#, id(number))];
    let memory = |id: &str, content: &str| {
        format!(r#"{{"memory": {{"id": "{id}", "scope": "MEMORY_SCOPE_USER", "content": "{content}"}}}}"#)
    };
    let batch = |ids: std::ops::Range<u128>, flag| {
        let requests: Vec<_> = ids.map(|number| memory(&id(number), &format!("content {number}"))).collect();
        format!(r#"{{"requests": [{}], "pass_over_existing": {flag}}}"#, requests.join(", "))
    };
    let calls = vec![
        ("StoreMemory", 4, vec![memory("", "new"), memory(&id(2_000), "new")]),
        ("GetMemory", 1, by_id(2_000)),
        ("UpdateMemory", 4, vec![memory(&id(2_001), "changed"), memory(&id(9_999), "changed")]),
        ("DeleteMemory", 1, by_id(2_002)),
        // Each memory is inserted into eight indexes, two of them with an entry for each word, and the index pages on the path count.
        ("BatchStoreMemories", 4_000, vec![batch(5_001..6_001, false), batch(3_000..4_000, false)]),
        ("BatchStoreMemories", 1_000, vec![batch(5_001..6_001, true)]),
    ];
    Many::new(&SEED).await.assert_calls(&SERVICE, "w1", calls).await;
}

#[tokio::test]
async fn no_list_scans_a_table() {
    let page = |more: &str| format!(r#"{{"page": {{"page_size": 10}}, {more}}}"#);
    let by = |order_by: &str| format!(r#""order_by": "{order_by}""#);
    let recall = |query: &str, filter: &str| vec![page(&format!(r#""query": {query:?}{filter}"#))];
    let mut calls = Vec::new();
    for order_by in ["create_time desc", "create_time", "update_time desc"] {
        calls.push(("ListMemories", 22, vec![page(&by(order_by))]));
    }
    for (filter, value) in [("agent", "agent 1"), ("user_id", "user 1"), ("project_id", "project 1")] {
        for order_by in ["create_time desc", "create_time"] {
            calls.push(("ListMemories", 22, vec![page(&format!(r#"{}, "{filter}": "{value}""#, by(order_by)))]));
        }
        calls.push(("RecallMemories", 200, recall("rare", &format!(r#", "{filter}": "{value}""#))));
    }
    // A page examines at most 2,000 rows for a tag that no memory has.
    calls.push(("ListMemories", 4_000, vec![page(r#""tag": "none""#)]));
    // A hundred memories in each workspace match. Each page reads these, and none of another workspace.
    calls.push(("RecallMemories", 200, recall("rare words", "")));
    calls.push(("RecallMemories", 200, recall("rare", r#", "pinned": false"#)));
    // Queries that match many memories.
    for query in ["common", "\"common words\"", "common -rare", "-rare", "rare or -common"] {
        calls.push(("RecallMemories", 8_000, recall(query, "")));
    }
    let many = Many::new(&SEED).await;
    many.assert_calls(&SERVICE, "w1", calls).await;
    // More memories match than a query examines.
    many.assert_calls(&SERVICE, "plenty", vec![("RecallMemories", 20_000, recall("common words", ""))]).await;
}

#[tokio::test]
async fn no_sweep_scans_a_table() {
    // A few memories that an earlier release has written.
    let written = "update memories set etag = gen_random_uuid() where create_time < timestamptz '2026-01-01 00:05'";
    let seed = [SEED[0], SEED[1], SEED[3], SEED[4], written, "vacuum full memories", "analyze memories"];
    // Each of them is read four times, and written to every index.
    Many::new(&seed)
        .await
        .assert_reads("a sweep", 1_300, async |platform| {
            let sweeps = (SERVICE.open)(platform).await.unwrap().sweeps;
            assert_eq!(Sweeper::new(platform.database.clone(), sweeps).turn().await.unwrap(), Some(300));
        })
        .await;
}
