use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool::{
    Runtime,
    managed::{self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType},
};
use sqlx::{
    ConnectOptions, FromRow, Postgres,
    postgres::{PgArguments, PgConnectOptions, PgConnection, PgDatabaseError, PgRow, PgSeverity},
    query::Query,
};

use crate::COUNTER_SLOTS;

/// How long a statement waits for a connection while all of them are in use: longer than whoever watches the database needs
/// to find that it hangs, which is not the same as being at its limit.
const WAIT_TIMEOUT: Duration = Duration::from_millis(1_200);
/// How long a new connection may take. A wait and a connect together stay below two seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(700);
/// How old a connection becomes that is still taken, so that what each keeps in the server's memory is let go of.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// A Postgres database, and the connections to it. Cloning it is cheap, and clones have the same connections.
///
/// A connection that was given back is used again as it is, with no round trip to ask whether it is alive: a read that
/// meets a dead one is run once more on a live one. When one turns out to be dead, the others that are as old are not used
/// again. A statement that nobody waits for any more, since its caller hung up, is stopped: its connection is closed, which
/// Postgres (from 14 on) looks out for.
///
/// Connections are made fit for pages; everything else of the options stays as it is.
///
/// - Generic plans, since a page's plan never depends on the values bound: planning anew takes longer than the page.
/// - A statement cache above the number of shapes that a page's statement has, and no statements in the log.
/// - No sort where an index gives the order: before a new table is analyzed, Postgres guesses that it is small, and
///   would sort all of it for each page.
/// - No just-in-time compilation: no statement here runs long enough to earn it back.
#[derive(Clone)]
pub struct Database {
    pool: managed::Pool<Connector>,
    next_slot: Arc<AtomicI32>,
}

impl Database {
    /// The database that these options name, with at most so many connections, made as they are needed.
    pub fn new(options: PgConnectOptions, max_connections: usize) -> Self {
        let connector = Connector { options: RwLock::new(fit_for_pages(options)), generation: AtomicU64::new(0) };
        let pool = managed::Pool::builder(connector).max_size(max_connections).runtime(Runtime::Tokio1);
        // The connection that was used last is the one whose backend is still in the processor's caches.
        let pool = pool.queue_mode(QueueMode::Lifo);
        let pool = pool.wait_timeout(Some(WAIT_TIMEOUT)).create_timeout(Some(CONNECT_TIMEOUT)).build();
        // Building fails only for timeouts without a runtime.
        Self { pool: pool.unwrap_or_else(|error| unreachable!("{error}")), next_slot: Arc::default() }
    }

    /// The slot for the next statement that writes to a [`Counter`](crate::Counter): each of 0 to 15 in turn.
    ///
    /// In turn and not at random, since of sixteen writers at the same time some two would nearly always meet. So, two have
    /// the same slot only where one is still at it when sixteen more have begun.
    pub fn next_slot(&self) -> i32 {
        // Where the number wraps around, the slots go on in turn: there is a whole number of rounds.
        self.next_slot.fetch_add(1, Ordering::Relaxed).rem_euclid(COUNTER_SLOTS)
    }

    /// How its connections are made.
    pub fn options(&self) -> PgConnectOptions {
        self.pool.manager().options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most connections that it has.
    pub fn max_connections(&self) -> usize {
        self.pool.status().max_size
    }

    /// The connections that are in use.
    pub fn connections_in_use(&self) -> usize {
        let status = self.pool.status();
        status.size.saturating_sub(status.available)
    }

    /// Takes the database to be where these options say from now on. Connections of before are not used again.
    pub fn move_to(&self, options: PgConnectOptions) {
        *self.pool.manager().options.write().unwrap_or_else(PoisonError::into_inner) = fit_for_pages(options);
        self.forget_connections();
    }

    /// Does not use the connections of before again, as when their server was seen to be gone.
    pub fn forget_connections(&self) {
        self.pool.manager().generation.fetch_add(1, Ordering::Release);
        drop(self.pool.retain(|_, _| false));
    }

    /// Closes the connections that are idle, and each other one when it is given back. No statement can be run any more.
    pub fn close(&self) {
        self.pool.close();
    }

    /// Runs a statement that only reads: `query` makes it, once or, if its connection has died, twice.
    ///
    /// # Errors
    ///
    /// Those of [`Database::acquire`] and of the statement, and [`sqlx::Error::ColumnDecode`] for a row that is not a `T`.
    pub async fn read<'q, T>(&self, query: impl Fn() -> Query<'q, Postgres, PgArguments>) -> sqlx::Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        rows(self.read_rows(query).await?.iter())
    }

    pub(crate) async fn read_rows<'q>(
        &self,
        query: impl Fn() -> Query<'q, Postgres, PgArguments>,
    ) -> sqlx::Result<Vec<PgRow>> {
        let rows = self.acquire().await?.run(query()).await;
        if !rows.as_ref().is_err_and(ends_connection) {
            return rows;
        }
        self.acquire().await?.run(query()).await
    }

    /// Runs a statement that may write, once, and gives the rows that it returns. When its connection dies, whether it was
    /// done is not known.
    ///
    /// # Errors
    ///
    /// Those of [`Database::read`].
    pub async fn write<'q, T>(&self, query: Query<'q, Postgres, PgArguments>) -> sqlx::Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        rows(self.acquire().await?.run(query).await?.iter())
    }

    /// A connection for more than one statement: a transaction, say.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::PoolTimedOut`] when all stayed in use for 1.2 seconds, [`sqlx::Error::Io`] when there was no answer to
    /// a new one, and whatever Postgres refuses it with.
    pub async fn acquire(&self) -> sqlx::Result<Connection> {
        match self.pool.get().await {
            Ok(mut place) => {
                let connection = place.connection.take().ok_or(sqlx::Error::WorkerCrashed)?;
                Ok(Connection { connection, place })
            }
            Err(PoolError::Backend(error)) => Err(error),
            Err(PoolError::Timeout(TimeoutType::Wait)) => Err(sqlx::Error::PoolTimedOut),
            Err(PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle)) => {
                Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
            }
            Err(PoolError::Closed) => Err(sqlx::Error::PoolClosed),
            // It has a runtime, and no hook.
            Err(PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_)) => Err(sqlx::Error::WorkerCrashed),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Database").field("connections", &self.pool.status()).finish()
    }
}

