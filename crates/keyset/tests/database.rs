//! The connections of a [`Database`]: what a dead one does to reads and writes, and that nothing of a statement that nobody
//! waits for is left behind.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{collections::BTreeSet, io::ErrorKind, net::Ipv4Addr, time::Duration};

use futures_util::future::join_all;
use keyset::Database;
use private_postgres::Server;
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use support::{
    connections::{
        SLEEPS, WAITS_FOR_LOCK, backend, backends, count_things, lock_things, options, pid, state, terminate, tested,
        things, warm_up, write_pid,
    },
    eventually, within,
};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_connection_that_was_given_back_is_used_again() {
    let (database, pool) = tested(4).await;
    let first = pid(&database).await;
    assert_eq!(write_pid(&database).await.unwrap(), first);
    let connection = database.acquire().await.unwrap();
    connection.release();
    assert_eq!(pid(&database).await, first);
    assert_eq!(backends(&pool).await, BTreeSet::from([first]));
}

#[tokio::test]
async fn a_statement_that_fails_leaves_its_connection_in_use() {
    let (database, _pool) = tested(1).await;
    let first = pid(&database).await;
    for (sql, expected) in [
        ("insert into things values (1), (1)", "23505"),
        ("select 1 / 0 from generate_series(1, 3)", "22012"),
        ("select 1 / (3 - n) from generate_series(1, 1000) as n", "22012"),
        ("nonsense", "42601"),
    ] {
        let written = database.write::<()>(sqlx::query(sql)).await;
        let read = database.read::<()>(|| sqlx::query(sql)).await;
        assert_eq!([written, read].map(|done| state(&done.unwrap_err()).unwrap()), [expected; 2], "{sql}");
        assert_eq!(pid(&database).await, first, "{sql}");
    }
    // A row that is not what the caller takes it for.
    database.read::<(String,)>(|| sqlx::query("select 1")).await.unwrap_err();
    assert_eq!(pid(&database).await, first);
}

#[tokio::test]
async fn after_one_dead_connection_those_of_the_same_age_are_not_used() {
    let (database, pool) = tested(4).await;
    warm_up(&database, 4).await;
    let old = backends(&pool).await;
    assert_eq!(old.len(), 4);
    terminate(&pool, &old).await;

    // Run a second time, on a connection that is new.
    let new = pid(&database).await;
    // None of these is run twice, so it was not given one of the three dead connections that were idle as well.
    for _ in 0..8 {
        assert_eq!(write_pid(&database).await.unwrap(), new);
    }
    assert_eq!(backends(&pool).await, BTreeSet::from([new]));
}

#[tokio::test]
async fn reads_at_the_same_time_survive_that_all_connections_die() {
    let (database, pool) = tested(4).await;
    for _ in 0..10 {
        warm_up(&database, 4).await;
        terminate(&pool, &backends(&pool).await).await;
        join_all((0..16).map(|_| pid(&database))).await;
    }
}

#[tokio::test]
async fn a_read_whose_backend_ends_is_run_once_more() {
    let (database, pool) = tested(2).await;
    let lock = lock_things(&pool).await;
    let read = count_things(&database);
    let first = backend(&pool, WAITS_FOR_LOCK).await;
    terminate(&pool, &BTreeSet::from([first])).await;
    let second = backend(&pool, WAITS_FOR_LOCK).await;
    assert_ne!(second, first);
    drop(lock);
    assert_eq!(read.await.unwrap().unwrap(), [(0,)]);

    let _lock = lock_things(&pool).await;
    let read = count_things(&database);
    for _ in 0..2 {
        let waits = backend(&pool, WAITS_FOR_LOCK).await;
        terminate(&pool, &BTreeSet::from([waits])).await;
    }
    // Twice and no more.
    assert_eq!(state(&read.await.unwrap().unwrap_err()).unwrap(), "57P01");
}

