use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use keyset::{Connections, HeldConnection, Statement};
use sqlx::{
    FromRow, Row,
    postgres::{PgConnectOptions, PgConnection, PgRow},
};

use crate::{
    Limits,
    connect::{ends_connection, is_cancelled},
    pool::{Pool, Pooled},
    queue::Stop,
    running::Running,
    stopped::Stopped,
};

/// A Postgres database and its connections. Cloning it is cheap, and clones share the connections.
///
/// A statement, or a whole transaction, owns its connection. A caller that leaves, by dropping the future, costs no
/// connection: a short statement ends by itself, and one that runs for another 100 ms is cancelled. A caller that
/// leaves while it waits for a connection never reaches the database.
///
/// A connection that was given back is reused without a round trip to check it, unless it was idle for over 30 seconds.
/// A read on a dead connection is run once more on a live one. When a connection turns out to be dead, the connections
/// that were open at that time are not used again.
///
/// If the server, the role or the database allows fewer connections than requested, callers wait for the existing ones.
/// One more connection is reserved for cancelling statements and for [`Availability`](crate::Availability). If it
/// cannot be opened, a statement is stopped by closing its connection.
///
/// Connections get the options of [`keyset::options_for_pages`], keepalives, and a `client_connection_check_interval`.
/// Other options stay as they are.
#[derive(Clone)]
pub struct Database {
    pub(crate) pool: Arc<Pool>,
}

impl Database {
    /// A database with these connection options and at most `max_connections` connections, which are opened when
    /// needed.
    ///
    /// A task of the current runtime closes connections that were idle for four minutes. Without a runtime, there is no
    /// such task.
    pub fn new(options: PgConnectOptions, max_connections: usize) -> Self {
        Self::with_limits(options, Limits::of_connections(max_connections))
    }

    /// As [`Database::new`], with these limits.
    pub fn with_limits(options: PgConnectOptions, limits: Limits) -> Self {
        Self { pool: Pool::new(options, limits) }
    }

    /// The options of new connections.
    pub fn options(&self) -> PgConnectOptions {
        self.pool.lock().options.clone()
    }

    /// The maximum number of connections, without the reserved one.
    pub fn max_connections(&self) -> usize {
        self.pool.max_connections
    }

    /// The number of connections in use.
    pub fn connections_in_use(&self) -> usize {
        self.pool.in_use()
    }

    /// Opens connections with these options from now on. Existing connections are not used again.
    pub fn move_to(&self, options: PgConnectOptions) {
        self.pool.forget(None, Some(options));
    }

    /// Stops using the existing connections, for example when their server is gone.
    pub fn forget_connections(&self) {
        self.pool.forget(None, None);
    }

    /// Closes idle connections now and others when they are given back. No further statement can run.
    pub fn close(&self) {
        self.pool.close();
    }

    /// Runs a statement that only reads. If its connection dies, runs it once more. [`Statement::fetch_all`] describes what
    /// happens if its table was changed.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::PoolTimedOut`] if no connection becomes free within 1.2 seconds, [`sqlx::Error::Io`] if none can
    /// be opened, [`sqlx::Error::PoolClosed`] after [`Database::close`], and any error of the statement.
    pub async fn read_rows(&self, statement: Statement) -> sqlx::Result<Vec<PgRow>> {
        let rows = self.run(self.pool.acquire().await?, statement.clone()).await;
        if !rows.as_ref().is_err_and(ends_connection) {
            return rows;
        }
        self.run(self.pool.acquire().await?, statement).await
    }

    /// Runs a statement that may write, once, and returns its rows. If its connection dies or its caller leaves, it is
    /// unknown whether the statement took effect.
    ///
    /// # Errors
    ///
    /// Those of [`Database::read_rows`].
    pub async fn write_rows(&self, statement: Statement) -> sqlx::Result<Vec<PgRow>> {
        self.run(self.pool.acquire().await?, statement).await
    }

    /// Runs [`Database::read_rows`], and converts the rows to values.
    ///
    /// # Errors
    ///
    /// Those of [`Database::read_rows`], and [`sqlx::Error::ColumnDecode`] for a row that does not convert to `T`.
    pub async fn read<T: for<'r> FromRow<'r, PgRow>>(&self, statement: Statement) -> sqlx::Result<Vec<T>> {
        values(&self.read_rows(statement).await?)
    }

    /// Runs [`Database::write_rows`], and converts the returned rows to values.
    ///
    /// # Errors
    ///
    /// Those of [`Database::read`].
    pub async fn write<T: for<'r> FromRow<'r, PgRow>>(&self, statement: Statement) -> sqlx::Result<Vec<T>> {
        values(&self.write_rows(statement).await?)
    }

