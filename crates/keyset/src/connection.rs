use std::{fmt, mem::ManuallyDrop, ops::DerefMut, sync::Arc};

use futures_util::future::BoxFuture;
use sqlx::{
    Arguments, AssertSqlSafe, Connection, Encode, PgPool, Postgres, Transaction, Type,
    pool::PoolConnection,
    postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow},
    query::Query,
};

use tracing::{Instrument, field::Empty};

use crate::error::{is_in_failed_transaction, is_outdated_plan};

/// A statement and its values. It owns both, so it can be moved to a task and run more than once.
#[derive(Debug, Clone)]
pub struct Statement {
    sql: Sql,
    arguments: PgArguments,
    /// Why a value could not be encoded.
    error: Option<Arc<str>>,
    /// Whether its values are too large to be kept for a second attempt.
    is_large: bool,
}

#[derive(Debug, Clone)]
enum Sql {
    Literal(&'static str),
    Built(Arc<str>),
}

/// The size of values above which no second attempt keeps a copy of them: 64 KiB.
const LARGE: usize = 64 * 1_024;

impl Statement {
    /// A statement of this SQL, without values. Each connection prepares it once.
    pub fn new(sql: &'static str) -> Self {
        Self::of(Sql::Literal(sql))
    }

    /// A statement of SQL built from declarations, without values. No part of the SQL may come from a request.
    pub fn built(sql: Arc<str>) -> Self {
        Self::of(Sql::Built(sql))
    }

    fn of(sql: Sql) -> Self {
        Self { sql, arguments: PgArguments::default(), error: None, is_large: false }
    }

    /// Binds the next value: `$1`, then `$2` and so on.
    pub fn bind<'v, T: Encode<'v, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        if let Err(error) = self.arguments.add(value) {
            self.error.get_or_insert_with(|| error.to_string().into());
        }
        self
    }

    /// Allocates memory for values of this size in bytes. It is needed for large values only: without it, the memory for
    /// the values doubles whenever it is full.
    #[must_use]
    pub fn reserve(mut self, bytes: usize) -> Self {
        self.arguments.reserve(0, bytes);
        self.is_large = bytes > LARGE;
        self
    }

    /// The SQL.
    pub fn sql(&self) -> &str {
        match &self.sql {
            Sql::Literal(sql) => sql,
            Sql::Built(sql) => sql,
        }
    }

    /// Runs the statement and returns all its rows.
    ///
    /// If the connection has prepared the statement for a table that was changed since, it forgets its statements. Outside a
    /// transaction, the statement then runs once more, unless its values are large; it has not done anything before. A
    /// transaction has failed by then.
    ///
    /// It has a span of the level debug, with fields of OpenTelemetry's conventions for databases: the SQL, which has no
    /// values, and the number of rows or the error's SQLSTATE.
    ///
    /// # Errors
    ///
    /// Those of the statement.
    pub async fn fetch_all(self, connection: &mut PgConnection) -> sqlx::Result<Vec<PgRow>> {
        let operation = || self.sql().split_whitespace().next().unwrap_or_default();
        let span = tracing::debug_span!(
            "statement",
            otel.name = operation(),
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = "postgresql",
            db.query.text = self.sql(),
            db.response.returned_rows = Empty,
            error.r#type = Empty,
        );
        let rows = self.run(connection).instrument(span.clone()).await;
        match &rows {
            Ok(rows) => {
                span.record("db.response.returned_rows", rows.len());
            }
            Err(error) => {
                let code = error.as_database_error().and_then(|error| error.code());
                span.record("error.type", code.as_deref().unwrap_or("_OTHER"));
                span.record("otel.status_code", "ERROR");
            }
        }
        rows
    }

    async fn run(self, connection: &mut PgConnection) -> sqlx::Result<Vec<PgRow>> {
        let again = (!self.is_large).then(|| self.clone());
        let rows = self.query()?.fetch_all(&mut *connection).await;
        match rows {
            Err(error) if is_outdated_plan(&error) => {
                let is_in_transaction = connection.is_in_transaction();
                connection.clear_cached_statements().await?;
                let Some(again) = again.filter(|_: &Self| !is_in_transaction) else { return Err(error) };
                match again.query()?.fetch_all(connection).await {
                    // In a transaction that sqlx does not know of.
                    Err(later) if is_in_failed_transaction(&later) => Err(error),
                    rows => rows,
                }
            }
            rows => rows,
        }
    }

    /// The statement as an sqlx query.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::Encode`] if a value could not be encoded.
    pub fn query(self) -> sqlx::Result<Query<'static, Postgres, PgArguments>> {
        if let Some(error) = self.error {
            return Err(sqlx::Error::Encode(error.as_ref().into()));
        }
        Ok(match self.sql {
            Sql::Literal(sql) => sqlx::query_with(sql, self.arguments),
            Sql::Built(sql) => sqlx::query_with(AssertSqlSafe(sql), self.arguments),
        })
    }
}

/// What a page runs on.
///
/// A list has the pool that it was opened with. [`Query::on`](crate::Query::on) takes another pool, such as one of a
/// replica, or one connection, such as that of a transaction.
#[derive(Debug)]
pub enum On<'c> {
    /// A pool. The total runs beside the page, on another connection.
    Pool(&'c dyn Connections),
    /// One connection. The total runs after the page, for at most as long as on a pool. It does not make a transaction of
    /// the caller fail, and leaves no setting behind. A page that is dropped leaves a transaction open and usable, if sqlx
    /// began the transaction; after one that SQL began, roll the transaction back.
    Connection(&'c mut PgConnection),
}

impl<'c, C: Connections> From<&'c C> for On<'c> {
    fn from(pool: &'c C) -> Self {
        Self::Pool(pool)
    }
}

