//! Callers that leave.

use std::{collections::BTreeSet, time::Duration};

use database::Database;
use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use sqlx::{Executor, PgConnection, PgPool};
use tokio::time::timeout;

use crate::support::{
    Frozen, SLEEPS, WAITS_FOR_LOCK, all_given_back, backend, backends, call, count_things, eventually_backends,
    lock_things, options, pid, run, state, statement, tested, things, warm_up, write_pid,
};

#[tokio::test]
async fn a_short_statement_ends_by_itself() {
    let (database, pool) = tested(1).await;
    let used = pid(&database).await;
    for round in 1..=20 {
        // The statement owns its values.
        let insert = statement("insert into things select $1 from pg_sleep(0.05)").bind(i64::from(round));
        let _ = timeout(Duration::from_millis(3), database.write_rows(insert)).await;
        assert_eq!(pid(&database).await, used);
        assert_eq!(things(&pool).await, i64::from(round));
    }
    // Nothing was cancelled, which would need a second connection.
    assert_eq!(backends(&pool).await, BTreeSet::from([used]));
}

#[tokio::test]
async fn a_long_statement_is_cancelled_and_its_connection_is_reused() {
    let (database, pool) = tested(2).await;
    warm_up(&database, 2).await;
    let used = backends(&pool).await;
    let lock = lock_things(&pool).await;
    // More often than there are connections.
    for _ in 0..10 {
        let sleep = call(&database, "select pg_sleep(600)");
        let wait = count_things(&database);
        let pids = BTreeSet::from([backend(&pool, SLEEPS).await, backend(&pool, WAITS_FOR_LOCK).await]);
        assert_eq!(pids, used);
        sleep.abort();
        wait.abort();
        assert!(sleep.await.unwrap_err().is_cancelled() && wait.await.unwrap_err().is_cancelled());
        all_given_back(&database).await;
    }
    drop(lock);
    assert!(used.contains(&write_pid(&database).await.unwrap()));
    // The reserved connection is open too.
    let all = eventually_backends(&pool, 3).await;
    assert!(all.is_superset(&used));
}

