//! Every statement of the service finds its rows by an index, however many rows there are.
use crate::support::{ORDERS, batch, by, from, list_in, page, recall_in, start_on, store_in, text, words};
use platform::testing::{Many, id};
use quire_proto::memory::v1::{
    BatchStoreMemoriesRequest, DeleteMemoryRequest, GetMemoryRequest, ListMemoriesRequest, Memory,
    RecallMemoriesRequest, UpdateMemoryRequest,
};

/// 20,000 memories in five workspaces, which have their words in common, and 12,000 in another.
const SEED: [&str; 4] = [
    // What vacuum reads would be taken for what the calls read.
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
    "analyze",
];

#[tokio::test]
async fn no_call_about_one_memory_scans_a_table() {
    let many = Many::new(&SEED).await;
    many.assert_reads("StoreMemory", 4, async |platform| {
        let client = start_on(platform).await;
        store_in(&client, "w1", text("new")).await.unwrap();
        store_in(&client, "w1", Memory { id: id(2_000), ..text("new") }).await.unwrap_err();
    })
    .await;
    many.assert_reads("GetMemory", 1, async |platform| {
        let mut client = start_on(platform).await;
        client.get_memory(from("w1", GetMemoryRequest { id: id(2_000) })).await.unwrap();
    })
    .await;
    many.assert_reads("UpdateMemory", 4, async |platform| {
        let mut client = start_on(platform).await;
        let change = |id| UpdateMemoryRequest { memory: Some(Memory { id, ..text("changed") }), update_mask: None };
        client.update_memory(from("w1", change(id(2_001)))).await.unwrap();
        client.update_memory(from("w1", change(id(9_999)))).await.unwrap_err();
    })
    .await;
    many.assert_reads("DeleteMemory", 1, async |platform| {
        let mut client = start_on(platform).await;
        client.delete_memory(from("w1", DeleteMemoryRequest { id: id(2_002) })).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn no_batch_scans_a_table() {
    let many = Many::new(&SEED).await;
    let memories = |ids: std::ops::Range<u128>| {
        let memory = |number| Memory { id: id(number), ..text(format!("content {number}")) };
        batch(&ids.map(memory).collect::<Vec<_>>())
    };
    // Each is put in its place in seven indexes, and the pages on the way there count.
    many.assert_reads("BatchStoreMemories", 3_000, async |platform| {
        let mut client = start_on(platform).await;
        client.batch_store_memories(from("w1", memories(5_001..6_001))).await.unwrap();
        client.batch_store_memories(from("w1", memories(3_000..4_000))).await.unwrap_err();
    })
    .await;
    many.assert_reads("BatchStoreMemories that passes over 1,000", 1_000, async |platform| {
        let mut client = start_on(platform).await;
        let request = BatchStoreMemoriesRequest { pass_over_existing: true, ..memories(5_001..6_001) };
        client.batch_store_memories(from("w1", request)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn no_list_scans_a_table() {
    let many = Many::new(&SEED).await;
    let value = |text: &str| Some(text.to_owned());
    let mut requests: Vec<_> = ORDERS.map(by).into();
    for order_by in &ORDERS[..2] {
        requests.push(ListMemoriesRequest { agent: value("agent 1"), ..by(order_by) });
        requests.push(ListMemoriesRequest { user_id: value("user 1"), ..by(order_by) });
        requests.push(ListMemoriesRequest { project_id: value("project 1"), ..by(order_by) });
    }
    for request in requests {
        many.assert_reads("ListMemories", 22, async |platform| {
            let client = start_on(platform).await;
            let first = ListMemoriesRequest { page: page(10, ""), ..request.clone() };
            let token = list_in(&client, "w1", &first).await.unwrap().1.next_page_token;
            let second = ListMemoriesRequest { page: page(10, &token), ..request.clone() };
            assert_eq!(list_in(&client, "w1", &second).await.unwrap().0.len(), 10);
        })
        .await;
    }
    // At most 2,000 rows are looked at for a tag that none has.
    many.assert_reads("ListMemories with a tag", 2_000, async |platform| {
        let client = start_on(platform).await;
        let request = ListMemoriesRequest { page: page(10, ""), tag: value("none"), ..by("") };
        list_in(&client, "w1", &request).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn no_recall_scans_a_table() {
    let many = Many::new(&SEED).await;
    let request = |query, token: &str| RecallMemoriesRequest { page: page(10, token), ..words(query) };
    // A hundred memories in each workspace have it: as many are read for each page, and none of another workspace.
    many.assert_reads("RecallMemories", 200, async |platform| {
        let client = start_on(platform).await;
        let token = recall_in(&client, "w1", &request("rare words", "")).await.unwrap().1.next_page_token;
        assert_eq!(recall_in(&client, "w1", &request("rare words", &token)).await.unwrap().0.len(), 10);
    })
    .await;
    for filtered in [
        RecallMemoriesRequest { agent: Some("agent 1".into()), ..request("rare", "") },
        RecallMemoriesRequest { user_id: Some("user 1".into()), ..request("rare", "") },
        RecallMemoriesRequest { project_id: Some("project 1".into()), ..request("rare", "") },
        RecallMemoriesRequest { pinned: Some(false), ..request("rare", "") },
    ] {
        many.assert_reads("RecallMemories with a filter", 100, async |platform| {
            let client = start_on(platform).await;
            assert_eq!(recall_in(&client, "w1", &filtered).await.unwrap().0.len(), 10);
        })
        .await;
    }
    // What many have, and what few have not.
    for query in ["common", "\"common words\"", "common -rare", "-rare", "rare or -common"] {
        many.assert_reads("RecallMemories of many", 4_000, async |platform| {
            let client = start_on(platform).await;
            assert_eq!(recall_in(&client, "w1", &request(query, "")).await.unwrap().0.len(), 10, "{query}");
        })
        .await;
    }
    many.assert_reads("RecallMemories of more than are looked at", 10_000, async |platform| {
        let client = start_on(platform).await;
        assert_eq!(recall_in(&client, "plenty", &request("common words", "")).await.unwrap().0.len(), 10);
    })
    .await;
}
