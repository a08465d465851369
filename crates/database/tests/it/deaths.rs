//! Connections that die.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use crate::support::{
    Postgres, WAITS_FOR_LOCK, all_given_back, backend, backends, call, count_things, eventually_backends, hold,
    lock_things, pid, state, statement, terminate, tested, things, warm_up, write_pid,
};

#[tokio::test]
async fn when_one_connection_dies_those_of_its_generation_are_not_used() {
    let (database, pool) = tested(4).await;
    warm_up(&database, 4).await;
    let old = backends(&pool).await;
    assert_eq!(old.len(), 4);
    terminate(&pool, &old).await;

    // The read is run a second time, on a new connection.
    let new = pid(&database).await;
    // None of these is run twice, so none was given one of the three other dead connections.
    for _ in 0..8 {
        assert_eq!(write_pid(&database).await.unwrap(), new);
    }
    assert_eq!(backends(&pool).await, BTreeSet::from([new]));
}

#[tokio::test]
async fn concurrent_reads_survive_the_death_of_all_connections() {
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
    // Twice, and not a third time.
    assert_eq!(state(&read.await.unwrap().unwrap_err()).unwrap(), "57P01");
}

#[tokio::test]
async fn a_write_whose_connection_dies_is_run_once() {
    let (database, pool) = tested(2).await;
    // A sequence counts the runs, because it never takes back a number.
    let fatal = "select nextval('runs'), pg_terminate_backend(pg_backend_pid()), pg_sleep(60)";
    let runs = async || -> i64 { sqlx::query_scalar("select last_value from runs").fetch_one(&pool).await.unwrap() };
    let error = database.write_rows(statement(fatal)).await.unwrap_err();
    assert_eq!((state(&error).unwrap().as_str(), runs().await), ("57P01", 1));
    let error = database.read_rows(statement(fatal)).await.unwrap_err();
    assert_eq!((state(&error).unwrap().as_str(), runs().await), ("57P01", 3));

    // The connection is dead before it gets the statement.
    warm_up(&database, 2).await;
    terminate(&pool, &backends(&pool).await).await;
    database.write_rows(statement("insert into things values (1)")).await.unwrap_err();
    assert_eq!(things(&pool).await, 0);
    database.write_rows(statement("insert into things values (1)")).await.unwrap();
    assert_eq!(things(&pool).await, 1);
}

#[tokio::test]
async fn a_dead_connection_frees_its_place() {
    let (database, pool) = tested(1).await;
    for _ in 0..10 {
        let dies = BTreeSet::from([pid(&database).await]);
        tokio::join!(join_all((0..4).map(|_| pid(&database))), terminate(&pool, &dies));
    }
    pid(&database).await;
    all_given_back(&database).await;
    eventually_backends(&pool, 1).await;
}

#[tokio::test]
async fn a_waiting_caller_gets_the_place_of_a_dead_connection() {
    let (database, pool) = tested(1).await;
    let dies = BTreeSet::from([pid(&database).await]);
    let held = hold(&database, 1).await;
    let waiting = call(&database, "select");
    tokio::task::yield_now().await;
    terminate(&pool, &dies).await;
    drop(held);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_database_reconnects_after_its_server_restarts() {
    let mut server = Postgres::start(&[]);
    let database = database::connect(server.options(), database::Limits::of_connections(4));
    warm_up(&database, 4).await;
    let before = pid(&database).await;
    server.stop();
    assert!(matches!(database.read_rows(statement("select")).await, Err(sqlx::Error::Io(_))));
    server.start_again();
    assert_ne!(write_pid(&database).await.unwrap(), before);
}
