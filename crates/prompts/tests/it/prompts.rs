//! Prompts: how they are stored, what is deleted with them, and concurrent updates.
use std::time::{Duration, UNIX_EPOCH};

use crate::support::{Client, add, assign, from, get, label, make, one, start, start_on, text, with};
use futures_util::future::join_all;
use platform::{Platform, testing};
use quire_proto::{
    pagination::v1::PageRequest,
    prompts::v1::{
        CreatePromptRequest, DeletePromptRequest, ListPromptsRequest, Prompt, PromptVersion, UpdatePromptRequest,
    },
};
use tonic::{Code, Status};
use uuid::Uuid;

/// A prompt with every mutable field set.
fn full(name: &str) -> Prompt {
    Prompt {
        name: name.into(),
        surface: "chat".into(),
        tags: vec!["z".into(), "a".into()],
        metadata: [("team".into(), "web".into()), ("tier".into(), "1".into())].into(),
        ..Default::default()
    }
}

async fn update(client: &Client, prompt: Prompt, mask: &[&str]) -> Result<Prompt, Status> {
    let mut request = UpdatePromptRequest { prompt: Some(prompt), ..Default::default() };
    request.update_mask.get_or_insert_default().paths = mask.iter().map(|&path| path.to_owned()).collect();
    Ok(client.clone().update_prompt(request).await?.into_inner().prompt.unwrap())
}

async fn list(client: &Client, request: ListPromptsRequest) -> Result<Vec<Prompt>, Status> {
    Ok(client.clone().list_prompts(request).await?.into_inner().prompts)
}

#[tokio::test]
async fn a_new_prompt_and_its_version_1_are_returned_as_stored() {
    let platform = Platform {
        clock: platform::Clock::new(|| UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789)),
        ids: testing::counting(),
        ..testing::platform().await
    };
    let client = start_on(&platform).await;
    let content = "Hello {{ name }}, {{user.first-name}} and {{name}}".to_owned();
    let version = PromptVersion { content, model: "m-1".into(), author: "ada".into(), ..Default::default() };
    let request = CreatePromptRequest { prompt: Some(full("greeting")), version: Some(version.clone()) };
    let made = client.clone().create_prompt(request).await.unwrap().into_inner();
    let id = Uuid::from_u128(1).to_string();
    // Times are truncated to microseconds, the precision of the database.
    let create_time = made.prompt.as_ref().unwrap().create_time;
    assert_eq!(create_time.map(|time| (time.seconds, time.nanos)), Some((1_700_000_000, 123_456_000)));
    let etag = Uuid::from_u128(2).to_string();
    let prompt =
        Prompt { id: id.clone(), latest_version: 1, etag, create_time, update_time: create_time, ..full("greeting") };
    assert_eq!(made.prompt, Some(prompt));
    let content_hash = made.version.as_ref().unwrap().content_hash.clone();
    let hash = content_hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    insta::assert_snapshot!(hash, @"10d908fb6f58c496f160328588578de9f006d60129b39cbf8b6ad8c9b6228ab2");
    let variables = vec!["name".into(), "user.first-name".into()];
    let version = PromptVersion { prompt_id: id, version: 1, variables, content_hash, create_time, ..version };
    assert_eq!(made.version, Some(version));
}

