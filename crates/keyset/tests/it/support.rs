//! A new database for each test.
pub mod everything;

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use keyset::{List, Listing, Page, Paging, options_for_pages};
use pagination::{PageTokens, proto::PageRequest};
use private_postgres::Server;
use sqlx::{
    Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

static DATABASES: AtomicU32 = AtomicU32::new(0);

fn server() -> PgConnectOptions {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| Server::temporary().unwrap());
    PgConnectOptions::new_without_pgpass()
        .socket(server.socket_dir())
        .port(server.port())
        .username(server.user())
        .database("postgres")
}

/// A new, empty database.
pub async fn database() -> PgPool {
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect_with(&server()).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.unwrap();
    let options = options_for_pages(server().database(&name));
    PgPoolOptions::new().max_connections(8).connect_with(options).await.unwrap()
}

/// A database with types of its own.
pub async fn database_with_types() -> PgPool {
    let pool = database().await;
    run(
        &pool,
        "create extension citext;
        create schema \"Odd Schema\";
        create type mood as enum ('sad', 'glad');
        create type \"Odd Schema\".\"Mood\" as enum ('sad', 'glad');
        create type point_of as (x int4, y text);
        create domain positive as int4 check (value > 0);
        create domain code as varchar(12)",
    )
    .await;
    pool
}

/// Pages over the connections of this pool.
pub fn paging(pool: &PgPool) -> Paging {
    let keys = "test:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".parse().unwrap();
    Paging::new(pool.clone(), PageTokens::new(keys), &[])
}

pub async fn run(pool: &PgPool, sql: &str) {
    pool.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await.unwrap();
}

/// Waits until an attempt succeeds.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let attempts = async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(what, attempts).await
}

/// Waits for a future for a minute: long enough for a busy machine. Only a failing test waits this long.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(Duration::from_secs(60), future).await else { panic!("waited until {what}") };
    value
}

pub fn request(page_size: i32, page_token: &str) -> PageRequest {
    PageRequest { page_size, page_token: page_token.to_owned(), ..Default::default() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
pub struct Id {
    pub id: i64,
}

pub fn ids(page: &Page<Id>) -> Vec<i64> {
    page.rows.iter().map(|row| row.id).collect()
}

/// Makes a value static, for a listing that a test builds.
pub fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

pub async fn open(pool: &PgPool, listing: Listing) -> List {
    paging(pool).open(leak(listing)).await.unwrap()
}
