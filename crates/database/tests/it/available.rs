//! Notices that a database is gone, hangs, or is back.

use database::{Availability, Database};
use sqlx::postgres::PgConnectOptions;

use crate::support::{
    NAME, Postgres, all_given_back, backends, call, eventually, eventually_backends, hold, pid, terminate, tested,
    warm_up, within, write_pid,
};

/// A server that hangs, restarts and comes back, over connections of each kind.
async fn hangs_and_restarts(server: &mut Postgres, options: PgConnectOptions) {
    let database = Database::new(options.application_name(NAME), 2);
    let mut availability = Availability::watch(database.clone());
    warm_up(&database, 2).await;
    for busy in [false, true] {
        let held = if busy { hold(&database, 2).await } else { Vec::new() };
        let frozen = server.freeze();
        let waiting = call(&database, "select pg_sleep(600)");
        assert!(!within("the hang was noticed", availability.changed()).await);
        waiting.abort();
        drop(held);
        drop(frozen);
        assert!(within("it was back", availability.changed()).await);
        write_pid(&database).await.unwrap();
        all_given_back(&database).await;
    }
    // No earlier connection is left.
    let pool = server.pool().await;
    eventually("the hung connections were closed", async || (backends(&pool).await.len() <= 3).then_some(())).await;
    pool.close().await;

    server.stop();
    assert!(!within("the stop was noticed", availability.changed()).await);
    within("it was lost", availability.lost()).await;
    server.start_again();
    assert!(within("it was back", availability.changed()).await);
    write_pid(&database).await.unwrap();
    database.close();
}

// Two threads, so that the runtime continues while the test waits for the server to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_and_a_restart_are_noticed() {
    let mut server = Postgres::start(&[]);
    let options = server.options();
    hangs_and_restarts(&mut server, options).await;
}

// Two threads, so that the runtime continues while the test waits for the server to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_and_a_restart_are_noticed_over_tcp() {
    let (mut server, port) = Postgres::over_tcp();
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port);
    let options = options.username("quire").database("postgres");
    hangs_and_restarts(&mut server, options).await;
}

#[tokio::test]
async fn a_busy_database_is_available() {
    let (database, pool) = tested(2).await;
    let availability = Availability::watch(database.clone());
    eventually_backends(&pool, 2).await;
    let held = hold(&database, 2).await;
    let all = eventually_backends(&pool, 3).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert!(availability.is_available());
    drop(held);
    // Only the reserved connection was opened, and none for checks.
    assert_eq!(backends(&pool).await, all);
}

#[tokio::test]
async fn a_database_is_available_when_one_connection_dies() {
    // With a maximum of two, a call during a check would open a second connection.
    let (database, pool) = tested(1).await;
    let mut availability = Availability::watch(database.clone());
    for _ in 0..5 {
        // Including the reserved connection.
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
async fn the_watcher_ends_when_nobody_watches() {
    let (database, pool) = tested(2).await;
    let availability = Availability::watch(database.clone());
    eventually_backends(&pool, 2).await;
    drop((availability, database));
    // The watcher held a clone of the database.
    eventually_backends(&pool, 0).await;
}
