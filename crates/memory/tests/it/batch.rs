//! BatchStoreMemories: all or none, in the order of the requests.
use crate::support::{Client, batch, full, start, text};
use quire_proto::memory::v1::{BatchStoreMemoriesRequest, Memory, UpdateMemoryRequest};
use tonic::Status;
use uuid::Uuid;

const ID: &str = "abcdef00-8a3b-7c21-9d55-0242ac120002";

async fn send(client: &Client, request: BatchStoreMemoriesRequest) -> Result<Vec<String>, Status> {
    Ok(client.clone().batch_store_memories(request).await?.into_inner().ids)
}

/// Stores memories and skips existing ones.
async fn make_missing(client: &Client, memories: &[Memory]) -> Result<Vec<String>, Status> {
    send(client, BatchStoreMemoriesRequest { pass_over_existing: true, ..batch(memories) }).await
}

#[tokio::test]
async fn a_request_is_compared_with_the_current_memory() {
    let (_platform, client) = start().await;
    let memories = [full(ID, "a"), text("b")];
    let first = make_missing(&client, &memories).await.unwrap();
    // A request without an id creates a new memory each time.
    let again = make_missing(&client, &memories).await.unwrap();
    assert_eq!(again[0], first[0]);
    assert_ne!(again[1], first[1]);
    // An explicit default equals an omitted value.
    let left_out = Memory { id: first[1].clone(), ..text("b") };
    make_missing(&client, &[Memory { confidence: Some(1.0), ..left_out.clone() }, full(ID, "a")]).await.unwrap();
    make_missing(&client, &[left_out]).await.unwrap();
    // A changed memory differs from the request, until the change is reverted.
    for (content, is_refused) in [("z", true), ("a", false)] {
        let update = UpdateMemoryRequest { memory: Some(full(ID, content)), update_mask: None };
        client.clone().update_memory(update).await.unwrap();
        assert_eq!(make_missing(&client, &[full(ID, "a")]).await.is_err(), is_refused);
    }
}

#[tokio::test]
async fn the_largest_existing_contents_are_skipped_in_one_call() {
    let (_platform, client) = start().await;
    let memory = |number: u128| full(&Uuid::from_u128(number).to_string(), &"many words ".repeat(23_000));
    let large: Vec<_> = (0..60).map(memory).collect();
    for _ in 0..2 {
        assert_eq!(make_missing(&client, &large).await.unwrap().len(), 60);
    }
}
