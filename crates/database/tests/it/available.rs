//! How it is noticed that a database is gone, hangs, or is back.

use database::{Availability, Database};
use sqlx::postgres::PgConnectOptions;

use crate::support::{
    NAME, Postgres, all_given_back, backends, call, eventually, eventually_backends, hold, pid, terminate, tested,
    warm_up, within, write_pid,
};

/// A server that hangs, restarts and comes back, as seen over connections of each kind.
async fn hangs_and_restarts(server: &mut Postgres, options: PgConnectOptions) {
    let database = Database::new(options.application_name(NAME), 2);
    let mut availability = Availability::watch(database.clone());
    warm_up(&database, 2).await;
    for busy in [false, true] {
        let held = if busy { hold(&database, 2).await } else { Vec::new() };
        let frozen = server.freeze();
        let waiting = call(&database, "select pg_sleep(600)");
        assert!(!within("it was found to hang", availability.changed()).await);
        waiting.abort();
        drop(held);
        drop(frozen);
        assert!(within("it was back", availability.changed()).await);
        write_pid(&database).await.unwrap();
        all_given_back(&database).await;
    }
    // No earlier connection is left.
    let pool = server.pool().await;
    eventually("the hung were closed", async || (backends(&pool).await.len() <= 3).then_some(())).await;
    pool.close().await;

    server.stop();
    assert!(!within("it was found to be gone", availability.changed()).await);
    within("it was lost", availability.lost()).await;
    server.start_again();
    assert!(within("it was back", availability.changed()).await);
    write_pid(&database).await.unwrap();
    database.close();
}

// A runtime that goes on while the test waits for the server to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_and_restarts() {
    let mut server = Postgres::start(&[]);
    let options = server.options();
    hangs_and_restarts(&mut server, options).await;
}

// A runtime that goes on while the test waits for the server to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_and_restarts_over_tcp() {
    let (mut server, port) = Postgres::over_tcp();
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port);
    let options = options.username("quire").database("postgres");
    hangs_and_restarts(&mut server, options).await;
}

#[tokio::test]
async fn a_busy_database_is_not_gone() {
    let (database, pool) = tested(2).await;
    let availability = Availability::watch(database.clone());
    eventually_backends(&pool, 2).await;
    let held = hold(&database, 2).await;
    let all = eventually_backends(&pool, 3).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert!(availability.is_available());
    drop(held);
    // One that is reserved, and none that was made for a question.
    assert_eq!(backends(&pool).await, all);
}

#[tokio::test]
async fn one_connection_that_died_is_not_a_database_that_is_gone() {
    // With two, a call that comes with a question would have a second one made.
    let (database, pool) = tested(1).await;
    let mut availability = Availability::watch(database.clone());
    for _ in 0..5 {
        // The reserved one too.
        let all = eventually_backends(&pool, 2).await;
        terminate(&pool, &all).await;
        pid(&database).await;
        let changed = tokio::time::timeout(std::time::Duration::from_millis(500), availability.changed()).await;
        assert!(changed.is_err());
        let sleep = call(&database, "select pg_sleep(600)");
        crate::support::backend(&pool, crate::support::SLEEPS).await;
        sleep.abort();
        all_given_back(&database).await;
    }
}

#[tokio::test]
async fn nobody_who_asks() {
    let (database, pool) = tested(2).await;
    let availability = Availability::watch(database.clone());
    eventually_backends(&pool, 2).await;
    drop((availability, database));
    // The one who watched has it as well.
    eventually_backends(&pool, 0).await;
}