/// A connection in use. It is given back by [`Connection::release`] and by nothing else: dropped before that, with a
/// statement or a transaction begun and not ended, it is closed.
#[must_use]
pub struct Connection {
    connection: PgConnection,
    /// Its place in the pool, empty meanwhile.
    place: Object<Connector>,
}

impl Connection {
    /// Gives the connection back. Nothing may be left begun on it.
    pub fn release(self) {
        let Self { connection, mut place } = self;
        place.connection = Some(connection);
    }

    /// Runs one statement, and gives the connection back if it lives.
    async fn run(mut self, query: Query<'_, Postgres, PgArguments>) -> sqlx::Result<Vec<PgRow>> {
        let rows = query.fetch_all(&mut self.connection).await;
        match &rows {
            Err(error) if ends_connection(error) => self.forget_generation(),
            Ok(_) | Err(_) => self.release(),
        }
        rows
    }

    /// Does not use connections as old as this one again.
    fn forget_generation(self) {
        if let Some(pool) = Object::pool(&self.place) {
            let old = self.place.generation;
            // Where another has done so already, those since are live.
            let _ = pool.manager().generation.compare_exchange(old, old + 1, Ordering::Release, Ordering::Relaxed);
        }
    }
}

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connection")
    }
}

/// Makes the connections of a [`Database`].
struct Connector {
    options: RwLock<PgConnectOptions>,
    /// Counts how often the server was found to be gone; connections of before are as dead as the one that found it.
    generation: AtomicU64,
}

/// A place in the pool.
struct Place {
    /// Absent while it is in use, and after it was closed.
    connection: Option<PgConnection>,
    generation: u64,
}

impl managed::Manager for Connector {
    type Type = Place;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<Place> {
        // Before the options: one that is made by old options is to be of an old generation.
        let generation = self.generation.load(Ordering::Acquire);
        let options = self.options.read().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Place { connection: Some(options.connect().await?), generation })
    }

    async fn recycle(&self, place: &mut Place, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        let is_open = place.connection.is_some() && place.generation == self.generation.load(Ordering::Acquire);
        if is_open && metrics.age() < MAX_AGE { Ok(()) } else { Err(RecycleError::message("closed, or too old")) }
    }
}

fn fit_for_pages(options: PgConnectOptions) -> PgConnectOptions {
    options.disable_statement_logging().statement_cache_capacity(1_000).options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_sort", "off"),
        ("enable_incremental_sort", "off"),
        ("jit", "off"),
        // A statement whose connection was closed is stopped after this long.
        ("client_connection_check_interval", "250ms"),
    ])
}

pub(crate) fn rows<'r, T: FromRow<'r, PgRow>>(rows: impl ExactSizeIterator<Item = &'r PgRow>) -> sqlx::Result<Vec<T>> {
    // To collect into a result would lose the length.
    let mut read = Vec::with_capacity(rows.len());
    for row in rows {
        read.push(T::from_row(row)?);
    }
    Ok(read)
}

/// Whether no statement can be run on the connection after this error.
fn ends_connection(error: &sqlx::Error) -> bool {
    let severity = || error.as_database_error()?.try_downcast_ref().map(PgDatabaseError::severity);
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_))
        || matches!(severity(), Some(PgSeverity::Fatal | PgSeverity::Panic))
}
