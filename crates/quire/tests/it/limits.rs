//! Databases without free connections, and callers who hang up.
use std::collections::BTreeSet;

use crate::support::{
    Client, HealthWatch, Server, database, eventually, health, in_workspace, list, make, named,
    postgres::{Postgres, wait_for_locked},
    within,
};
use futures_util::future::try_join_all;
use quire_proto::prompts::v1::{GetPromptRequest, ListPromptsRequest, Prompt, UpdatePromptRequest};
use sqlx::{ConnectOptions, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

/// How many of the server's 16 connections a workspace may hold.
const SHARE: usize = 12;
/// Arguments with which a statement may wait for a lock until its test ends.
const PATIENT: [&str; 4] = ["--statement-timeout", "1h", "--lock-timeout", "1h"];

/// Blocks updates of all existing prompts until the connection is closed.
async fn lock_prompts(options: &PgConnectOptions) -> PgConnection {
    let mut lock: PgConnection = options.connect().await.unwrap();
    lock.execute(sqlx::raw_sql("begin; select from prompts for update")).await.unwrap();
    lock
}

async fn update(client: Client, id: String, surface: &str) -> Result<Prompt, Status> {
    let prompt = Prompt { id, surface: surface.to_owned(), ..Default::default() };
    let request = UpdatePromptRequest { prompt: Some(prompt), ..Default::default() };
    Ok(within("an update was answered", client.clone().update_prompt(request)).await?.into_inner().prompt.unwrap())
}

async fn get(client: &Client, id: &str) -> Result<Prompt, Status> {
    let request = GetPromptRequest { id: id.to_owned() };
    Ok(within("a get was answered", client.clone().get_prompt(request)).await?.into_inner().prompt.unwrap())
}

fn code<T>(answer: Result<T, Status>) -> Code {
    answer.err().map_or(Code::Ok, |status| status.code())
}

/// The Postgres processes of the server's connections.
async fn backends(connection: &mut PgConnection) -> BTreeSet<i32> {
    let sql = "select pid from pg_stat_activity where datname = current_database() and application_name = 'quire'";
    sqlx::query_scalar(sql).fetch_all(connection).await.unwrap().into_iter().collect()
}

/// Ends the server's connections.
async fn end_connections(connection: &mut PgConnection) {
    let sql = "
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'quire'";
    connection.execute(sql).await.unwrap();
}

#[tokio::test]
async fn a_workspace_whose_connections_all_wait_leaves_the_others_their_own() {
    let (options, url) = database().await;
    let mut server = Server::on_database(&url, &PATIENT);
    let channel = server.connect().await;
    let client = Client::new(channel.clone());
    let mut ids = Vec::new();
    for place in 0..SHARE {
        ids.push(make(&client, &format!("prompt {place}")).await.unwrap());
    }

    let lock = lock_prompts(&options).await;
    let updates: JoinSet<_> = ids.iter().map(|id| update(client.clone(), id.clone(), "chat")).collect();
    wait_for_locked(&options, SHARE.try_into().unwrap()).await;
    let refused = [
        code(get(&client, &ids[0]).await),
        code(update(client.clone(), ids[0].clone(), "cli").await),
        code(make(&client, "another").await),
        code(list(&client, "").await),
    ];
    assert_eq!(refused, [Code::ResourceExhausted; 4]);
    // Only the workspace's share is exhausted; the database is available.
    assert_eq!(health(&channel, "").await, Serving);
    let mut others = in_workspace(&channel, "other");
    for place in 0..20 {
        others.create_prompt(named(&format!("prompt {place}"))).await.unwrap();
    }
    assert_eq!(updates.len(), SHARE, "none was stopped");

    drop(lock);
    for update in updates.join_all().await {
        assert_eq!(update.unwrap().surface, "chat");
    }
    assert_eq!(get(&client, &ids[0]).await.unwrap().surface, "chat");
}

#[tokio::test]
async fn statements_that_take_too_long_are_stopped() {
    let (options, url) = database().await;
    for (arguments, code, words) in [
        (["--statement-timeout", "100ms", "--lock-timeout", "1h"], Code::ResourceExhausted, "ask for less at once"),
        (["--statement-timeout", "1h", "--lock-timeout", "100ms"], Code::Aborted, "other calls hold the same records"),
    ] {
        let mut server = Server::on_database(&url, &arguments);
        let client = server.client().await;
        let id = make(&client, arguments[1]).await.unwrap();
        let lock = lock_prompts(&options).await;
        let stopped = update(client.clone(), id.clone(), "chat").await.unwrap_err();
        assert_eq!(stopped.code(), code, "{stopped:?}");
        assert!(stopped.message().contains(words), "{stopped:?}");
        drop(lock);
        update(client, id, "chat").await.unwrap();
    }
}

/// The answer names the filters that the request does not have.
#[tokio::test]
async fn a_page_that_takes_too_long_says_what_to_narrow() {
    let (options, url) = database().await;
    let mut server = Server::on_database(&url, &["--statement-timeout", "100ms", "--lock-timeout", "1h"]);
    let mut client = server.client().await;
    let mut lock: PgConnection = options.connect().await.unwrap();
    lock.execute(sqlx::raw_sql("begin; lock table prompts")).await.unwrap();
    let request = ListPromptsRequest { name_prefix: Some("a".to_owned()), ..Default::default() };
    let stopped = client.list_prompts(request).await.unwrap_err();
    assert_eq!(stopped.code(), Code::ResourceExhausted, "{stopped:?}");
    insta::assert_snapshot!(stopped.message(), @"the page took too long in the database; narrow it by surface, tag");
}

#[tokio::test]
async fn other_clients_use_all_connections_of_postgres() {
    let postgres = Postgres::start(&[("max_connections", "20")]);
    let mut server = Server::on_database(&postgres.url(), &[]);
    let channel = server.connect().await;
    let client = Client::new(channel.clone());
    let id = make(&client, "any").await.unwrap();
    let mut connection: PgConnection = postgres.options().connect().await.unwrap();
    let lock = lock_prompts(&postgres.options()).await;
    let mut others = Vec::new();
    let mut take_all = async || {
        while let Ok(other) = postgres.options().connect().await {
            others.push(other);
        }
    };
    take_all().await;

    // All connections of the server wait for the lock, and it cannot open more. Calls wait for a connection.
    let mut waiting = JoinSet::new();
    eventually("there were none left", async || {
        waiting.spawn(update(client.clone(), id.clone(), "chat"));
        let refused = waiting.try_join_next()?.unwrap().unwrap_err();
        (refused.code() == Code::ResourceExhausted).then_some(())
    })
    .await;
    assert_eq!(code(get(&client, &id).await), Code::ResourceExhausted);
    assert_eq!(health(&channel, "").await, Serving);

    // The server has no connections at all.
    let mut watch = HealthWatch::begin(&channel).await;
    eventually("the server was left without", async || {
        end_connections(&mut connection).await;
        take_all().await;
        (health(&channel, "").await == NotServing).then_some(())
    })
    .await;
    watch.tells(NotServing).await;
    assert_eq!(code(get(&client, &id).await), Code::Unavailable);
    assert_eq!(code(make(&client, "another").await), Code::Unavailable);

    drop((lock, others));
    watch.tells(Serving).await;
    eventually("calls succeeded", async || get(&client, &id).await.ok()).await;
}

#[tokio::test]
async fn writes_succeed_after_connections_were_ended_unnoticed() {
    let (options, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let client = server.client().await;
    try_join_all(["a", "b", "c", "d"].map(|name| make(&client, name))).await.unwrap();
    let mut connection: PgConnection = options.connect().await.unwrap();
    for round in 0..3 {
        let old = backends(&mut connection).await;
        end_connections(&mut connection).await;
        // The server itself checks the database; no call has noticed that it was gone.
        eventually("the server was back", async || {
            backends(&mut connection).await.difference(&old).next().is_some().then_some(())
        })
        .await;
        for place in 0..8 {
            make(&client, &format!("{round} {place}")).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_statement_of_a_caller_who_hangs_up_is_stopped() {
    let (options, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let client = server.client().await;
    let id = make(&client, "any").await.unwrap();
    let lock = lock_prompts(&options).await;
    // In total, more calls than the pool has connections.
    for _ in 0..3 {
        let updates: JoinSet<_> = (0..8).map(|_| update(client.clone(), id.clone(), "given up")).collect();
        wait_for_locked(&options, 8).await;
        // Each call is cancelled; the connection stays open.
        drop(updates);
        wait_for_locked(&options, 0).await;
    }
    let updates: JoinSet<_> = (0..8).map(|_| update(client.clone(), id.clone(), "given up")).collect();
    wait_for_locked(&options, 8).await;
    drop((updates, client));
    wait_for_locked(&options, 0).await;

    let client = server.client().await;
    let another = client.clone();
    let update = tokio::spawn({
        let id = id.clone();
        async move { update(another, id, "wanted").await }
    });
    wait_for_locked(&options, 1).await;
    drop(lock);
    update.await.unwrap().unwrap();
    assert_eq!(get(&client, &id).await.unwrap().surface, "wanted");
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_no_statement() {
    let (options, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let client = server.client().await;
    let id = make(&client, "any").await.unwrap();
    let _lock = lock_prompts(&options).await;
    let update = tokio::spawn(update(client, id, "given up"));
    wait_for_locked(&options, 1).await;
    server.program.kill();
    within("the call ended", update).await.unwrap().unwrap_err();
    wait_for_locked(&options, 0).await;
}

/// Calls that are refused before their messages are read close no connection, even if there are many.
#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_leave_their_connection_to_the_others() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let client = Client::new(server.connect().await);
    let callers = (0..40).map(|_| {
        let mut client = client.clone();
        async move {
            for _ in 0..1_000 {
                let mut request = Request::new(GetPromptRequest::default());
                request.metadata_mut().insert("quire-workspace", "no workspace".parse().unwrap());
                let refused = client.get_prompt(request).await.unwrap_err();
                assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
            }
        }
    });
    let callers: Vec<_> = callers.map(tokio::spawn).collect();
    for caller in callers {
        caller.await.unwrap();
    }
}
