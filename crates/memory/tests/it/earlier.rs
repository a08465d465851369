//! Memories that the previous release has written: found at once, and swept.
use crate::support::{Client, full, make, recalled, start, text, words};
use futures_util::future::BoxFuture;
use memory::SERVICE;
use platform::{Platform, Sweep, Sweeper, Swept, testing};
use quire_proto::memory::v1::UpdateMemoryRequest;
use sqlx::PgConnection;

/// Stores a memory as the previous release does.
const STORE: &str = "
    insert into memories (workspace_id, id, scope, content, type, source, confidence, pinned, policy, user_id, team_id,
        project_id, repository, agent, tags, metadata, etag, create_time, update_time)
    values ('default', gen_random_uuid(), 'user', $1, '', '', 1, false, false, '', '', '', '', '', '{}', '{}',
        gen_random_uuid(), now(), now())";

/// Updates the content of all memories as the previous release does.
const UPDATE: &str = "update memories set content = $1, etag = gen_random_uuid()";

async fn run(platform: &Platform, sql: &'static str, content: &str) {
    sqlx::query(sql).bind(content).execute(&testing::pool(platform)).await.unwrap();
}

async fn sweep(platform: &Platform) -> u64 {
    let sweeps = (SERVICE.open)(platform).await.unwrap().sweeps;
    Sweeper::new(platform.database.clone(), sweeps).turn().await.unwrap().unwrap()
}

async fn count(client: &Client, query: &str) -> usize {
    recalled(client, &words(query)).await.len()
}

#[tokio::test]
async fn memories_of_the_previous_release_are_found_and_swept() {
    let (platform, client) = start().await;
    make(&client, "default", &[text("new tea")]).await;
    run(&platform, STORE, "früher tea — 東京都").await;
    // Found by the previous release's words.
    assert_eq!([count(&client, "tea").await, count(&client, "京都").await], [2, 0]);
    assert_eq!(sweep(&platform).await, 1);
    assert_eq!([count(&client, "tea").await, count(&client, "京都").await], [2, 1]);
    assert_eq!(sweep(&platform).await, 0);

    // The words of the content before are not found.
    run(&platform, UPDATE, "cocoa 大阪府").await;
    assert_eq!([count(&client, "tea").await, count(&client, "cocoa").await, count(&client, "阪府").await], [0, 2, 0]);
    assert_eq!(sweep(&platform).await, 2);
    assert_eq!([count(&client, "tea").await, count(&client, "cocoa").await, count(&client, "阪府").await], [0, 2, 2]);
}

#[tokio::test]
async fn an_update_keeps_the_words_current_and_leaves_stale_words_to_the_sweep() {
    let (platform, client) = start().await;
    let id = make(&client, "default", &[text("大阪府")]).await.remove(0);
    let update = async |paths: &[&str]| {
        let mut request = UpdateMemoryRequest { memory: Some(full(&id, "東京都")), update_mask: None };
        request.update_mask.get_or_insert_default().paths = paths.iter().map(|&path| path.to_owned()).collect();
        client.clone().update_memory(request).await.unwrap();
    };
    update(&["type"]).await;
    assert_eq!([count(&client, "阪府").await, sweep(&platform).await as usize], [1, 0]);
    update(&["content"]).await;
    assert_eq!(
        [count(&client, "阪府").await, count(&client, "京都").await, sweep(&platform).await as usize],
        [0, 1, 0]
    );
    run(&platform, UPDATE, "大阪府").await;
    update(&["type"]).await;
    assert_eq!(
        [count(&client, "京都").await, sweep(&platform).await as usize, count(&client, "阪府").await],
        [0, 1, 1]
    );
}

/// Pages of a sweep are small, whatever the contents are.
#[tokio::test]
async fn many_and_large_memories_are_swept() {
    let (platform, client) = start().await;
    let large = "many words ".repeat(23_000);
    for _ in 0..12 {
        run(&platform, STORE, &large).await;
    }
    for number in 0..450 {
        run(&platform, STORE, &format!("ocelot number{number}")).await;
    }
    assert_eq!(sweep(&platform).await, 462);
    assert_eq!([count(&client, "ocelot number17").await, count(&client, "many words").await], [1, 12]);
}

/// Memories that Postgres does not write, or that another transaction has locked, are left out. They stop neither the sweep
/// of the others nor the other sweeps, and are swept when they can be.
#[tokio::test]
async fn memories_that_cannot_be_swept_stop_no_other() {
    let (platform, client) = start().await;
    let pool = testing::pool(&platform);
    // More than a page.
    for number in 0..450 {
        run(&platform, STORE, &format!("{} number{number}", if number % 2 == 0 { "ocelot" } else { "poison" })).await;
    }
    run(&platform, STORE, "locked lynx").await;
    let refuse = "alter table memories add constraint refused check (content !~ 'poison' or words is null) not valid";
    sqlx::query(refuse).execute(&pool).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let lock = "select from memories where content = 'locked lynx' for update";
    sqlx::query(lock).execute(&mut *transaction).await.unwrap();

    assert_eq!(sweep(&platform).await, 225);
    assert_eq!([count(&client, "number0").await, count(&client, "number1").await], [1, 1]);
    transaction.rollback().await.unwrap();
    assert_eq!(sweep(&platform).await, 1);
    sqlx::query("alter table memories drop constraint refused").execute(&pool).await.unwrap();
    assert_eq!([sweep(&platform).await, sweep(&platform).await], [225, 0]);
}

struct Failing;

impl Sweep for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn page<'a>(&'a mut self, _connection: &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<Swept>> {
        Box::pin(async { Err(sqlx::Error::RowNotFound) })
    }
}

#[tokio::test]
async fn a_sweep_that_fails_does_not_stop_the_others() {
    let (platform, client) = start().await;
    run(&platform, STORE, "大阪府").await;
    let mut sweeps: Vec<Box<dyn Sweep>> = vec![Box::new(Failing)];
    sweeps.extend((SERVICE.open)(&platform).await.unwrap().sweeps);
    let mut sweeper = Sweeper::new(platform.database.clone(), sweeps);
    assert!(sweeper.turn().await.is_err());
    assert_eq!(count(&client, "阪府").await, 1);
}
