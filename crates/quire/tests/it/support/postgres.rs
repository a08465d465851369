//! A Postgres that the test controls, and failures of a Postgres.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
pub use private_postgres::testing::Frozen;
use private_postgres::{Server, Settings};
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;

use super::{DataDir, eventually};

/// A Postgres that a test stops and starts. Acknowledged writes survive a restart.
pub struct Postgres {
    server: Option<Server>,
    settings: Settings,
    _directory: TempDir,
}

impl Postgres {
    pub fn start(extra: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let extra = extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let settings = Settings { data_dir: directory.path().join("data"), durable: true, extra };
        let server = Some(Server::start(&settings).unwrap());
        Self { server, settings, _directory: directory }
    }

    /// Shuts it down as `pg_ctl stop -m fast` does: with SIGINT, on which Postgres closes all connections.
    pub fn stop(&mut self) {
        self.server.take().unwrap().stop().unwrap();
    }

    pub fn start_again(&mut self) {
        self.server = Some(Server::start(&self.settings).unwrap());
    }

    pub fn options(&self) -> PgConnectOptions {
        let server = self.server.as_ref().unwrap();
        let options = PgConnectOptions::new_without_pgpass().socket(server.socket_dir()).port(server.port());
        options.username(server.user()).database("postgres")
    }

    pub fn url(&self) -> String {
        self.options().to_url_lossy().to_string()
    }

    /// Stops all its processes until the returned value is dropped.
    pub fn freeze(&self) -> Frozen {
        Frozen::server(self.server.as_ref().unwrap())
    }
}

/// The main process of a private Postgres.
pub fn postmaster(data_dir: &DataDir) -> Option<u32> {
    std::fs::read_to_string(data_dir.file("postgres/postmaster.pid")).ok()?.lines().next()?.parse().ok()
}

/// Kills a process without a chance to clean up.
pub fn kill_process(pid: u32) {
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
}

/// Waits until this many statements of the server wait for a lock.
pub async fn wait_for_locked(options: &PgConnectOptions, statements: i64) {
    let mut connection: PgConnection = options.connect().await.unwrap();
    let sql = "
        select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'quire' and wait_event_type = 'Lock'";
    let what = format!("{statements} statements waited for a lock");
    eventually(&what, async || {
        let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        (waiting == statements).then_some(())
    })
    .await;
}

/// Blocks all writes to the prompts until the connection is closed.
pub async fn hold_up_writes(database: &PgConnectOptions) -> PgConnection {
    let mut lock = database.connect().await.unwrap();
    sqlx::raw_sql("begin; lock table prompts in share mode").execute(&mut lock).await.unwrap();
    lock
}
