//! Memories: defaults, concurrent updates, and pages of large memories.
use crate::support::{Client, ORDERS, by, full, list_in, make, recalled, start, store, text, there_and_back, words};
use quire_proto::{
    memory::v1::{DeleteMemoryRequest, ListMemoriesRequest, Memory, UpdateMemoryRequest},
    pagination::v1::PageRequest,
};
use tonic::Status;

async fn update(client: &Client, memory: Memory, mask: &[&str]) -> Result<Memory, Status> {
    let mut request = UpdateMemoryRequest { memory: Some(memory), ..Default::default() };
    request.update_mask.get_or_insert_default().paths = mask.iter().map(|&path| path.to_owned()).collect();
    Ok(client.clone().update_memory(request).await?.into_inner().memory.unwrap())
}

#[tokio::test]
async fn omitted_fields_are_empty_and_the_default_confidence_is_1() {
    let (_platform, client) = start().await;
    let made = store(&client, text("x")).await.unwrap();
    let Memory { id, etag, create_time, update_time, .. } = made.clone();
    assert_eq!(made, Memory { id, etag, create_time, update_time, confidence: Some(1.0), ..text("x") });
}

#[tokio::test]
async fn a_confidence_of_0_is_given_and_one_that_is_cleared_is_1() {
    let (_platform, client) = start().await;
    let id = store(&client, full("", "x")).await.unwrap().id;
    let zero = Memory { id: id.clone(), confidence: Some(0.0), ..Default::default() };
    let request = UpdateMemoryRequest { memory: Some(zero), update_mask: None };
    let zero = client.clone().update_memory(request).await.unwrap().into_inner().memory.unwrap();
    assert_eq!(zero.confidence, Some(0.0));
    let cleared = update(&client, Memory { id, ..Default::default() }, &["confidence"]).await.unwrap();
    assert_eq!(cleared.confidence, Some(1.0));
}

#[tokio::test]
async fn updates_and_deletes_take_effect_in_recall() {
    let (_platform, client) = start().await;
    let ids = make(&client, "default", &["green tea", "black tea", "white tea"].map(text)).await;
    update(&client, Memory { id: ids[0].clone(), ..text("cocoa") }, &["content"]).await.unwrap();
    client.clone().delete_memory(DeleteMemoryRequest { id: ids[1].clone() }).await.unwrap();
    assert_eq!(recalled(&client, &words("tea")).await, ["white tea"]);
    assert_eq!(recalled(&client, &words("cocoa")).await, ["cocoa"]);
}

#[tokio::test]
async fn a_page_of_a_list_stays_below_the_limit_of_clients() {
    let (_platform, client) = start().await;
    // All other fields have their maximum size.
    let large = |bytes: usize| Memory {
        r#type: "x".repeat(64),
        source: "x".repeat(256),
        user_id: "x".repeat(128),
        team_id: "x".repeat(128),
        project_id: "x".repeat(128),
        repository: "x".repeat(256),
        agent: "x".repeat(256),
        tags: (0..32).map(|tag| format!("{tag:064}")).collect(),
        metadata: (0..64).map(|key| (format!("{key:064}"), "x".repeat(64))).collect(),
        ..full("", &"x".repeat(bytes))
    };
    for (workspace, bytes, lengths) in
        [("small", 1, [200, 10]), ("middling", 17_000, [125, 85]), ("large", 256 << 10, [13, 7])]
    {
        let memories = vec![large(bytes); lengths.iter().sum()];
        for memories in memories.chunks(50) {
            make(&client, workspace, memories).await;
        }
        for order_by in ORDERS {
            let fetch = async |page: PageRequest| {
                list_in(&client, workspace, &ListMemoriesRequest { page: Some(page), ..by(order_by) }).await.unwrap()
            };
            let pages = there_and_back(200, fetch).await;
            assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), lengths, "{workspace} by {order_by}");
        }
    }
}

#[tokio::test]
async fn a_skip_needs_filters_that_an_index_serves() {
    let (_platform, client) = start().await;
    let a = || Some("a".to_owned());
    let request = ListMemoriesRequest::default;
    let agent = || ListMemoriesRequest { agent: a(), ..request() };
    let requests = [
        (agent(), "create_time", true),
        (ListMemoriesRequest { user_id: a(), ..request() }, "create_time desc", true),
        (ListMemoriesRequest { project_id: a(), ..request() }, "create_time", true),
        (agent(), "update_time desc", false),
        (ListMemoriesRequest { user_id: a(), ..agent() }, "create_time", false),
        (ListMemoriesRequest { policy: Some(true), ..request() }, "create_time", false),
    ];
    for (request, order_by, is_served) in requests {
        let page = Some(PageRequest { skip: 1, ..Default::default() });
        let request = ListMemoriesRequest { page, order_by: order_by.into(), ..request };
        let refused = list_in(&client, "default", &request).await.err();
        let refused = refused.map(|status| status.message().starts_with("page.skip: must be 0 with "));
        assert_eq!(refused, (!is_served).then_some(true), "{request:?}");
    }
}
