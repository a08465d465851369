//! A [`Database`] that is tested, and what a test sees of its connections in Postgres.
#![allow(clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use keyset::Database;
use sqlx::{ConnectOptions, Executor, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::task::JoinHandle;

use super::{database, eventually, run};

/// What Postgres shows as the name of the connections that are tested.
const NAME: &str = "tested";

pub fn options(pool: &PgPool) -> PgConnectOptions {
    pool.connect_options().as_ref().clone().application_name(NAME)
}

/// A new database with an empty table: as it is tested, and as the test looks at it.
pub async fn tested(max_connections: usize) -> (Database, PgPool) {
    let pool = database().await;
    run(&pool, "create table things (id int8 primary key); create sequence runs").await;
    (Database::new(options(&pool), max_connections), pool)
}

/// The process that serves the connection which is used next.
pub async fn pid(database: &Database) -> i32 {
    database.read::<(i32,)>(|| sqlx::query("select pg_backend_pid()")).await.unwrap()[0].0
}

pub async fn write_pid(database: &Database) -> sqlx::Result<i32> {
    Ok(database.write::<(i32,)>(sqlx::query("select pg_backend_pid()")).await?[0].0)
}

/// Has so many connections made and given back.
pub async fn warm_up(database: &Database, connections: usize) {
    let held = try_join_all((0..connections).map(|_| database.acquire())).await.unwrap();
    held.into_iter().for_each(keyset::Connection::release);
}

/// The processes of the connections that are tested.
pub async fn backends(pool: &PgPool) -> BTreeSet<i32> {
    let sql = "select pid from pg_stat_activity where datname = current_database() and application_name = $1";
    sqlx::query_scalar(sql).bind(NAME).fetch_all(pool).await.unwrap().into_iter().collect()
}

/// The one process that does what this condition on `pg_stat_activity` says.
pub async fn backend(pool: &PgPool, condition: &str) -> i32 {
    let sql = format!(
        "select pid from pg_stat_activity
        where datname = current_database() and application_name = '{NAME}' and state = 'active' and {condition}"
    );
    eventually(condition, async || {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.as_str())).fetch_optional(pool).await.unwrap()
    })
    .await
}

pub const WAITS_FOR_LOCK: &str = "wait_event_type = 'Lock'";
pub const SLEEPS: &str = "wait_event = 'PgSleep'";

/// Ends processes of Postgres, and waits until they have ended.
pub async fn terminate(pool: &PgPool, pids: &BTreeSet<i32>) {
    for pid in pids {
        sqlx::query("select pg_terminate_backend($1)").bind(pid).execute(pool).await.unwrap();
    }
    eventually("they ended", async || backends(pool).await.is_disjoint(pids).then_some(())).await;
}

/// Holds up all reads and writes of the table until it is closed.
pub async fn lock_things(pool: &PgPool) -> PgConnection {
    let mut lock: PgConnection = pool.connect_options().connect().await.unwrap();
    lock.execute(sqlx::raw_sql("begin; lock table things in access exclusive mode")).await.unwrap();
    lock
}

pub fn count_things(database: &Database) -> JoinHandle<sqlx::Result<Vec<(i64,)>>> {
    let database = database.clone();
    tokio::spawn(async move { database.read(|| sqlx::query("select count(*) from things")).await })
}

pub async fn things(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from things").fetch_one(pool).await.unwrap()
}

pub fn state(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}