#[tokio::test]
async fn a_write_whose_connection_dies_is_run_once() {
    let (database, pool) = tested(2).await;
    // A sequence tells how often, since what it gives out is never taken back.
    let fatal = "select nextval('runs'), pg_terminate_backend(pg_backend_pid()), pg_sleep(60)";
    let runs = async || -> i64 { sqlx::query_scalar("select last_value from runs").fetch_one(&pool).await.unwrap() };
    let error = database.write::<()>(sqlx::query(fatal)).await.unwrap_err();
    assert_eq!((state(&error).unwrap().as_str(), runs().await), ("57P01", 1));
    let error = database.read::<()>(|| sqlx::query(fatal)).await.unwrap_err();
    assert_eq!((state(&error).unwrap().as_str(), runs().await), ("57P01", 3));

    // Dead before it was given the statement.
    warm_up(&database, 2).await;
    terminate(&pool, &backends(&pool).await).await;
    database.write::<()>(sqlx::query("insert into things values (1)")).await.unwrap_err();
    assert_eq!(things(&pool).await, 0);
    database.write::<()>(sqlx::query("insert into things values (1)")).await.unwrap();
    assert_eq!(things(&pool).await, 1);
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_is_stopped() {
    let (database, pool) = tested(2).await;
    let _lock = lock_things(&pool).await;
    // Far more often than there are places in the pool.
    for _ in 0..10 {
        let sleep = {
            let database = database.clone();
            tokio::spawn(async move { database.write::<()>(sqlx::query("select pg_sleep(600)")).await })
        };
        let wait = count_things(&database);
        let pids = BTreeSet::from([backend(&pool, SLEEPS).await, backend(&pool, WAITS_FOR_LOCK).await]);
        sleep.abort();
        wait.abort();
        eventually("both were stopped", async || backends(&pool).await.is_disjoint(&pids).then_some(())).await;
        assert!(sleep.await.unwrap_err().is_cancelled() && wait.await.unwrap_err().is_cancelled());
    }
    // Both places are free, and what is in them is alive.
    warm_up(&database, 2).await;
    write_pid(&database).await.unwrap();
}

#[tokio::test]
async fn a_statement_can_be_given_up_at_any_moment() {
    let (database, pool) = tested(2).await;
    for microseconds in (0..100).map(|round| round * 73) {
        let reads = join_all((0..3).map(|_| pid(&database)));
        let _ = tokio::time::timeout(Duration::from_micros(microseconds), reads).await;
    }
    warm_up(&database, 2).await;
    write_pid(&database).await.unwrap();
    eventually("the others were closed", async || (backends(&pool).await.len() == 2).then_some(())).await;
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing() {
    let (database, pool) = tested(1).await;
    for _ in 0..5 {
        let mut connection = database.acquire().await.unwrap();
        connection.execute(sqlx::raw_sql("begin; insert into things values (1)")).await.unwrap();
        let old = backends(&pool).await;
        drop(connection);
        assert!(!old.contains(&write_pid(&database).await.unwrap()));
        eventually("it was closed", async || backends(&pool).await.is_disjoint(&old).then_some(())).await;
    }
    assert_eq!(things(&pool).await, 0);
    // Nor a lock.
    database.write::<()>(sqlx::query("insert into things values (1)")).await.unwrap();
}

#[tokio::test]
async fn a_pool_that_stays_full() {
    let (database, _pool) = tested(2).await;
    let held = [database.acquire().await.unwrap(), database.acquire().await.unwrap()];
    let refused =
        within("the pool had no place", async { [write_pid(&database).await, database.acquire().await.map(|_| 0)] })
            .await;
    for refused in refused {
        assert!(matches!(refused, Err(sqlx::Error::PoolTimedOut)), "{refused:?}");
    }
    let waiting = tokio::spawn({
        let database = database.clone();
        async move { write_pid(&database).await }
    });
    tokio::task::yield_now().await;
    held.into_iter().for_each(keyset::Connection::release);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_database_that_is_not_there() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let options = PgConnectOptions::new_without_pgpass().username("nobody");
    let refuses = Database::new(options.clone().host("127.0.0.1").port(nobody.port()), 1);
    let has_no_socket = Database::new(options.socket("/nonexistent"), 1);
    for (database, expected) in [(refuses, ErrorKind::ConnectionRefused), (has_no_socket, ErrorKind::NotFound)] {
        let refused = database.read::<()>(|| sqlx::query("select")).await.unwrap_err();
        let sqlx::Error::Io(error) = refused else { panic!("{refused:?}") };
        assert_eq!(error.kind(), expected);
    }
}

#[tokio::test]
async fn a_database_that_says_nothing() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let silent = PgConnectOptions::new_without_pgpass().username("nobody").host("127.0.0.1");
    let database = Database::new(silent.port(listener.local_addr().unwrap().port()), 1);
    let refused = within("there was no answer", write_pid(&database)).await.unwrap_err();
    let sqlx::Error::Io(error) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), ErrorKind::TimedOut);

    // A caller who hangs up while it connects takes no place with it.
    for _ in 0..5 {
        let connecting = tokio::spawn({
            let database = database.clone();
            async move { database.acquire().await }
        });
        listener.accept().await.unwrap();
        connecting.abort();
        assert!(connecting.await.unwrap_err().is_cancelled());
    }
    let (_, pool) = tested(1).await;
    database.move_to(options(&pool));
    write_pid(&database).await.unwrap();
}

