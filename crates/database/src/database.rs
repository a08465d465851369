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
    connect::{ends_connection, is_cancelled},
    pool::{Pool, Pooled},
    running::Running,
};

/// A Postgres database, and the connections to it. Cloning it is cheap, and clones have the same connections.
///
/// A statement, or a whole transaction, owns its connection. A caller who goes away, by dropping the future, costs no
/// connection: what is short ends by itself, and what runs on for 100 ms is cancelled. A caller who goes away while he waits
/// for a connection never reaches the database.
///
/// A connection that was given back is used again as it is, with no round trip to ask whether it is alive, unless it was
/// idle for over 30 seconds: a read that meets a dead one is run once more on a live one. When one turns out to be dead,
/// the others that are as old are not used again.
///
/// Where the server, the role or the database allows fewer connections than asked for, callers wait for those there are.
/// One more than asked for is reserved, for cancelling statements and for [`Availability`](crate::Availability). Without it,
/// a connection is closed where its statement would be cancelled.
///
/// Connections are made fit for pages by [`keyset::options_for_pages`]; everything else of the options stays as it is.
#[derive(Clone)]
pub struct Database {
    pub(crate) pool: Arc<Pool>,
}

impl Database {
    /// The database that these options name, with at most so many connections, made as they are needed.
    ///
    /// Connections that are idle for four minutes are closed by a task of the runtime in which this is called. Outside of a
    /// runtime there is no such task.
    pub fn new(options: PgConnectOptions, max_connections: usize) -> Self {
        Self { pool: Pool::new(options, max_connections) }
    }

    /// How its connections are made.
    pub fn options(&self) -> PgConnectOptions {
        self.pool.lock().options.clone()
    }

    /// The most connections that it has, apart from the reserved one.
    pub fn max_connections(&self) -> usize {
        self.pool.max_connections
    }

    /// The connections that are in use.
    pub fn connections_in_use(&self) -> usize {
        self.pool.in_use()
    }

    /// Connects by these options from now on. The connections that exist are not used again.
    pub fn move_to(&self, options: PgConnectOptions) {
        self.pool.forget(None, Some(options));
    }

    /// Does not use the connections that exist again, as when their server is gone.
    pub fn forget_connections(&self) {
        self.pool.forget(None, None);
    }

    /// Closes the connections that are idle, and each other one when it is given back. No statement can be run any more.
    pub fn close(&self) {
        self.pool.close();
    }

    /// Runs a statement that only reads, once or, if its connection has died, twice.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::PoolTimedOut`] when no connection became free in 1.2 seconds, [`sqlx::Error::Io`] when none could be
    /// made, [`sqlx::Error::PoolClosed`] after [`Database::close`], and whatever the statement fails with.
    pub async fn read_rows(&self, statement: Statement) -> sqlx::Result<Vec<PgRow>> {
        let rows = self.run(self.pool.acquire().await?, statement.clone()).await;
        if !rows.as_ref().is_err_and(ends_connection) {
            return rows;
        }
        self.run(self.pool.acquire().await?, statement).await
    }

    /// Runs a statement that may write, once, and gives the rows that it returns. When its connection dies or its caller
    /// goes away, whether it was done is not known.
    ///
    /// # Errors
    ///
    /// Those of [`Database::read_rows`].
    pub async fn write_rows(&self, statement: Statement) -> sqlx::Result<Vec<PgRow>> {
        self.run(self.pool.acquire().await?, statement).await
    }

    /// Reads as [`Database::read_rows`] does, into values.
    ///
    /// # Errors
    ///
    /// Those of [`Database::read_rows`], and [`sqlx::Error::ColumnDecode`] for a row that is not a `T`.
    pub async fn read<T: for<'r> FromRow<'r, PgRow>>(&self, statement: Statement) -> sqlx::Result<Vec<T>> {
        values(&self.read_rows(statement).await?)
    }

    /// Writes as [`Database::write_rows`] does, and gives the rows that it returns as values.
    ///
    /// # Errors
    ///
    /// Those of [`Database::read`].
    pub async fn write<T: for<'r> FromRow<'r, PgRow>>(&self, statement: Statement) -> sqlx::Result<Vec<T>> {
        values(&self.write_rows(statement).await?)
    }

    /// Begins a transaction with this SQL, runs `work` in it, commits if it gives `Ok` and rolls back otherwise.
    ///
    /// When the caller goes away, each statement that runs for over 100 ms is cancelled; a transaction that ends before that
    /// is committed. When the connection dies at the commit, or the caller goes away, whether it was done is not known.
    ///
    /// `work` waits for nothing but its statements, and gives `Err` when one of them fails: after a failed statement,
    /// Postgres turns the commit into a rollback and reports no error.
    ///
    /// # Errors
    ///
    /// Those of `work` and of [`Database::write_rows`], and what the commit fails with.
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
        Running::new(&self.pool, pooled, transaction).await
    }

    fn run(&self, pooled: Pooled, statement: Statement) -> Running<sqlx::Result<Vec<PgRow>>> {
        Running::new(&self.pool, pooled, async |mut pooled: Pooled| {
            let rows = match statement.query() {
                Ok(query) => query.fetch_all(&mut pooled.connection).await,
                Err(error) => Err(error),
            };
            (pooled.after(&rows), rows)
        })
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

/// A connection for more than one statement. Dropped, it is given back if nothing is left begun on it, and closed otherwise.
struct Held {
    /// Absent while it is dropped.
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
            // A statement whose caller has gone, from the start.
            drop(Running::new(&self.pool, pooled, async |mut pooled: Pooled| {
                let idle = is_idle(&mut pooled.connection).await;
                (pooled.after(&idle).filter(|_| idle.is_ok_and(|idle| idle)), ())
            }));
        }
    }
}

/// Whether the connection is in no transaction: then one begins with each statement.
async fn is_idle(connection: &mut PgConnection) -> sqlx::Result<bool> {
    const SQL: &str = "select now() = statement_timestamp()";
    let row = match sqlx::raw_sql(SQL).fetch_one(&mut *connection).await {
        // It may be that of a statement that was given up. One of its own comes again.
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

/// Once more where it was cancelled, which ends no transaction.
async fn roll_back(connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut ended = sqlx::raw_sql("rollback").execute(&mut *connection).await;
    if ended.as_ref().is_err_and(is_cancelled) {
        ended = sqlx::raw_sql("rollback").execute(connection).await;
    }
    ended.map(drop)
}

fn values<T: for<'r> FromRow<'r, PgRow>>(rows: &[PgRow]) -> sqlx::Result<Vec<T>> {
    // To collect into a result would lose the length.
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        values.push(T::from_row(row)?);
    }
    Ok(values)
}
