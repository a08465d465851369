use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use keyset::Statement;
use tokio::time::{Instant, sleep};

use crate::Database;

/// The pause between two readings.
const INTERVAL: Duration = Duration::from_secs(1);
/// A thousandth: how much faster or slower the clock of this machine may be than the database's.
const DRIFT: u32 = 1_000;

/// The clock of the database, without a statement for each look at it.
///
/// The database's time is read once a second. In between, the monotonic clock of this process tells how much time has
/// passed. So servers whose own clocks differ agree on the time, as far as their readings are exact: an error is at most
/// half a round trip to the database, and a millisecond for each second since the reading.
///
/// While the database does not answer, the clock continues from the last reading.
#[derive(Clone)]
pub struct DatabaseClock(Arc<Mutex<Reading>>);

impl DatabaseClock {
    /// Reads the database's clock, and from then on once a second until the last clone of this value is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`Database::read_rows`] when the first reading fails.
    pub async fn follow(database: Database) -> sqlx::Result<Self> {
        let reading = Arc::new(Mutex::new(Reading::take(&database).await?));
        tokio::spawn(follow(database, Arc::downgrade(&reading)));
        Ok(Self(reading))
    }

    /// The time of the database.
    pub fn now(&self) -> SystemTime {
        lock(&self.0).at(Instant::now())
    }
}

impl fmt::Debug for DatabaseClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DatabaseClock")
    }
}

async fn follow(database: Database, reading: Weak<Mutex<Reading>>) {
    loop {
        sleep(INTERVAL).await;
        let new = Reading::take(&database).await;
        let Some(known) = reading.upgrade() else { return };
        match new {
            Ok(new) => {
                let mut known = lock(&known);
                if new.replaces(&known) {
                    *known = new;
                }
            }
            Err(sqlx::Error::PoolClosed) => return,
            // `Availability` reports a database that does not answer.
            Err(error) => tracing::debug!(%error, "cannot read the database's clock"),
        }
    }
}

fn lock(reading: &Mutex<Reading>) -> MutexGuard<'_, Reading> {
    reading.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the database's clock showed at a time of this process.
#[derive(Debug, Clone, Copy)]
struct Reading {
    time: SystemTime,
    at: Instant,
    /// How far `time` may be off.
    error: Duration,
}

impl Reading {
    async fn take(database: &Database) -> sqlx::Result<Self> {
        let asked = Instant::now();
        let statement = Statement::new("select (extract(epoch from clock_timestamp()) * 1000000)::int8");
        let mut rows = database.read(statement).await?;
        let (microseconds,): (i64,) = rows.pop().ok_or(sqlx::Error::RowNotFound)?;
        // The database read its clock at some time between the question and its answer.
        let error = asked.elapsed() / 2;
        Ok(Self { time: UNIX_EPOCH + Duration::from_micros(microseconds.unsigned_abs()), at: asked + error, error })
    }

    /// The time of the database at this time of the process.
    fn at(&self, at: Instant) -> SystemTime {
        match at.checked_duration_since(self.at) {
            Some(since) => self.time + since,
            None => self.time - self.at.duration_since(at),
        }
    }

    /// How far [`Reading::at`] may be off by drift.
    fn error_at(&self, at: Instant) -> Duration {
        self.error + at.saturating_duration_since(self.at) / DRIFT
    }

    /// Whether this later reading is more exact, or shows that the database's clock was set or is another one.
    fn replaces(&self, known: &Self) -> bool {
        let (error, expected) = (known.error_at(self.at), known.at(self.at));
        let difference = self.time.duration_since(expected).unwrap_or_else(|earlier| earlier.duration());
        self.error <= error || difference > self.error + error
    }
}
