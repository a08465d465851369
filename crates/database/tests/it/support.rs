//! A [`Database`] under test, and its connections as Postgres shows them.

use std::{
    collections::BTreeSet,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use database::Database;
use futures_util::future::try_join_all;
use keyset::{Connections, HeldConnection, Statement};
pub use private_postgres::testing::Frozen;
use private_postgres::{Server, Settings};
use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// The application name of the connections under test.
pub const NAME: &str = "tested";
pub const WAITS_FOR_LOCK: &str = "wait_event_type = 'Lock'";
pub const SLEEPS: &str = "wait_event = 'PgSleep'";

static DATABASES: AtomicU32 = AtomicU32::new(0);

pub fn statement(sql: &'static str) -> Statement {
    Statement::new(sql)
}

fn shared() -> PgConnectOptions {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| Server::temporary().unwrap());
    let options = PgConnectOptions::new_without_pgpass().socket(server.socket_dir()).port(server.port());
    options.username(server.user()).database("postgres")
}

/// A new, empty database on the server that tests share.
pub async fn database() -> PgPool {
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect_with(&shared()).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.unwrap();
    PgPoolOptions::new().max_connections(8).connect_with(shared().database(&name)).await.unwrap()
}

pub fn options(pool: &PgPool) -> PgConnectOptions {
    pool.connect_options().as_ref().clone().application_name(NAME)
}

/// A new database with an empty table: once under test, and once for the test to look at.
pub async fn tested(max_connections: usize) -> (Database, PgPool) {
    let pool = database().await;
    run(&pool, "create table things (id int8 primary key); create sequence runs").await;
    (Database::new(options(&pool), max_connections), pool)
}

pub async fn run(pool: &PgPool, sql: &str) {
    pool.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await.unwrap();
}

/// The process id of the backend that serves the next statement.
pub async fn pid(database: &Database) -> i32 {
    database.read::<(i32,)>(statement("select pg_backend_pid()")).await.unwrap()[0].0
}

pub async fn write_pid(database: &Database) -> sqlx::Result<i32> {
    Ok(database.write::<(i32,)>(statement("select pg_backend_pid()")).await?[0].0)
}

/// A task that runs a statement, as a caller does.
pub fn call(database: &Database, sql: &'static str) -> JoinHandle<sqlx::Result<()>> {
    let database = database.clone();
    tokio::spawn(async move { database.write_rows(statement(sql)).await.map(drop) })
}

/// Takes this many connections.
pub async fn hold(database: &Database, connections: usize) -> Vec<HeldConnection> {
    try_join_all((0..connections).map(|_| database.connection())).await.unwrap()
}

/// Opens this many connections, and gives them back.
pub async fn warm_up(database: &Database, connections: usize) {
    drop(hold(database, connections).await);
    all_given_back(database).await;
}

pub async fn all_given_back(database: &Database) {
    eventually("all connections were given back", async || (database.connections_in_use() == 0).then_some(())).await;
}

/// The process ids of the connections under test, including the reserved one.
pub async fn backends(pool: &PgPool) -> BTreeSet<i32> {
    let sql = "select pid from pg_stat_activity where application_name = $1 and datname = current_database()";
    sqlx::query_scalar(sql).bind(NAME).fetch_all(pool).await.unwrap().into_iter().collect()
}

/// Waits until there are `count` backends.
pub async fn eventually_backends(pool: &PgPool, count: usize) -> BTreeSet<i32> {
    eventually("the number of backends was reached", async || {
        let backends = backends(pool).await;
        (backends.len() == count).then_some(backends)
    })
    .await
}

/// The process id of the one active backend that meets this condition on `pg_stat_activity`.
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

/// Terminates backends, and waits until they have ended.
pub async fn terminate(pool: &PgPool, pids: &BTreeSet<i32>) {
    for pid in pids {
        sqlx::query("select pg_terminate_backend($1)").bind(pid).execute(pool).await.unwrap();
    }
    eventually("they ended", async || backends(pool).await.is_disjoint(pids).then_some(())).await;
}

/// Blocks all reads and writes of the table until the connection is closed.
pub async fn lock_things(pool: &PgPool) -> PgConnection {
    let mut lock: PgConnection = pool.connect_options().connect().await.unwrap();
    lock.execute(sqlx::raw_sql("begin; lock table things in access exclusive mode")).await.unwrap();
    lock
}

pub fn count_things(database: &Database) -> JoinHandle<sqlx::Result<Vec<(i64,)>>> {
    let database = database.clone();
    tokio::spawn(async move { database.read(statement("select count(*) from things")).await })
}

pub async fn things(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from things").fetch_one(pool).await.unwrap()
}

pub fn state(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
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

/// A private Postgres that a test can stop, start and freeze.
pub struct Postgres {
    server: Option<Server>,
    settings: Settings,
    _directory: TempDir,
}

impl Postgres {
    pub fn start(extra: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let extra = extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let settings = Settings { data_dir: directory.path().join("data"), durable: false, extra };
        let server = Some(Server::start(&settings).unwrap());
        Self { server, settings, _directory: directory }
    }

    /// A server that also listens on a port of the loopback address, which is returned.
    pub fn over_tcp() -> (Self, u16) {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        (Self::start(&[("listen_addresses", "127.0.0.1"), ("port", &port.to_string())]), port)
    }

    /// Closes all connections, and then stops.
    pub fn stop(&mut self) {
        self.server.take().unwrap().stop().unwrap();
    }

    pub fn start_again(&mut self) {
        self.server = Some(Server::start(&self.settings).unwrap());
    }

    pub fn options(&self) -> PgConnectOptions {
        let server = self.server.as_ref().unwrap();
        let port = self.settings.extra.iter().find(|(name, _)| name == "port");
        let port = port.map_or(server.port(), |(_, port)| port.parse().unwrap());
        let options = PgConnectOptions::new_without_pgpass().socket(server.socket_dir()).port(port);
        options.username(server.user()).database("postgres")
    }

    /// Connections for the test to look at the server.
    pub async fn pool(&self) -> PgPool {
        PgPoolOptions::new().max_connections(2).connect_with(self.options()).await.unwrap()
    }

    /// Stops its main process while the result is kept, so that there are no new connections.
    pub fn freeze_postmaster(&self) -> Frozen {
        Frozen::process(self.server.as_ref().unwrap().process_id())
    }

    /// Stops all its processes while the result is kept.
    pub fn freeze(&self) -> Frozen {
        Frozen::server(self.server.as_ref().unwrap())
    }
}