impl<'c> From<&'c mut PgConnection> for On<'c> {
    fn from(connection: &'c mut PgConnection) -> Self {
        Self::Connection(connection)
    }
}

impl<'c> From<&'c mut Transaction<'_, Postgres>> for On<'c> {
    fn from(transaction: &'c mut Transaction<'_, Postgres>) -> Self {
        Self::Connection(transaction)
    }
}

impl<'c> From<&'c mut PoolConnection<Postgres>> for On<'c> {
    fn from(connection: &'c mut PoolConnection<Postgres>) -> Self {
        Self::Connection(connection)
    }
}

impl On<'_> {
    pub(crate) async fn rows(&mut self, statement: Statement) -> sqlx::Result<Vec<PgRow>> {
        match self {
            Self::Pool(pool) => pool.rows(statement).await,
            Self::Connection(connection) => statement.fetch_all(connection).await,
        }
    }

    /// The same for a shorter time.
    pub(crate) fn reborrow(&mut self) -> On<'_> {
        match self {
            Self::Pool(pool) => On::Pool(*pool),
            Self::Connection(connection) => On::Connection(connection),
        }
    }
}

/// Begins a transaction, or a savepoint in a transaction that sqlx has begun.
///
/// When sqlx's own future is dropped while it begins a savepoint, it rolls back the whole transaction of the caller. So it
/// is never dropped unfinished, but leaked, and only the savepoint remains.
pub(crate) async fn begin(connection: &mut PgConnection) -> sqlx::Result<Transaction<'_, Postgres>> {
    let mut beginning = ManuallyDrop::new(Box::pin(connection.begin()));
    let begun = beginning.as_mut().await;
    drop(ManuallyDrop::into_inner(beginning));
    begun
}

/// A connection held for several statements. Dropping it gives it back.
pub type HeldConnection = Box<dyn DerefMut<Target = PgConnection> + Send>;

/// The pool of connections that lists run on. [`sqlx::PgPool`] implements it.
pub trait Connections: fmt::Debug + Send + Sync + 'static {
    /// Runs a statement that only reads, and returns all its rows. Dropping the future abandons the statement; the
    /// implementation decides what happens to its connection.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::PoolTimedOut`] if no connection becomes free in time, and any error of the statement.
    fn rows(&self, statement: Statement) -> BoxFuture<'_, sqlx::Result<Vec<PgRow>>> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            statement.fetch_all(&mut connection).await
        })
    }

    /// A connection for several statements. Lists use it when they are opened, and never for a page.
    ///
    /// # Errors
    ///
    /// As [`Connections::rows`].
    fn connection(&self) -> BoxFuture<'_, sqlx::Result<HeldConnection>>;

    /// The size of the pool. Counts use at most a quarter of it.
    fn max_connections(&self) -> usize;
}

impl Connections for PgPool {
    fn connection(&self) -> BoxFuture<'_, sqlx::Result<HeldConnection>> {
        Box::pin(async { Ok(Box::new(self.acquire().await?) as HeldConnection) })
    }

    fn max_connections(&self) -> usize {
        self.options().get_max_connections() as usize
    }
}

/// The settings of Postgres for connections that run pages. Statements of other kinds may be slower with them.
///
/// - Generic plans. The plan of a page never depends on the bound values, and planning takes longer than running a
///   page.
/// - No sort if an index gives the order.
/// - No just-in-time compilation. The statements are too short to gain from it.
///
/// Lists also work without these settings. Measured with a million rows on Postgres 15, a page then takes up to 0.05 ms more
/// for planning. A plan that a connection has made while the table was small may sort all of it until it is analyzed again:
/// 105 to 197 ms for 300,000 rows. Set all of them or none: without sorts, just-in-time compilation takes 50 to 80 ms for
/// each page of several branches.
pub const SETTINGS_FOR_PAGES: [(&str, &str); 4] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_sort", "off"),
    ("enable_incremental_sort", "off"),
    ("jit", "off"),
];

/// Sets options for connections that run pages: [`SETTINGS_FOR_PAGES`], and those of [`options_for_pooler`]. Other options
/// stay as they are.
pub fn options_for_pages(options: PgConnectOptions) -> PgConnectOptions {
    options_for_pooler(options).options(SETTINGS_FOR_PAGES)
}

/// Sets options for connections that run pages through a pooler in transaction mode, such as PgBouncer. Poolers refuse
/// [`SETTINGS_FOR_PAGES`] at the start of a connection, with an error such as `unsupported startup parameter`, or drop them.
/// So give them to the role of the service:
///
/// ```sql
/// alter role books set plan_cache_mode = force_generic_plan;
/// alter role books set enable_sort = off;
/// alter role books set enable_incremental_sort = off;
/// alter role books set jit = off;
/// ```
///
/// - A cache of 200 prepared statements, because each shape of a page is one. Postgres keeps about 170 KiB for each, so
///   a connection that has prepared 200 takes about 35 MiB. PgBouncer knows prepared statements since version 1.21, if
///   its `max_prepared_statements` is not 0.
/// - No logging of statements.
/// - No `extra_float_digits`, which PgBouncer refuses too. Postgres writes floats exactly without it.
///
/// PgBouncer gives a connection of Postgres to each transaction in turn, so a statement must be a named one: never run sqlx's
/// `persistent(false)` through it outside a transaction, or a client may get the rows of another.
pub fn options_for_pooler(options: PgConnectOptions) -> PgConnectOptions {
    use sqlx::ConnectOptions;
    options.disable_statement_logging().statement_cache_capacity(200).extra_float_digits(None)
}
