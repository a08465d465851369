//! What makes agents offline that were silent for longer than their time to live.

use std::time::Duration;

use database::Database;
use platform::{Clock, Platform, now};
use sqlx::{ConnectOptions, PgConnection};
use time::OffsetDateTime;
use tokio::time::error::Elapsed;
use uuid::Uuid;

/// The name of the lock that one sweeper of a database at a time holds: "agents" in ASCII.
const SWEEP_LOCK: i64 = 0x61_67_65_6e_74_73;

/// How long a sweeper rests after each turn.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long a connection, or a page of agents, may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a sweeper may say nothing before Postgres ends its connection. One whose machine is gone, or that was halted,
/// does not keep the lock from the others for longer.
const SILENCE: &str = "30s";

/// Makes silent agents offline, in all workspaces of a database.
///
/// However many sweepers a database has, one of them sweeps: the one that holds the lock. It holds it by a connection of its
/// own, and so for no longer than it lives; then another has it.
#[derive(Debug)]
pub struct Sweeper {
    database: Database,
    clock: Clock,
    /// The connection, and whether it holds the lock.
    connection: Option<(PgConnection, bool)>,
}

impl Sweeper {
    pub(crate) fn new(platform: &Platform) -> Self {
        Self { database: platform.database.clone(), clock: platform.clock.clone(), connection: None }
    }

    /// Takes a turn every few seconds for as long as it is polled, whatever goes wrong in one of them.
    pub async fn run(mut self) {
        loop {
            match self.turn().await {
                Ok(None | Some(0)) => {}
                Ok(Some(agents)) => tracing::info!(agents, "agents that were silent are offline"),
                Err(error) => tracing::warn!(%error, "cannot look for silent agents; trying again"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Goes through all agents once, and tells how many have become offline; nothing when another sweeper has the lock.
    ///
    /// # Errors
    ///
    /// When the database fails, or is silent. The next turn begins with a new connection.
    pub async fn turn(&mut self) -> sqlx::Result<Option<u64>> {
        // Taken, so that one that fails is closed, and the lock let go of.
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
            // Those of a page that are silent are looked up by their ids, however many Postgres takes them to be.
            ("enable_hashjoin", "off"),
        ]);
        options.connect().await
    }
}

async fn try_lock(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(SWEEP_LOCK).fetch_one(connection).await
}

/// Goes through all agents, a page at a time, so that no heartbeat waits for more than a page.
async fn sweep(connection: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<u64> {
    // Before every workspace.
    let mut last = (String::new(), Uuid::nil());
    let mut swept = 0;
    while let Some((workspace, id, count)) = in_time(sweep_page(connection, &last, now)).await? {
        last = (workspace, id);
        swept += count.unsigned_abs();
    }
    Ok(swept)
}

/// Goes through the page of agents behind this one. The last of them, and how many have become offline; nothing behind all
/// of them.
///
/// An agent whose row is locked by its heartbeat is looked at once more behind that, and lives.
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

/// An error when it takes too long, as when the database hangs.
async fn in_time<T>(step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    match tokio::time::timeout(TIMEOUT, step).await {
        Ok(done) => done,
        Err(Elapsed { .. }) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}