/// Statements that end at about the time of their cancel. A cancel that comes too late would hit the next statement on
/// the connection.
#[tokio::test]
async fn no_cancel_hits_the_next_statement() {
    let (_, pool) = tested(1).await;
    let lane = async |lane: u32| {
        let database = Database::new(options(&pool), 1);
        let used = pid(&database).await;
        for round in 0..60 {
            // 100 ms after the caller has left, plus or minus 4.
            let milliseconds = 98.0 + 0.13 * f64::from((lane + round * 11) % 64);
            let sleep = statement("select pg_sleep($1::float8 / 1000)").bind(milliseconds);
            let _ = timeout(Duration::from_millis(2), database.write_rows(sleep)).await;
            // Starts right after it, and runs long enough to be hit.
            for _ in 0..5 {
                let next = database.write::<(i32,)>(statement("select pg_backend_pid() from pg_sleep(0.001)")).await;
                assert_eq!(next.unwrap()[0].0, used);
            }
        }
        database
    };
    let lanes = join_all((0..8).map(lane)).await;
    assert_eq!(backends(&pool).await.len(), lanes.len() * 2, "each has cancelled over one connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_that_leave_lose_no_connection() {
    for max_connections in [1, 2, 16] {
        let (database, pool) = tested(max_connections).await;
        warm_up(&database, max_connections).await;
        let made = backends(&pool).await;
        let storm = (0..64_u64).map(|caller| {
            let database = database.clone();
            tokio::spawn(async move {
                for round in 0..40 {
                    let delay = Duration::from_micros((caller * 7_919 + round * 104_729) % 50_000);
                    let sleep = if round % 8 == 0 { 0.15 } else { 0.001 };
                    let call = statement("select pg_sleep($1)").bind(sleep);
                    let called = timeout(delay, database.write_rows(call)).await;
                    assert!(matches!(called, Err(_) | Ok(Ok(_) | Err(sqlx::Error::PoolTimedOut))), "{called:?}");
                }
            })
        });
        for caller in join_all(storm).await {
            caller.unwrap();
        }
        all_given_back(&database).await;
        let mut left = backends(&pool).await;
        left.retain(|pid| !made.contains(pid));
        assert!(left.len() <= 1, "{left:?} were opened besides the reserved connection");
        assert!(backends(&pool).await.is_superset(&made));
        for _ in 0..max_connections * 2 {
            write_pid(&database).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_statement_can_be_dropped_at_any_moment() {
    let (database, pool) = tested(2).await;
    warm_up(&database, 2).await;
    let made = backends(&pool).await;
    for microseconds in (0..100).map(|round| round * 73) {
        let reads = join_all((0..3).map(|_| pid(&database)));
        let _ = timeout(Duration::from_micros(microseconds), reads).await;
    }
    all_given_back(&database).await;
    assert_eq!(backends(&pool).await, made);
    write_pid(&database).await.unwrap();
}

fn insert(connection: &mut PgConnection) -> BoxFuture<'_, sqlx::Result<()>> {
    async { connection.execute("insert into things values (1)").await.map(drop) }.boxed()
}

#[tokio::test]
async fn a_transaction_commits_or_rolls_back() {
    let (database, pool) = tested(1).await;
    let used = pid(&database).await;
    database.transaction("begin", insert).await.unwrap();
    assert_eq!(things(&pool).await, 1);
    let failed = database.transaction("begin", insert).await.unwrap_err();
    assert_eq!(state(&failed).unwrap(), "23505");
    // A transaction that its work refuses, and one that cannot begin.
    let refused = database
        .transaction("begin isolation level repeatable read", |connection| {
            async {
                connection.execute("delete from things").await?;
                Err::<(), _>(sqlx::Error::RowNotFound)
            }
            .boxed()
        })
        .await;
    assert!(matches!(refused, Err(sqlx::Error::RowNotFound)));
    let failed = database.transaction("begin sideways", insert).await.unwrap_err();
    assert_eq!(state(&failed).unwrap(), "42601");
    // A transaction that fails at its commit.
    run(&pool, "alter table things add column self int8 references things deferrable initially deferred").await;
    let failed = database
        .transaction("begin", |connection| {
            async { connection.execute("insert into things values (2, 3)").await.map(drop) }.boxed()
        })
        .await
        .unwrap_err();
    assert_eq!(state(&failed).unwrap(), "23503");
    assert_eq!((things(&pool).await, pid(&database).await), (1, used));
    // Outside of a transaction, a statement commits at once.
    database.write_rows(statement("delete from things")).await.unwrap();
    assert_eq!(things(&pool).await, 0);
}

#[tokio::test]
async fn a_transaction_whose_caller_leaves_is_rolled_back() {
    let (database, pool) = tested(1).await;
    let used = pid(&database).await;
    for statements in 1..=3 {
        let begun = {
            let database = database.clone();
            tokio::spawn(async move {
                let work = async move |connection: &mut PgConnection| {
                    connection.execute("insert into things values (1)").await?;
                    for _ in 1..statements {
                        // A transaction that continues after a cancelled statement.
                        connection.execute("savepoint a").await?;
                        let _ = connection.execute("select pg_sleep(600)").await;
                        connection.execute("rollback to a").await?;
                    }
                    connection.execute("select pg_sleep(600)").await.map(drop)
                };
                database.transaction("begin", move |connection| async move { work(connection).await }.boxed()).await
            })
        };
        backend(&pool, SLEEPS).await;
        begun.abort();
        assert!(begun.await.unwrap_err().is_cancelled());
        all_given_back(&database).await;
        // It was rolled back, and holds no lock.
        assert_eq!(things(&pool).await, 0);
        assert_eq!(pid(&database).await, used);
        run(&pool, "begin; lock table things in access exclusive mode; commit").await;
    }
}

#[tokio::test]
async fn a_transaction_can_be_dropped_at_any_moment() {
    let (database, pool) = tested(1).await;
    let used = pid(&database).await;
    for round in 0..200_u64 {
        let _ = timeout(Duration::from_micros(round * 31), database.transaction("begin", insert)).await;
        all_given_back(&database).await;
        // Whether it was committed or not, no transaction is left open.
        database.write_rows(statement("delete from things")).await.unwrap();
        assert_eq!(things(&pool).await, 0);
    }
    assert_eq!(pid(&database).await, used);
}

#[tokio::test]
async fn a_reserved_connection_that_hangs_is_replaced() {
    let (database, pool) = tested(1).await;
    let used = give_up(&database, &pool).await;
    let reserved = eventually_backends(&pool, 2).await.into_iter().find(|pid| *pid != used).unwrap();
    let frozen = Frozen::process(reserved.try_into().unwrap());
    assert_eq!(give_up(&database, &pool).await, used);
    assert_eq!(write_pid(&database).await.unwrap(), used);
    drop(frozen);
    assert!(!eventually_backends(&pool, 2).await.contains(&reserved));
}

#[tokio::test]
async fn a_statement_that_cannot_be_cancelled_loses_its_connection() {
    let (_, pool) = tested(1).await;
    // No third connection, so the reserved one cannot be opened.
    run(&pool, "create role few login connection limit 2").await;
    let database = Database::new(options(&pool).username("few"), 2);
    warm_up(&database, 2).await;
    let closed = give_up(&database, &pool).await;
    let left = eventually_backends(&pool, 1).await;
    assert!(!left.contains(&closed));
    warm_up(&database, 2).await;
}

/// Starts a long statement, drops it, and returns the process id of its backend.
async fn give_up(database: &Database, pool: &PgPool) -> i32 {
    let sleep = call(database, "select pg_sleep(600)");
    let pid = backend(pool, SLEEPS).await;
    sleep.abort();
    all_given_back(database).await;
    pid
}