    /// Begins a transaction with this SQL and runs `work` in it. Commits if `work` returns `Ok`, and rolls back
    /// otherwise.
    ///
    /// If the caller leaves, each statement that runs for over 100 ms is cancelled; a transaction that ends before that
    /// is committed. If the connection dies during the commit, or the caller leaves, it is unknown whether the
    /// transaction was committed.
    ///
    /// `work` must wait only for its statements, and must return `Err` if one of them fails: after a failed statement,
    /// Postgres turns the commit into a rollback and reports no error. It runs them by [`Statement::fetch_all`], so that a
    /// changed table fails one transaction of each connection, and not all.
    ///
    /// # Errors
    ///
    /// Those of `work` and of [`Database::write_rows`], and any error of the commit.
    pub async fn transaction<T, E>(
        &self,
        begin: &'static str,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<sqlx::Error> + Send + 'static,
    {
        let pooled = self.pool.acquire().await?;
        let transaction = async move |mut pooled: Pooled| {
            let outcome = in_transaction(&mut pooled.connection, begin, work).await;
            if outcome.is_ok() {
                return (Some(pooled), outcome);
            }
            let ended = roll_back(&mut pooled.connection).await;
            (pooled.after(&ended).filter(|_| ended.is_ok()), outcome)
        };
        self.run_until_stopped(pooled, transaction).await
    }

    async fn run(&self, pooled: Pooled, statement: Statement) -> sqlx::Result<Vec<PgRow>> {
        let rows = async |mut pooled: Pooled| {
            let rows = statement.fetch_all(&mut pooled.connection).await;
            (pooled.after(&rows), rows)
        };
        self.run_until_stopped(pooled, rows).await
    }

    /// Runs a statement or a transaction. If it is told to stop, it is left as if its caller had gone.
    async fn run_until_stopped<F, T, E>(&self, mut pooled: Pooled, work: impl FnOnce(Pooled) -> F) -> Result<T, E>
    where
        F: Future<Output = (Option<Pooled>, Result<T, E>)> + Send + 'static,
        T: Send + 'static,
        E: From<sqlx::Error> + Send + 'static,
    {
        let stopped = pooled.stopped.take();
        let stopped = async {
            match stopped {
                Some(stopped) => stopped.await,
                None => std::future::pending().await,
            }
        };
        let running = Running::new(&self.pool, pooled, work);
        tokio::select! {
            biased;
            outcome = running => outcome,
            Ok(Stop) = stopped => Err(sqlx::Error::from(Stopped).into()),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (in_use, max) = (self.connections_in_use(), self.max_connections());
        formatter.debug_struct("Database").field("in_use", &in_use).field("max_connections", &max).finish()
    }
}

impl Connections for Database {
    fn rows(&self, statement: Statement) -> BoxFuture<'_, sqlx::Result<Vec<PgRow>>> {
        Box::pin(self.read_rows(statement))
    }

    fn connection(&self) -> BoxFuture<'_, sqlx::Result<HeldConnection>> {
        Box::pin(async {
            let pooled = Some(self.pool.acquire().await?);
            Ok(Box::new(Held { pooled, pool: Arc::clone(&self.pool) }) as HeldConnection)
        })
    }

    fn max_connections(&self) -> usize {
        self.max_connections()
    }
}

/// A connection for several statements. When it is dropped, it is given back if it is in no transaction, and closed
/// otherwise.
struct Held {
    /// `None` only while it is dropped.
    pooled: Option<Pooled>,
    pool: Arc<Pool>,
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        let Some(pooled) = &self.pooled else { unreachable!("it is being dropped") };
        &pooled.connection
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        let Some(pooled) = &mut self.pooled else { unreachable!("it is being dropped") };
        &mut pooled.connection
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(pooled) = self.pooled.take() {
            // Runs as a statement whose caller has already left.
            drop(Running::new(&self.pool, pooled, async |mut pooled: Pooled| {
                let idle = is_idle(&mut pooled.connection).await;
                (pooled.after(&idle).filter(|_| idle.is_ok_and(|idle| idle)), ())
            }));
        }
    }
}

/// Whether the connection is in no transaction. Then `now()`, the start of the transaction, is the start of this
/// statement.
async fn is_idle(connection: &mut PgConnection) -> sqlx::Result<bool> {
    const SQL: &str = "select now() = statement_timestamp()";
    let row = match sqlx::raw_sql(SQL).fetch_one(&mut *connection).await {
        // The error may belong to an abandoned statement. An error of this statement would occur again.
        Err(sqlx::Error::Database(_)) => sqlx::raw_sql(SQL).fetch_one(connection).await?,
        row => row?,
    };
    row.try_get(0)
}

async fn in_transaction<T, E: From<sqlx::Error>>(
    connection: &mut PgConnection,
    begin: &'static str,
    work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>>,
) -> Result<T, E> {
    sqlx::raw_sql(begin).execute(&mut *connection).await?;
    let output = work(connection).await?;
    sqlx::raw_sql("commit").execute(connection).await?;
    Ok(output)
}

/// Rolls back. If the rollback is cancelled, the transaction is still open, so the rollback runs once more.
async fn roll_back(connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut ended = sqlx::raw_sql("rollback").execute(&mut *connection).await;
    if ended.as_ref().is_err_and(is_cancelled) {
        ended = sqlx::raw_sql("rollback").execute(connection).await;
    }
    ended.map(drop)
}

fn values<T: for<'r> FromRow<'r, PgRow>>(rows: &[PgRow]) -> sqlx::Result<Vec<T>> {
    // Collecting into a `Result` would lose the size hint.
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        values.push(T::from_row(row)?);
    }
    Ok(values)
}
