//! BatchStoreMemories: all or none, in the order of the requests.
use crate::support::{Client, batch, by, full, get, make, start, store, text, told, walk};
use platform::testing;
use quire_proto::memory::v1::{BatchStoreMemoriesRequest, Memory, MemoryScope, UpdateMemoryRequest};
use tonic::{Code, Status};
use uuid::Uuid;

const ID: &str = "abcdef00-8a3b-7c21-9d55-0242ac120002";
const OTHER_ID: &str = "abcdef00-8a3b-7c21-9d55-0242ac120003";

async fn send(client: &Client, request: BatchStoreMemoriesRequest) -> Result<Vec<String>, Status> {
    Ok(client.clone().batch_store_memories(request).await?.into_inner().ids)
}

async fn refusal(client: &Client, memories: &[Memory]) -> String {
    told(&send(client, batch(memories)).await.unwrap_err())
}

/// Asks for memories of which those that exist are passed over.
async fn make_missing(client: &Client, memories: &[Memory]) -> Result<Vec<String>, Status> {
    send(client, BatchStoreMemoriesRequest { pass_over_existing: true, ..batch(memories) }).await
}

#[tokio::test]
async fn a_thousand_are_made_at_once_and_answered_in_the_order_of_the_requests() {
    let (platform, client) = start().await;
    let memory = |place: usize| match place % 3 {
        0 => full(&Uuid::from_u128(place as u128 * 7_919 % 10_007).to_string(), &format!("content {place}")),
        _ => text(format!("content {place}")),
    };
    let asked: Vec<_> = (0..1_000).map(memory).collect();
    let ids = make(&client, "default", &asked).await;
    assert_eq!((ids.len(), testing::rows(&platform, &["memories"]).await.len()), (1_000, 1_000));
    for place in [0, 1, 499, 500, 998, 999] {
        let kept = get(&client, &ids[place]).await.unwrap();
        assert_eq!(kept.content, asked[place].content);
        assert_eq!(kept.update_time, kept.create_time);
    }
    let Memory { id, etag, create_time, update_time, .. } = get(&client, &ids[999]).await.unwrap();
    let expected = Memory { etag, create_time, update_time, ..asked[999].clone() };
    assert_eq!(get(&client, &id).await.unwrap(), expected);
}