#[tokio::test]
async fn a_postgres_that_has_no_connection_left() {
    let server = Server::temporary().unwrap();
    let options = PgConnectOptions::new_without_pgpass().socket(server.socket_dir()).port(server.port());
    let options = options.username(server.user()).database("postgres");
    let database = Database::new(options.clone(), 2);
    write_pid(&database).await.unwrap();
    let mut others = Vec::new();
    let refused = loop {
        match PgConnection::connect_with(&options).await {
            Ok(other) => others.push(other),
            Err(error) => break error,
        }
    };
    assert_eq!(state(&refused).unwrap(), "53300");

    // What there is serves on.
    let held = database.acquire().await.unwrap();
    let refused = write_pid(&database).await.unwrap_err();
    assert_eq!(state(&refused).unwrap(), "53300");
    held.release();
    write_pid(&database).await.unwrap();

    let _held = database.acquire().await.unwrap();
    others.pop().unwrap().close().await.unwrap();
    eventually("there was one left", async || write_pid(&database).await.ok()).await;
}

#[tokio::test]
async fn a_database_that_moves() {
    let (database, from) = tested(5).await;
    let (_, to) = tested(1).await;
    warm_up(&database, 5).await;
    let in_use = database.acquire().await.unwrap();
    database.move_to(options(&to));
    let used = write_pid(&database).await.unwrap();
    assert!(backends(&to).await.contains(&used));
    // None of those that were idle stays open.
    eventually("the idle were closed", async || (backends(&from).await.len() == 1).then_some(())).await;
    in_use.release();
    let used = write_pid(&database).await.unwrap();
    assert!(backends(&to).await.contains(&used));
    eventually("the last was closed", async || backends(&from).await.is_empty().then_some(())).await;
    assert_eq!(database.max_connections(), 5);
}

#[tokio::test]
async fn connections_that_are_forgotten() {
    let (database, pool) = tested(5).await;
    warm_up(&database, 5).await;
    let in_use = database.acquire().await.unwrap();
    let old = backends(&pool).await;
    database.forget_connections();
    for _ in 0..2 {
        assert!(!old.contains(&write_pid(&database).await.unwrap()));
    }
    in_use.release();
    assert!(!old.contains(&write_pid(&database).await.unwrap()));
    eventually("all were closed", async || backends(&pool).await.is_disjoint(&old).then_some(())).await;
    // None has lost its place.
    warm_up(&database, 5).await;
    assert_eq!(backends(&pool).await.len(), 5);
}

#[tokio::test]
async fn a_database_that_is_closed() {
    let (database, pool) = tested(3).await;
    warm_up(&database, 3).await;
    let mut in_use = database.acquire().await.unwrap();
    database.close();
    let refused = [write_pid(&database).await, database.clone().acquire().await.map(|_| 0)];
    for refused in refused {
        assert!(matches!(refused, Err(sqlx::Error::PoolClosed)), "{refused:?}");
    }
    eventually("the idle were closed", async || (backends(&pool).await.len() == 1).then_some(())).await;
    in_use.execute("insert into things values (1)").await.unwrap();
    in_use.release();
    eventually("the last was closed", async || backends(&pool).await.is_empty().then_some(())).await;
    assert_eq!(things(&pool).await, 1);
}
