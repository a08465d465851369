//! The sweeper: sets agents offline that have sent no heartbeat for longer than their time to live.

use std::time::Duration;

use database::Database;
use platform::{Clock, Platform, now};
use sqlx::{ConnectOptions, PgConnection};
use time::OffsetDateTime;
use tokio::time::error::Elapsed;
use uuid::Uuid;

/// The key of the advisory lock that only one sweeper of a database holds at a time: "agents" in ASCII.
const SWEEP_LOCK: i64 = 0x61_67_65_6e_74_73;

/// How long a sweeper pauses after each turn.
const INTERVAL: Duration = Duration::from_secs(5);
/// The timeout for connecting, and for each page of agents.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a sweeper's connection may be idle before Postgres closes it. This limits how long a sweeper that hangs, or
/// whose machine is down, holds the lock.
const SILENCE: &str = "30s";

/// Sets silent agents offline, in all workspaces of a database.
///
/// A database can have several sweepers, but only the holder of an advisory lock sweeps. The lock belongs to the
/// sweeper's own connection, so it is released when the sweeper ends, and another sweeper takes over.
#[derive(Debug)]
pub struct Sweeper {
    database: Database,
    clock: Clock,
    /// The connection, and whether the sweeper holds the lock.
    connection: Option<(PgConnection, bool)>,
}

impl Sweeper {
    pub(crate) fn new(platform: &Platform) -> Self {
        Self { database: platform.database.clone(), clock: platform.clock.clone(), connection: None }
    }

    /// Takes a turn every few seconds, and never ends. Errors are logged, and the next turn retries.
    pub async fn run(mut self) {
        loop {
            match self.turn().await {
                Ok(None | Some(0)) => {}
                Ok(Some(agents)) => tracing::info!(agents, "set silent agents offline"),
                Err(error) => tracing::warn!(%error, "cannot sweep silent agents; retrying"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Sweeps all agents once. Returns how many were set offline, or `None` if another sweeper holds the lock.
    ///
    /// # Errors
    ///
    /// When the database fails or does not answer in time. The next turn opens a new connection.
    pub async fn turn(&mut self) -> sqlx::Result<Option<u64>> {
        // After an error the connection is dropped, which releases the lock.
        let (mut connection, has_lock) = match self.connection.take() {
            Some(connection) => connection,
            None => (in_time(self.connect()).await?, false),
        };
        let has_lock = has_lock || in_time(try_lock(&mut connection)).await?;
        let swept = if has_lock { Some(sweep(&mut connection, now(&self.clock)).await?) } else { None };
        self.connection = Some((connection, has_lock));
        Ok(swept)
    }

    async fn connect(&self) -> sqlx::Result<PgConnection> {
        let options = self.database.options().application_name("quire sweep").options([
            ("idle_session_timeout", SILENCE),
            // The silent agents of a page are looked up by id, even if Postgres overestimates their number.
            ("enable_hashjoin", "off"),
        ]);
        options.connect().await
    }
}

async fn try_lock(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(SWEEP_LOCK).fetch_one(connection).await
}

/// Sweeps all agents, page by page, so that a heartbeat waits for one page at most.
async fn sweep(connection: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<u64> {
    // Sorts before every agent.
    let mut last = (String::new(), Uuid::nil());
    let mut swept = 0;
    while let Some((workspace, id, count)) = in_time(sweep_page(connection, &last, now)).await? {
        last = (workspace, id);
        swept += count.unsigned_abs();
    }
    Ok(swept)
}

/// Sweeps the page after this agent. Returns the page's last agent and how many agents were set offline, or `None` if
/// the page is empty.
///
/// If a heartbeat has locked an agent's row, Postgres checks the conditions again after the heartbeat, and the agent
/// stays online.
async fn sweep_page(
    connection: &mut PgConnection,
    (workspace, id): &(String, Uuid),
    now: OffsetDateTime,
) -> sqlx::Result<Option<(String, Uuid, i64)>> {
    let sql = "
        with page as (
            select workspace_id, id, heartbeat_time + time_to_live * interval '1 millisecond' < $3 as is_silent
            from agents
            where (workspace_id, id) > ($1, $2) and status not in ('suspended', 'offline')
            order by workspace_id, id limit 1000
        ), swept as (
            update agents set status = 'offline' from page
            where is_silent and agents.workspace_id = page.workspace_id and agents.id = page.id
                and status not in ('suspended', 'offline')
                and heartbeat_time + time_to_live * interval '1 millisecond' < $3
            returning agents.id
        )
        select workspace_id, id, (select count(*) from swept) from page
        order by workspace_id desc, id desc limit 1";
    sqlx::query_as(sql).bind(workspace).bind(id).bind(now).fetch_optional(connection).await
}

/// Fails with a timeout, as when the database hangs.
async fn in_time<T>(step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    match tokio::time::timeout(TIMEOUT, step).await {
        Ok(done) => done,
        Err(Elapsed { .. }) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}