#[tokio::test]
async fn one_that_is_wrong_keeps_all_from_being_made() {
    let (platform, client) = start().await;
    store(&client, full(ID, "there")).await.unwrap();
    let before = testing::rows(&platform, &["memories"]).await;
    let wrong = [
        vec![],
        vec![text("x"); 1_001],
        vec![text("x"), text(""), Memory { confidence: Some(2.0), ..text("x") }, Memory { scope: 0, ..text("x") }],
        vec![text("x"), text("y"), full(ID, "there")],
        vec![full(OTHER_ID, "a"), text("b"), full(&OTHER_ID.to_uppercase(), "c")],
        vec![
            full("x", "a"),
            full("00000000-0000-0000-0000-000000000000", "b"),
            full("00000000-0000-0000-0000-000000000000", "c"),
        ],
    ];
    let mut answers = String::new();
    for memories in wrong {
        answers += &format!("{}\n", refusal(&client, &memories).await);
    }
    insta::assert_snapshot!(answers, @r#"
    InvalidArgument: requests: must be 1 to 1000; there are 0
      requests: must be 1 to 1000; there are 0
    InvalidArgument: requests: must be 1 to 1000; there are 1001
      requests: must be 1 to 1000; there are 1001
    InvalidArgument: requests[1].memory.content: must have 1 to 262144 bytes; it has 0; requests[2].memory.confidence: must be 0 to 1; requests[3].memory.scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT
      requests[1].memory.content: must have 1 to 262144 bytes; it has 0
      requests[2].memory.confidence: must be 0 to 1
      requests[3].memory.scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT
    AlreadyExists: memory.v1.Memory with requests[2].memory.id "abcdef00-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "requests[2].memory.id"}
      memory.v1.Memory "abcdef00-8a3b-7c21-9d55-0242ac120002"
    InvalidArgument: requests[2].memory.id: must not be that of another request of the batch
      requests[2].memory.id: must not be that of another request of the batch
    InvalidArgument: requests[2].memory.id: must not be that of another request of the batch; requests[0].memory.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      requests[2].memory.id: must not be that of another request of the batch
      requests[0].memory.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    "#);
    assert_eq!(testing::rows(&platform, &["memories"]).await, before);
}

#[tokio::test]
async fn what_exists_as_asked_for_is_passed_over() {
    let (platform, client) = start().await;
    let memories = [full(ID, "a"), Memory { id: OTHER_ID.into(), ..text("b") }, text("c")];
    let first = make_missing(&client, &memories[..2]).await.unwrap();
    assert_eq!(first, [ID, OTHER_ID]);
    // What another workspace has is not what exists.
    make(&client, "other", &[full(ID, "z"), full(OTHER_ID, "z")]).await;
    let before = testing::rows(&platform, &["memories"]).await;
    assert_eq!(before.len(), 4);

    // Again: in capitals, with the default said, in another order.
    let again = [
        Memory { id: OTHER_ID.to_uppercase(), confidence: Some(1.0), etag: "not read".into(), ..text("b") },
        full(ID, "a"),
    ];
    assert_eq!(make_missing(&client, &again).await.unwrap(), [OTHER_ID, ID]);
    assert_eq!(testing::rows(&platform, &["memories"]).await, before);
    // Without the flag they are in the way.
    assert_eq!(send(&client, batch(&again)).await.unwrap_err().code(), Code::AlreadyExists);

    // A request without an id always makes a memory.
    let ids = make_missing(&client, &memories).await.unwrap();
    assert_eq!(ids[..2], [ID, OTHER_ID]);
    assert_ne!(make_missing(&client, &memories).await.unwrap()[2], ids[2]);
    assert_eq!(walk(&client, &by("")).await.len(), 4);

    // One that was changed and changed back is again as asked for.
    let update = UpdateMemoryRequest { memory: Some(full(ID, "z")), update_mask: None };
    client.clone().update_memory(update).await.unwrap();
    assert_eq!(make_missing(&client, &again).await.unwrap_err().code(), Code::AlreadyExists);
    let update = UpdateMemoryRequest { memory: Some(full(ID, "a")), update_mask: None };
    client.clone().update_memory(update).await.unwrap();
    make_missing(&client, &again).await.unwrap();
}

#[tokio::test]
async fn what_exists_otherwise_than_asked_for_is_in_the_way() {
    let (platform, client) = start().await;
    make_missing(&client, &[full(ID, "a")]).await.unwrap();
    let before = testing::rows(&platform, &["memories"]).await;
    let changes: [fn(&mut Memory); 17] = [
        |memory| memory.scope = MemoryScope::User.into(),
        |memory| memory.content = "b".into(),
        |memory| memory.content.push(' '),
        |memory| memory.r#type.clear(),
        |memory| memory.source.clear(),
        |memory| memory.confidence = None,
        |memory| memory.pinned = false,
        |memory| memory.policy = false,
        |memory| memory.user_id.clear(),
        |memory| memory.team_id.clear(),
        |memory| memory.project_id.clear(),
        |memory| memory.repository.clear(),
        |memory| memory.agent.clear(),
        |memory| memory.tags.reverse(),
        |memory| memory.tags.truncate(1),
        |memory| drop(memory.metadata.pop_first()),
        |memory| memory.metadata.values_mut().for_each(|value| value.push('x')),
    ];
    let mut answers = Vec::new();
    for change in changes {
        let mut memory = full(ID, "a");
        change(&mut memory);
        answers.push(told(&make_missing(&client, &[text("new"), text("newer"), memory]).await.unwrap_err()));
    }
    assert_eq!(answers.len(), 17);
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @r#"
    AlreadyExists: memory.v1.Memory with requests[2].memory.id "abcdef00-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "requests[2].memory.id"}
      memory.v1.Memory "abcdef00-8a3b-7c21-9d55-0242ac120002"
    "#);
    assert_eq!(testing::rows(&platform, &["memories"]).await, before);
}

/// They take what they have in common in the same order, so that none waits for another that waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_overlap_in_other_orders_are_all_done() {
    let (platform, client) = start().await;
    for round in 0..6_u128 {
        let memory = |number: u128| full(&Uuid::from_u128(round << 64 | number).to_string(), "x");
        let forward: Vec<_> = (0..400).map(memory).collect();
        let batches = [forward.clone(), forward.iter().rev().cloned().collect(), forward[200..].to_vec(), forward];
        let answers = batches.map(|memories| {
            let client = client.clone();
            async move { make_missing(&client, &memories).await }
        });
        for answer in futures_util::future::join_all(answers).await {
            answer.unwrap();
        }
    }
    assert_eq!(testing::rows(&platform, &["memories"]).await.len(), 2_400);
}

#[tokio::test]
async fn the_largest_contents_that_exist_are_passed_over_in_one_call() {
    let (_platform, client) = start().await;
    let memory = |number: u128| full(&Uuid::from_u128(number).to_string(), &"many words ".repeat(23_000));
    let large: Vec<_> = (0..60).map(memory).collect();
    for _ in 0..2 {
        assert_eq!(make_missing(&client, &large).await.unwrap().len(), 60);
    }
}
