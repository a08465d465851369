use std::{collections::HashSet, time::Duration};

use database::Database;
use futures_util::future::BoxFuture;
use keyset::Rarely;
use metrics::counter;
use sqlx::{ConnectOptions, PgConnection};
use tokio::time::{Instant, error::Elapsed, sleep_until, timeout};

/// The pause between the end of a sweep and its next beginning.
const INTERVAL: Duration = Duration::from_secs(5);
/// The timeout for connecting, for a lock, and for each page.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a sweeper's connection may be idle before Postgres closes it. This limits how long a sweeper that hangs, or
/// whose machine is down, holds its locks.
const SILENCE: &str = "30s";

/// Work on the rows of all workspaces that no call does: what time has changed, and what an earlier release has written.
pub trait Sweep: Send + Sync {
    /// Its name, in the log, in the metric `swept_rows_total`, and in the advisory lock of the sweep.
    fn name(&self) -> &'static str;

    /// Sweeps the next page of rows: a bounded number, in a bounded time.
    fn page<'a>(&'a mut self, connection: &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<Swept>>;
}

/// The result of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// How many rows were changed.
    pub rows: u64,
    /// Whether this was the last page. Then the sweep pauses, and begins again.
    pub is_last: bool,
}

/// Runs the sweeps of a process, page by page, over one connection of its own.
///
/// Several processes can sweep one database, but each sweep has an advisory lock, and only the holder of the lock sweeps.
/// The locks belong to the connection, so they are released when the sweeper ends, and another sweeper takes over.
pub struct Sweeper {
    database: Database,
    entries: Vec<Entry>,
    connection: Option<Connection>,
}

struct Entry {
    sweep: Box<dyn Sweep>,
    /// When its next page is due.
    due: Instant,
}

struct Connection {
    connection: PgConnection,
    /// The names of the sweeps whose locks it holds.
    locks: HashSet<&'static str>,
}

impl Sweeper {
    /// A sweeper of this database.
    pub fn new(database: Database, sweeps: Vec<Box<dyn Sweep>>) -> Self {
        let due = Instant::now();
        let entries = sweeps.into_iter().map(|sweep| Entry { sweep, due }).collect();
        Self { database, entries, connection: None }
    }

    /// Sweeps again and again, each sweep a few seconds after it has reached its end or has failed, and never ends. Errors
    /// are logged.
    pub async fn run(mut self) {
        while let Some(due) = self.entries.iter().map(|entry| entry.due).min() {
            sleep_until(due).await;
            // The error is in the log.
            self.round().await.ok();
        }
    }

    /// Runs all sweeps to their ends once. Returns how many rows were changed, or `None` if other sweepers hold all
    /// locks.
    ///
    /// # Errors
    ///
    /// The first error of a sweep, when the database fails or does not answer in time. The other sweeps have run.
    pub async fn turn(&mut self) -> sqlx::Result<Option<u64>> {
        let begin = Instant::now();
        self.entries.iter_mut().for_each(|entry| entry.due = begin);
        let mut swept: sqlx::Result<u64> = Ok(0);
        while self.entries.iter().any(|entry| entry.due <= begin) {
            let round = self.round().await;
            swept = swept.and_then(|rows| Ok(rows + round?));
        }
        let holds_a_lock = self.connection.as_ref().is_some_and(|connection| !connection.locks.is_empty());
        Ok(holds_a_lock.then_some(swept?))
    }

    /// Sweeps one page of each sweep that is due, so that a long sweep does not delay the others, and one that fails does
    /// not stop them. Returns how many rows were changed, or the first error.
    async fn round(&mut self) -> sqlx::Result<u64> {
        static FAILED: Rarely = Rarely::new();
        let now = Instant::now();
        let Self { database, entries, connection } = self;
        let mut swept: sqlx::Result<u64> = Ok(0);
        for Entry { sweep, due } in entries.iter_mut().filter(|entry| entry.due <= now) {
            let page = page(database, connection, sweep.as_mut()).await;
            if let Err(error) = &page
                && let Some(times) = FAILED.times()
            {
                tracing::warn!(%error, sweep = sweep.name(), times, "cannot sweep; retrying");
            }
            if page.as_ref().map_or(true, |page| page.is_last) {
                *due = Instant::now() + INTERVAL;
            }
            swept = swept.and_then(|rows| Ok(rows + page?.rows));
        }
        swept
    }
}

impl Connection {
    /// Whether it holds the lock of this sweep, now or since an earlier turn.
    async fn holds(&mut self, sweep: &'static str) -> sqlx::Result<bool> {
        if self.locks.contains(sweep) {
            return Ok(true);
        }
        let lock = sqlx::query_scalar("select pg_try_advisory_lock(hashtextextended($1, 0))");
        let holds = in_time(lock.bind(format!("quire sweep {sweep}")).fetch_one(&mut self.connection)).await?;
        if holds {
            self.locks.insert(sweep);
        }
        Ok(holds)
    }
}

/// Sweeps one page, if this process holds the lock of the sweep. After an error the connection is dropped, which releases
/// all locks.
async fn page(database: &Database, held: &mut Option<Connection>, sweep: &mut dyn Sweep) -> sqlx::Result<Swept> {
    let mut connection = match held.take() {
        Some(connection) => connection,
        None => Connection { connection: in_time(connect(database)).await?, locks: HashSet::new() },
    };
    let name = sweep.name();
    let page = if connection.holds(name).await? {
        in_time(sweep.page(&mut connection.connection)).await?
    } else {
        Swept { rows: 0, is_last: true }
    };
    *held = Some(connection);
    if page.rows > 0 {
        tracing::info!(rows = page.rows, sweep = name, "swept");
        counter!("swept_rows_total", "sweep" => name).increment(page.rows);
    }
    Ok(page)
}

async fn connect(database: &Database) -> sqlx::Result<PgConnection> {
    let options = database.options().application_name("quire sweep").options([
        ("idle_session_timeout", SILENCE),
        // The rows of a page are looked up by their ids, even if Postgres overestimates their number.
        ("enable_hashjoin", "off"),
    ]);
    options.connect().await
}

/// Fails with a timeout, as when the database hangs.
async fn in_time<T>(step: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    match timeout(TIMEOUT, step).await {
        Ok(done) => done,
        Err(Elapsed { .. }) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}
