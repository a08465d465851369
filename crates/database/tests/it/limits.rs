//! Servers that allow fewer connections than requested.

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

/// Many calls at once, all of which must succeed.
async fn all_are_served(database: &Database) {
    let calls = join_all((0..400).map(|_| database.write_rows(statement("select")))).await;
    let refused: Vec<_> = calls.into_iter().filter_map(Result::err).collect();
    assert!(refused.is_empty(), "{} were refused, as in {:?}", refused.len(), refused[0]);
}

#[tokio::test]
async fn a_role_with_few_connections_serves_all_calls() {
    let (_, pool) = tested(1).await;
    for limit in 1..=3 {
        let role = format!("limited_{limit}");
        run(&pool, &format!("create role {role} login connection limit {limit}")).await;
        let database = Database::new(options(&pool).username(&role), 16);
        let availability = Availability::watch(database.clone());
        all_are_served(&database).await;
        assert!(availability.is_available());
        assert!(backends(&pool).await.len() <= limit);
        // Dropped statements lose at most their connection.
        for _ in 0..3 {
            let sleep = call(&database, "select pg_sleep(600)");
            tokio::time::sleep(Duration::from_millis(30)).await;
            sleep.abort();
        }
        all_given_back(&database).await;
        all_are_served(&database).await;
        assert!(availability.is_available());
        database.close();
        eventually("all connections were closed", async || backends(&pool).await.is_empty().then_some(())).await;
    }
}

#[tokio::test]
async fn the_reserved_connection_gives_its_place_to_calls() {
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

/// Calls that take the place of the reserved connection give it back, even if a caller is always waiting.
#[tokio::test]
async fn a_lost_reserved_connection_is_opened_again() {
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
    // Backends whose last statement was one of the calls, or was none of them.
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
    // When one connection dies, all others are dropped, while the database still answers.
    let calls = activity(true).await;
    terminate(&pool, &calls.iter().take(1).copied().collect()).await;
    eventually("it was dropped", async || (!activity(false).await.contains(&lost)).then_some(())).await;
    reserved().await;
    crowd.abort();
}

#[tokio::test]
async fn a_database_with_few_connections_serves_all_calls() {
    let (_, pool) = tested(1).await;
    run(&pool, "create role several login").await;
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(&pool).await.unwrap();
    run(&pool, &format!("alter database {name} connection limit 3")).await;
    pool.close().await;
    all_are_served(&Database::new(options(&pool).username("several"), 16)).await;
}

#[tokio::test]
async fn a_full_server_is_waited_for() {
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

    // The open connection still serves calls, and callers wait for it.
    let availability = Availability::watch(database.clone());
    let held = hold(&database, 1).await;
    assert!(matches!(write_pid(&database).await, Err(sqlx::Error::PoolTimedOut)));
    assert!(availability.is_available());
    let waiting = call(&database, "select");
    tokio::task::yield_now().await;
    drop(held);
    waiting.await.unwrap().unwrap();
    all_given_back(&database).await;

    // If none is open, connecting is retried until the caller times out.
    let none = Database::new(options, 2);
    assert!(matches!(write_pid(&none).await, Err(sqlx::Error::PoolTimedOut)));
    let waiting = call(&none, "select");
    tokio::task::yield_now().await;
    others.pop().unwrap().close().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert!(availability.is_available());
}

#[tokio::test]
async fn a_full_listen_queue_is_waited_for() {
    // Its queue is twice as long as its connections.
    let server = Postgres::start(&[("max_connections", "10"), ("max_wal_senders", "0")]);
    let options = server.options();
    let database = Database::new(options.clone(), 2);
    let frozen = server.freeze_postmaster();
    let path = options.get_socket().unwrap().join(format!(".s.PGSQL.{}", options.get_port()));
    let mut queue = Vec::new();
    while let Ok(stream) = UnixStream::connect(&path).await {
        queue.push(stream);
        assert!(queue.len() < 10_000, "the queue never fills");
    }
    assert!(matches!(write_pid(&database).await, Err(sqlx::Error::PoolTimedOut)));
    let waiting = call(&database, "select");
    tokio::task::yield_now().await;
    drop((queue, frozen));
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_role_that_may_no_longer_log_in_keeps_its_open_connections() {
    let (_, pool) = tested(1).await;
    // This socket asks for no password, so the role is refused by NOLOGIN.
    run(&pool, "create role changing login").await;
    let database = Database::new(options(&pool).username("changing"), 2);
    warm_up(&database, 1).await;
    let used = write_pid(&database).await.unwrap();
    let mut availability = Availability::watch(database.clone());
    run(&pool, "alter role changing nologin").await;
    // A waiting caller waits for the open connection, and gets no error because no other could be opened.
    let held = hold(&database, 1).await;
    let waiting = call(&database, "select");
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(held);
    waiting.await.unwrap().unwrap();
    // Also while it is busy and the reserved connection cannot be opened.
    let held = hold(&database, 1).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(availability.is_available());
    drop(held);
    assert_eq!(write_pid(&database).await.unwrap(), used);
    // If none is open, calls fail.
    database.forget_connections();
    let refused = write_pid(&database).await;
    assert!(matches!(refused, Err(sqlx::Error::Io(_))), "{refused:?}");
    assert!(!availability.changed().await);
    run(&pool, "alter role changing login").await;
    assert!(availability.changed().await);
    write_pid(&database).await.unwrap();
}
