use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{Row, postgres::PgConnection};
use tokio::time::Instant;

use crate::{Database, pool::Pool};

/// A thousandth: how much faster or slower the clock of this machine may be than the database's.
const DRIFT: u32 = 1_000;

/// The clock of the database, without a statement for each look at it.
///
/// [`Availability`](crate::Availability) reads the database's time whenever it checks whether the database answers. In
/// between, the monotonic clock of this process tells how much time has passed. So servers whose own clocks differ agree
/// on the time, as far as their readings are exact: an error is at most half a round trip to the database, and a
/// millisecond for each second since the reading.
///
/// While the database does not answer, the clock continues from the last reading.
#[derive(Clone)]
pub struct DatabaseClock {
    pool: Arc<Pool>,
    first: Reading,
}

impl DatabaseClock {
    /// The clock of this database, after a first reading.
    ///
    /// # Errors
    ///
    /// Those of [`Database::read_rows`] when the first reading fails.
    pub async fn of(database: &Database) -> sqlx::Result<Self> {
        let pool = database.pool.clone();
        let mut pooled = pool.acquire().await?;
        let first = pool.readings.ask(&mut pooled.connection).await?;
        pool.give_back(pooled);
        Ok(Self { pool, first })
    }

    /// The time of the database.
    pub fn now(&self) -> SystemTime {
        self.pool.readings.latest().unwrap_or(self.first).at(Instant::now())
    }
}

impl fmt::Debug for DatabaseClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DatabaseClock")
    }
}

/// What the connections of a pool have read.
#[derive(Default)]
pub(crate) struct Readings(Mutex<Option<Reading>>);

impl Readings {
    /// Asks this connection for the time, which also shows whether it answers.
    pub(crate) async fn ask(&self, connection: &mut PgConnection) -> sqlx::Result<Reading> {
        let new = Reading::take(connection).await?;
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.is_none_or(|known| new.replaces(&known)) {
            *latest = Some(new);
        }
        Ok(new)
    }

    fn latest(&self) -> Option<Reading> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the database's clock showed at a time of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    time: SystemTime,
    at: Instant,
    /// How far `time` may be off.
    error: Duration,
}

impl Reading {
    async fn take(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let asked = Instant::now();
        let sql = "select (extract(epoch from clock_timestamp()) * 1000000)::int8";
        let microseconds: i64 = sqlx::raw_sql(sql).fetch_one(connection).await?.try_get(0)?;
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
