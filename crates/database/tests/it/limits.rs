//! Servers that allow fewer connections than asked for.

use std::{collections::BTreeSet, time::Duration};

use database::{Availability, Database};
use futures_util::future::join_all;
use sqlx::{Connection, PgConnection};
use tokio::net::UnixStream;

use crate::{
    pool::pass,
    support::{
        NAME, Postgres, SLEEPS, all_given_back, backend, backends, call, eventually, eventually_backends, hold,
        options, run, state, statement, terminate, tested, warm_up, write_pid,
    },
};

/// Many calls at once, each of which is answered.
async fn all_are_served(database: &Database) {
    let calls = join_all((0..400).map(|_| database.write_rows(statement("select")))).await;
    let refused: Vec<_> = calls.into_iter().filter_map(Result::err).collect();
    assert!(refused.is_empty(), "{} were refused, as in {:?}", refused.len(), refused[0]);
}

#[tokio::test]
async fn a_role_that_may_have_few_connections() {
    let (_, pool) = tested(1).await;
    for limit in 1..=3 {
        let role = format!("limited_{limit}");
        run(&pool, &format!("create role {role} login connection limit {limit}")).await;
        let database = Database::new(options(&pool).username(&role), 16);
        let availability = Availability::watch(database.clone());
        all_are_served(&database).await;
        assert!(availability.is_available());
        assert!(backends(&pool).await.len() <= limit);
        // Statements that are given up lose at most their connection.
        for _ in 0..3 {
            let sleep = call(&database, "select pg_sleep(600)");
            tokio::time::sleep(Duration::from_millis(30)).await;
            sleep.abort();
        }
        all_given_back(&database).await;
        all_are_served(&database).await;
        assert!(availability.is_available());
        database.close();
        eventually("all were closed", async || backends(&pool).await.is_empty().then_some(())).await;
    }
}

#[tokio::test]
async fn the_reserved_connection_gives_way_to_one_for_calls() {
    let (_, pool) = tested(1).await;
    run(&pool, "create role shrinking login connection limit 2").await;
    let database = Database::new(options(&pool).username("shrinking"), 1);
    let sleep = call(&database, "select pg_sleep(600)");
    backend(&pool, SLEEPS).await;
    sleep.abort();
    all_given_back(&database).await;
    eventually_backends(&pool, 2).await;
    pass(5).await;
    eventually_backends(&pool, 1).await;
    run(&pool, "alter role shrinking connection limit 1").await;
    write_pid(&database).await.unwrap();
}

/// Calls that take the place of the reserved connection give it back, also where there is no moment in which nobody waits.
#[tokio::test]
async fn a_reserved_connection_that_was_lost_is_made_again() {
    let (_, pool) = tested(1).await;
    run(&pool, "create role crowded login connection limit 3").await;
    let database = Database::new(options(&pool).username("crowded"), 16);
    let _availability = Availability::watch(database.clone());
    let crowd = tokio::spawn({
        let database = database.clone();
        async move {
            loop {
                join_all((0..12).map(|_| database.write_rows(statement("select pg_sleep(0.001)")))).await;
            }
        }
    });
    // What it ran last, and what those of the calls ran last.
    let activity = async |is_call: bool| -> BTreeSet<i32> {
        let sql = "select pid from pg_stat_activity where usename = 'crowded' and (query like '%(0.001)') = $1";
        sqlx::query_scalar(sql).bind(is_call).fetch_all(&pool).await.unwrap().into_iter().collect()
    };
    let reserved = async || {
        eventually("there was a reserved connection", async || {
            let before = activity(false).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            activity(false).await.intersection(&before).next().copied()
        })
        .await
    };
    let lost = reserved().await;
    // With one connection all others are given up, while the database goes on answering.
    let calls = activity(true).await;
    terminate(&pool, &calls.iter().take(1).copied().collect()).await;
    eventually("it was given up", async || (!activity(false).await.contains(&lost)).then_some(())).await;
    reserved().await;
    crowd.abort();
}

#[tokio::test]
async fn a_database_that_may_have_few_connections() {
    let (_, pool) = tested(1).await;
    run(&pool, "create role several login").await;
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(&pool).await.unwrap();
    run(&pool, &format!("alter database {name} connection limit 3")).await;
    pool.close().await;
    all_are_served(&Database::new(options(&pool).username("several"), 16)).await;
}

#[tokio::test]
async fn a_postgres_that_has_no_connection_left() {
    let server = Postgres::start(&[("max_connections", "12")]);
    let options = server.options();
    let database = Database::new(options.clone().application_name(NAME), 2);
    write_pid(&database).await.unwrap();
    let mut others = Vec::new();
    let refused = loop {
        match PgConnection::connect_with(&options).await {
            Ok(other) => others.push(other),
            Err(error) => break error,
        }
    };
    assert_eq!(state(&refused).unwrap(), "53300");

    // What there is serves on, and is waited for.
    let availability = Availability::watch(database.clone());
    let held = hold(&database, 1).await;
    assert!(matches!(write_pid(&database).await, Err(sqlx::Error::PoolTimedOut)));
    assert!(availability.is_available());
    let waiting = call(&database, "select");
    tokio::task::yield_now().await;
    drop(held);
    waiting.await.unwrap().unwrap();
    all_given_back(&database).await;

    // With none open, one is tried for until the time is up.
    let none = Database::new(options, 2);
    assert!(matches!(write_pid(&none).await, Err(sqlx::Error::PoolTimedOut)));
    let waiting = call(&none, "select");
    tokio::task::yield_now().await;
    others.pop().unwrap().close().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert!(availability.is_available());
}

#[tokio::test]
async fn a_listen_queue_that_is_full() {
    // Its queue is twice as long.
    let server = Postgres::start(&[("max_connections", "10"), ("max_wal_senders", "0")]);
    let options = server.options();
    let database = Database::new(options.clone(), 2);
    let frozen = server.freeze_postmaster();
    let path = options.get_socket().unwrap().join(format!(".s.PGSQL.{}", options.get_port()));
    let mut queue = Vec::new();
    while let Ok(stream) = UnixStream::connect(&path).await {
        queue.push(stream);
        assert!(queue.len() < 10_000, "the queue has no end");
    }
    assert!(matches!(write_pid(&database).await, Err(sqlx::Error::PoolTimedOut)));
    let waiting = call(&database, "select");
    tokio::task::yield_now().await;
    drop((queue, frozen));
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_password_that_changes() {
    let (_, pool) = tested(1).await;
    // Nobody asks for it on this socket, so the role is refused by another means.
    run(&pool, "create role changing login").await;
    let database = Database::new(options(&pool).username("changing"), 2);
    warm_up(&database, 1).await;
    let used = write_pid(&database).await.unwrap();
    let mut availability = Availability::watch(database.clone());
    run(&pool, "alter role changing nologin").await;
    // Who waits waits for the one that there is, and is not told that no other could be made.
    let held = hold(&database, 1).await;
    let waiting = call(&database, "select");
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(held);
    waiting.await.unwrap().unwrap();
    // Also while it is busy, and the reserved one cannot be had.
    let held = hold(&database, 1).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(availability.is_available());
    drop(held);
    assert_eq!(write_pid(&database).await.unwrap(), used);
    // With none open, nobody is served.
    database.forget_connections();
    let refused = write_pid(&database).await;
    assert!(matches!(refused, Err(sqlx::Error::Io(_))), "{refused:?}");
    assert!(!availability.changed().await);
    run(&pool, "alter role changing login").await;
    assert!(availability.changed().await);
    write_pid(&database).await.unwrap();
}
