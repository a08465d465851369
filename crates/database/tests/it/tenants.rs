//! Tenants that share connections.
use std::time::Duration;

use database::{Database, Limits, Tenant};
use futures_util::future::join_all;
use sqlx::PgPool;
use tokio::task::JoinHandle;

use crate::support::{
    SLEEPS, all_given_back, backend, backends, eventually, hold, options, run, state, statement, tested, within,
};

const FOREVER: &str = "select pg_sleep(1000)";

/// A database with four connections under these limits: a tenant may hold three, one of them with a slow statement.
async fn shared(slow_after: Duration) -> (Database, PgPool) {
    let (_, pool) = tested(1).await;
    let limits = Limits { slow_after, statement_timeout: Duration::from_secs(1000), ..Limits::of_connections(4) };
    (Database::with_limits(options(&pool), limits), pool)
}

/// A task that runs a statement on behalf of a tenant.
fn call(tenant: &str, database: &Database, sql: &'static str) -> JoinHandle<sqlx::Result<()>> {
    let (tenant, database) = (Tenant::new(tenant), database.clone());
    tokio::spawn(tenant.scope(async move { database.write_rows(statement(sql)).await.map(drop) }))
}

fn calls(tenant: &str, database: &Database, sql: &'static str, count: usize) -> Vec<JoinHandle<sqlx::Result<()>>> {
    (0..count).map(|_| call(tenant, database, sql)).collect()
}

async fn in_use(database: &Database, count: usize) {
    eventually("they ran", async || (database.connections_in_use() == count).then_some(())).await;
}

async fn is_served(tenant: &str, database: &Database) {
    within("it was served", call(tenant, database, "select")).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_tenant_holds_at_most_its_share() {
    let (database, pool) = shared(Duration::from_secs(1000)).await;
    let busy = calls("a", &database, FOREVER, 16);
    in_use(&database, 3).await;
    for _ in 0..20 {
        is_served("b", &database).await;
    }
    // Those that wait are refused, and those that run are not stopped.
    let refused = eventually("the others were refused", async || {
        let refused = busy.iter().filter(|call| call.is_finished()).count();
        (refused == 13).then_some(refused)
    });
    refused.await;
    assert_eq!(database.connections_in_use(), 3);
    // Statements without a tenant have no share.
    drop(hold(&database, 1).await);
    for call in busy {
        call.abort();
    }
    all_given_back(&database).await;
    assert_eq!(backends(&pool).await.len(), 5, "four connections and the reserved one");
}

#[tokio::test]
async fn slow_statements_have_a_smaller_share() {
    let (database, pool) = shared(Duration::ZERO).await;
    let slow = call("a", &database, FOREVER);
    backend(&pool, SLEEPS).await;
    let refused = call("a", &database, "select").await.unwrap();
    assert!(matches!(refused, Err(sqlx::Error::PoolTimedOut)), "{refused:?}");
    is_served("b", &database).await;
    slow.abort();
    all_given_back(&database).await;
    is_served("a", &database).await;
}

#[tokio::test]
async fn slow_statements_above_their_share_are_stopped_for_another_tenant() {
    let (database, pool) = shared(Duration::from_millis(50)).await;
    let mut slow = calls("a", &database, FOREVER, 3);
    in_use(&database, 3).await;
    let other = call("b", &database, FOREVER);
    in_use(&database, 4).await;
    let before = backends(&pool).await;
    is_served("c", &database).await;
    let (stopped, _, rest) = futures_util::future::select_all(slow).await;
    slow = rest;
    assert_eq!(state(&stopped.unwrap().unwrap_err()).as_deref(), Some("57014"));
    assert!(!other.is_finished() && !slow.iter().any(JoinHandle::is_finished));
    assert!(backends(&pool).await.is_superset(&before), "its connection is used again");
    for call in slow.into_iter().chain([other]) {
        call.abort();
    }
    all_given_back(&database).await;
}

/// Together, tenants within their shares can hold all connections.
#[tokio::test]
async fn a_tenant_that_holds_nothing_is_served_beside_any_number_of_slow_ones() {
    let (database, _pool) = shared(Duration::from_millis(50)).await;
    let slow: Vec<_> = ["a", "b", "c", "d"].map(|tenant| call(tenant, &database, FOREVER)).into();
    in_use(&database, 4).await;
    is_served("e", &database).await;
    slow.iter().for_each(JoinHandle::abort);
    all_given_back(&database).await;
}

#[tokio::test]
async fn the_next_caller_is_of_the_tenant_that_holds_the_fewest() {
    let (database, _pool) = shared(Duration::from_secs(1000)).await;
    let mut held = hold(&database, 4).await;
    let many = calls("a", &database, FOREVER, 10);
    tokio::task::yield_now().await;
    let one = call("b", &database, "select");
    tokio::task::yield_now().await;
    drop(held.drain(..2));
    within("it was served", one).await.unwrap().unwrap();
    drop(held);
    many.iter().for_each(JoinHandle::abort);
    all_given_back(&database).await;
}

/// The server allows four of sixteen connections, one of which is reserved.
#[tokio::test]
async fn shares_are_of_the_connections_that_the_server_allows() {
    let (_, pool) = tested(1).await;
    run(&pool, "create role scarce login connection limit 4").await;
    let limits = Limits { statement_timeout: Duration::from_secs(1000), ..Limits::of_connections(16) };
    let database = Database::with_limits(options(&pool).username("scarce"), limits);
    let attack = tokio::spawn({
        let database = database.clone();
        async move {
            loop {
                join_all(calls("a", &database, "select pg_sleep(2)", 16)).await;
            }
        }
    });
    backend(&pool, SLEEPS).await;
    for _ in 0..20 {
        is_served("b", &database).await;
    }
    attack.abort();
}
