//! The private Postgres.

use std::{
    fs,
    path::{Path, PathBuf},
};

use private_postgres::Settings;
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;

use crate::Result;

/// A database of its own, so that a data directory that is used for something else as well comes to no harm.
const NAME: &str = "pages";

/// Settings of all of Postgres.
const EXTRA: [(&str, &str); 4] = [
    // The statement of a page is read where Postgres shows what a connection runs, which is cut at 1,024 bytes.
    ("track_activity_query_size", "16384"),
    // It counts the statements of those connections alone that ask for it.
    ("shared_preload_libraries", "pg_stat_statements"),
    ("pg_stat_statements.track", "none"),
    // Connections are counted in its log.
    ("log_connections", "on"),
];

/// The settings of the server's connections that decide how a page's statement is run.
const PLANNING: [(&str, &str); 4] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_sort", "off"),
    ("enable_incremental_sort", "off"),
    ("jit", "off"),
];

/// A running Postgres, as durable as one that serves: its directory is removed when it is dropped, unless it was named.
pub(crate) struct Database {
    // The first to be dropped, which stops it before its directory goes.
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

    /// Makes the database that is measured, unless an earlier run did.
    pub(crate) async fn create(&self) -> Result<()> {
        let mut connection = self.options().database("postgres").connect().await?;
        let exists = "select exists (select from pg_database where datname = $1)";
        if !sqlx::query_scalar::<_, bool>(exists).bind(NAME).fetch_one(&mut connection).await? {
            sqlx::raw_sql("create database pages").execute(&mut connection).await?;
        }
        Ok(connection.close().await?)
    }

    /// How to connect, with no settings beyond Postgres's own.
    pub(crate) fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.server.socket_dir())
            .port(self.server.port())
            .username(self.server.user())
            .database(NAME)
    }

    /// How to connect so that a page's statement is run as it is for the server.
    pub(crate) fn options_for_pages(&self) -> PgConnectOptions {
        self.options().options(PLANNING)
    }

    pub(crate) fn url(&self) -> String {
        self.options().to_url_lossy().to_string()
    }

    /// The same for connections whose statements are counted.
    pub(crate) fn url_for_counting(&self) -> String {
        format!("{}&options[pg_stat_statements.track]=top", self.url())
    }

    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        Ok(self.options().connect().await?)
    }

    /// How many connections Postgres has accepted, each by a process of its own.
    pub(crate) fn connections_made(&self) -> Result<usize> {
        let log = fs::read(self.data_dir.join("postgres.log"))?;
        Ok(String::from_utf8_lossy(&log).matches("connection received: ").count())
    }

    /// The postmaster, whose children are all other processes of Postgres.
    pub(crate) fn process_id(&self) -> u32 {
        self.server.process_id()
    }

    /// The pgbench that came with this Postgres, which stands beside it.
    pub(crate) fn pgbench(&self) -> Result<PathBuf> {
        let postgres = std::fs::read_link(format!("/proc/{}/exe", self.process_id()))?;
        let pgbench = postgres.with_file_name("pgbench");
        if pgbench.is_file() { Ok(pgbench) } else { Err(format!("there is no {}", pgbench.display()).into()) }
    }

    pub(crate) fn stop(self) -> Result<()> {
        Ok(self.server.stop()?)
    }
}
