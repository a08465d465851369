//! The private Postgres.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use private_postgres::Settings;
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::process::Command;

use crate::Result;

/// The benchmark has its own database, so that other databases in the data directory are not changed.
const NAME: &str = "pages";

/// Settings of the whole server.
const EXTRA: [(&str, &str); 4] = [
    // The statement of a page is read from pg_stat_activity, which truncates it at 1,024 bytes by default.
    ("track_activity_query_size", "16384"),
    // It counts statements only for connections that enable it.
    ("shared_preload_libraries", "pg_stat_statements"),
    ("pg_stat_statements.track", "none"),
    // Connections are counted in the log.
    ("log_connections", "on"),
];

/// The settings of Quire's connections that affect the plan of a page's statement.
const PLANNING: [(&str, &str); 4] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_sort", "off"),
    ("enable_incremental_sort", "off"),
    ("jit", "off"),
];

/// A running Postgres, with the same durability as in production. Its directory is removed when it is dropped, unless
/// the arguments name it.
pub(crate) struct Database {
    // Dropped first, so that Postgres stops before its directory is removed.
    server: private_postgres::Server,
    data_dir: PathBuf,
    _directory: Option<TempDir>,
}

impl Database {
    pub(crate) fn start(data_dir: Option<&Path>) -> Result<Self> {
        let directory = if data_dir.is_none() { Some(TempDir::with_prefix("pages-")?) } else { None };
        let temporary = directory.as_ref().map(|directory| directory.path().join("data"));
        let data_dir = data_dir.map(Path::to_owned).or(temporary).ok_or("there is no directory for the database")?;
        let extra = EXTRA.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let server = private_postgres::Server::start(&Settings { data_dir: data_dir.clone(), durable: true, extra })?;
        Ok(Self { server, data_dir, _directory: directory })
    }

    /// Creates the database, unless an earlier run has created it.
    pub(crate) async fn create(&self) -> Result<()> {
        let mut connection = self.options().database("postgres").connect().await?;
        let exists = "select exists (select from pg_database where datname = $1)";
        if !sqlx::query_scalar::<_, bool>(exists).bind(NAME).fetch_one(&mut connection).await? {
            sqlx::raw_sql("create database pages").execute(&mut connection).await?;
        }
        Ok(connection.close().await?)
    }

    /// The connection options, with Postgres's default settings.
    pub(crate) fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.server.socket_dir())
            .port(self.server.port())
            .username(self.server.user())
            .database(NAME)
    }

    /// The connection options with Quire's settings for a page's statement.
    pub(crate) fn options_for_pages(&self) -> PgConnectOptions {
        self.options().options(PLANNING)
    }

    pub(crate) fn url(&self) -> String {
        self.options().to_url_lossy().to_string()
    }

    /// The URL for connections whose statements are counted.
    pub(crate) fn url_for_counting(&self) -> String {
        format!("{}&options[pg_stat_statements.track]=top", self.url())
    }

    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        Ok(self.options().connect().await?)
    }

    /// How many connections Postgres has accepted. Each has its own process.
    pub(crate) fn connections_made(&self) -> Result<usize> {
        let log = fs::read(self.data_dir.join("postgres.log"))?;
        Ok(String::from_utf8_lossy(&log).matches("connection received: ").count())
    }

    /// The postmaster, whose children are all other processes of Postgres.
    pub(crate) fn process_id(&self) -> u32 {
        self.server.process_id()
    }

    /// A program in the same directory as this Postgres.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let postgres = std::fs::read_link(format!("/proc/{}/exe", self.process_id()))?;
        let program = postgres.with_file_name(name);
        if program.is_file() { Ok(program) } else { Err(format!("there is no {}", program.display()).into()) }
    }

    /// psql, which runs this command.
    pub(crate) fn psql(&self, sql: &str) -> Result<Command> {
        let mut psql = Command::new(self.program("psql")?);
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", sql])
            .args(["--host".as_ref(), self.server.socket_dir().as_os_str()])
            .args(["--port", &self.server.port().to_string()])
            .args(["--username", self.server.user()])
            .args(["--dbname", NAME])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(psql)
    }

    pub(crate) fn stop(self) -> Result<()> {
        Ok(self.server.stop()?)
    }
}