#[tokio::test]
async fn versions_and_labels_are_deleted_with_the_prompt_but_deployments_are_not() {
    let (platform, client) = start().await;
    let ids = [Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string()];
    for (workspace, id) in [("ours", &ids[0]), ("ours", &ids[1]), ("theirs", &ids[0])] {
        make(&client, workspace, &[with(Prompt { id: id.clone(), ..full(id) })]).await;
        add(&client, workspace, text(id, "2")).await.unwrap();
        for version in [1, 2] {
            assign(&client, workspace, label(id, &format!("label {version}"), version)).await.unwrap();
        }
    }
    client.clone().delete_prompt(from("ours", DeletePromptRequest { id: ids[0].clone() })).await.unwrap();
    let sql = "
        select (select count(*) from prompt_versions where workspace_id = $1 and prompt_id = $2),
            (select count(*) from labels where workspace_id = $1 and prompt_id = $2),
            (select count(*) from deployments where workspace_id = $1 and prompt_id = $2)";
    let parts = async |workspace: &str, id: u128| -> (i64, i64, i64) {
        let query = sqlx::query_as(sql).bind(workspace).bind(Uuid::from_u128(id));
        query.fetch_one(&testing::pool(&platform)).await.unwrap()
    };
    assert_eq!(parts("ours", 1).await, (0, 0, 2));
    assert_eq!(parts("ours", 2).await, (2, 2, 2));
    assert_eq!(parts("theirs", 1).await, (2, 2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_updates_with_one_etag_one_succeeds() {
    let (_platform, client) = start().await;
    for round in 0..5 {
        let Prompt { id, etag, .. } = one(&client, &format!("x{round}")).await;
        let change = |place: usize| {
            let prompt = Prompt { id: id.clone(), etag: etag.clone(), ..full(&place.to_string()) };
            update(&client, prompt, &["name"])
        };
        let (won, lost): (Vec<_>, Vec<_>) = join_all((0..20).map(change)).await.into_iter().partition(Result::is_ok);
        let won: Vec<_> = won.into_iter().map(Result::unwrap).collect();
        assert_eq!(won, [get(&client, &id).await.unwrap()]);
        assert!(lost.into_iter().all(|lost| lost.unwrap_err().code() == Code::Aborted));
        client.clone().delete_prompt(DeletePromptRequest { id }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_updates_of_different_fields_are_all_kept() {
    let (_platform, client) = start().await;
    for round in 0..10 {
        let before = one(&client, &format!("before {round}")).await;
        let asked = Prompt { id: before.id.clone(), ..full(&format!("after {round}")) };
        let masks = [["name"], ["surface"], ["tags"], ["metadata"]];
        let answers = join_all(masks.iter().map(|mask| update(&client, asked.clone(), mask))).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let kept = get(&client, &before.id).await.unwrap();
        let (etag, update_time) = (kept.etag.clone(), kept.update_time);
        assert_eq!(kept, Prompt { latest_version: 1, create_time: before.create_time, etag, update_time, ..asked });
    }
}

#[tokio::test]
async fn the_largest_page_fits_in_the_limits_of_clients() {
    let (_platform, client) = start().await;
    let prompt = |place: usize| Prompt {
        name: format!("{place:0256}"),
        surface: "x".repeat(64),
        tags: (0..32).map(|tag| format!("{tag:064}")).collect(),
        metadata: (0..64).map(|key| (format!("{key:064}"), "x".repeat(64))).collect(),
        ..Default::default()
    };
    make(&client, "default", &(0..200).map(|place| with(prompt(place))).collect::<Vec<_>>()).await;
    let page = Some(PageRequest { page_size: 200, ..Default::default() });
    assert_eq!(list(&client, ListPromptsRequest { page, ..Default::default() }).await.unwrap().len(), 200);
}

#[tokio::test]
async fn a_skip_needs_filters_that_an_index_serves() {
    let (_platform, client) = start().await;
    let text = |text: &str| Some(text.to_owned());
    let surface = || ListPromptsRequest { surface: text("a"), ..Default::default() };
    let prefix = || ListPromptsRequest { name_prefix: text("a"), ..Default::default() };
    let tag = || ListPromptsRequest { tag: text("a"), ..Default::default() };
    let requests = [
        (surface(), "create_time desc", true),
        (surface(), "create_time", true),
        (surface(), "name", false),
        (prefix(), "name", true),
        (prefix(), "", false),
        (tag(), "name", false),
    ];
    for (request, order_by, is_served) in requests {
        let page = Some(PageRequest { skip: 1, ..Default::default() });
        let answer = list(&client, ListPromptsRequest { page, order_by: order_by.into(), ..request.clone() }).await;
        let refused = answer.err().map(|status| status.message().starts_with("page.skip: must be 0 with "));
        assert_eq!(refused, (!is_served).then_some(true), "{request:?}");
    }
}
