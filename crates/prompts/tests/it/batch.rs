//! BatchCreatePrompts: concurrent calls for the same prompts, and the size of the answer.
use crate::support::{Client, add, get, named, start, text, told, with};
use platform::{Platform, testing};
use quire_proto::prompts::v1::{
    BatchCreatePromptsRequest, CreatePromptRequest, DeletePromptRequest, Prompt, PromptVersion, UpdatePromptRequest,
};
use tonic::{Code, Status};

async fn create(client: &Client, requests: Vec<CreatePromptRequest>) -> Result<Vec<Prompt>, Status> {
    let request = BatchCreatePromptsRequest { requests, ..Default::default() };
    Ok(client.clone().batch_create_prompts(request).await?.into_inner().prompts)
}

/// Names in neither ascending nor descending order.
fn shuffled(count: usize) -> Vec<CreatePromptRequest> {
    (0..count).map(|place| named(format!("{:05}", place * 7_919 % 10_007))).collect()
}

/// The total number of prompts and of versions.
async fn counts(platform: &Platform) -> (i64, i64) {
    let sql = "select (select count(*) from prompts), (select count(*) from prompt_versions)";
    sqlx::query_as(sql).fetch_one(&testing::pool(platform)).await.unwrap()
}

#[tokio::test]
async fn concurrent_batches_with_the_same_names_are_created_whole_or_not_at_all() {
    let (platform, client) = start().await;
    let batch = async |place: usize| {
        let mut requests = shuffled(50);
        requests.rotate_left(place);
        create(&client, requests).await.map(|made| made.len()).map_err(|status| status.code())
    };
    // The batches have different orders, so they can deadlock; then the caller must retry.
    let answers = futures_util::future::join_all((0..4).map(|place| batch(place * 12))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    let refused = |answer: &Result<_, Code>| matches!(answer, Err(Code::AlreadyExists | Code::Aborted));
    assert_eq!(answers.iter().filter(|answer| refused(answer)).count(), 3, "{answers:?}");
    assert_eq!(counts(&platform).await, (50, 50));
}

#[tokio::test]
async fn the_answer_to_a_batch_is_limited() {
    let (_platform, client) = start().await;
    let metadata = || (0..8).map(|key| (key.to_string(), "x".repeat(1_023))).collect();
    let prompt = |place: usize| Prompt { name: place.to_string(), metadata: metadata(), ..Default::default() };
    let refused = create(&client, (0..450).map(|place| with(prompt(place))).collect()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    insta::assert_snapshot!(refused.message(), @"requests: the prompts, without their versions, must have at most 3670016 bytes in all");
    let made = create(&client, (0..400).map(|place| with(prompt(place))).collect()).await;
    assert_eq!(made.unwrap().len(), 400);
}

/// Creates prompts and skips existing ones.
async fn make_missing(client: &Client, requests: &[CreatePromptRequest]) -> Result<Vec<Prompt>, Status> {
    let request = BatchCreatePromptsRequest { requests: requests.to_vec(), pass_over_existing: true };
    Ok(client.clone().batch_create_prompts(request).await?.into_inner().prompts)
}

/// A request with every field set. The id can be empty.
fn full(id: &str, name: &str) -> CreatePromptRequest {
    CreatePromptRequest {
        prompt: Some(Prompt {
            id: id.into(),
            name: name.into(),
            surface: "chat".into(),
            tags: vec!["b".into(), "a".into()],
            metadata: [("team".into(), "web".into()), ("tier".into(), "1".into())].into(),
            ..Default::default()
        }),
        version: Some(PromptVersion {
            content: "Hello".into(),
            model: "m".into(),
            author: "ada".into(),
            ..Default::default()
        }),
    }
}

#[tokio::test]
async fn a_prompt_with_more_versions_is_skipped_as_identical() {
    let (platform, client) = start().await;
    let request = full("", "a");
    let id = make_missing(&client, std::slice::from_ref(&request)).await.unwrap().remove(0).id;
    for content in ["Bye", "Hello", "Bye"] {
        add(&client, "default", text(&id, content)).await.unwrap();
    }
    // An update that changes only the etag.
    let same = Prompt { id: id.clone(), surface: "chat".into(), ..Default::default() };
    client.clone().update_prompt(UpdatePromptRequest { prompt: Some(same), update_mask: None }).await.unwrap();
    let kept = get(&client, &id).await.unwrap();
    assert_eq!(kept.latest_version, 4);
    let before = testing::rows(&platform, &["prompts", "prompt_versions"]).await;
    assert_eq!(make_missing(&client, &[request]).await.unwrap(), [kept]);
    assert_eq!(testing::rows(&platform, &["prompts", "prompt_versions"]).await, before);
}

#[tokio::test]
async fn a_call_that_is_resent_while_it_runs_skips_its_rows() {
    let (platform, client) = start().await;
    let pool = testing::pool(&platform);
    let call = |mut client: Client| async move {
        let request = BatchCreatePromptsRequest { requests: vec![named("a")], pass_over_existing: true };
        client.batch_create_prompts(request).await.map(|response| response.into_inner().prompts)
    };
    // A trigger that waits for a lock holds the first call before its end.
    let hold = "create function hold() returns trigger language plpgsql as
            $$ begin perform pg_advisory_xact_lock_shared(1); return new; end $$;
        create trigger hold after insert on prompt_versions for each row execute function hold()";
    sqlx::raw_sql(hold).execute(&pool).await.unwrap();
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(1)").execute(&mut *lock).await.unwrap();
    let first = tokio::spawn(call(client.clone()));
    testing::wait_for_waiting(&pool, 1).await;
    let again = tokio::spawn(call(client.clone()));
    testing::wait_for_waiting(&pool, 2).await;
    lock.rollback().await.unwrap();
    let first = first.await.unwrap().unwrap();
    assert_eq!(again.await.unwrap().map_err(|status| told(&status)), Ok(first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_others_create_and_delete_is_no_internal_error() {
    let (_platform, client) = start().await;
    let writer = async |mut client: Client| {
        for _ in 0..60 {
            match create(&client, vec![named("x")]).await {
                Ok(made) => {
                    let request = DeletePromptRequest { id: made[0].id.clone() };
                    client.delete_prompt(request).await.unwrap();
                }
                Err(status) => assert!(matches!(status.code(), Code::AlreadyExists | Code::Aborted), "{status}"),
            }
        }
    };
    futures_util::future::join_all((0..6).map(|_| writer(client.clone()))).await;
}
