use std::{fmt, ops::DerefMut, sync::Arc};

use futures_util::future::BoxFuture;
use sqlx::{
    Arguments, AssertSqlSafe, Encode, PgPool, Postgres, Type,
    postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow},
    query::Query,
};

/// A statement and the values that it binds. It owns both, so it can be moved to a task, and run a second time.
#[derive(Debug, Clone)]
pub struct Statement {
    sql: Sql,
    arguments: PgArguments,
    /// Why a value could not be encoded.
    error: Option<Arc<str>>,
}

#[derive(Debug, Clone)]
enum Sql {
    Literal(&'static str),
    Built(Arc<str>),
}

impl Statement {
    /// This SQL, with no values yet. It is prepared once on each connection.
    pub fn new(sql: &'static str) -> Self {
        Self::of(Sql::Literal(sql))
    }

    /// SQL that was built from declarations, with no values yet. No part of it may come from a request.
    pub fn built(sql: Arc<str>) -> Self {
        Self::of(Sql::Built(sql))
    }

    fn of(sql: Sql) -> Self {
        Self { sql, arguments: PgArguments::default(), error: None }
    }

    /// Binds the next value: `$1`, then `$2` and so on.
    pub fn bind<'v, T: Encode<'v, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        if let Err(error) = self.arguments.add(value) {
            self.error.get_or_insert_with(|| error.to_string().into());
        }
        self
    }

    /// The SQL.
    pub fn sql(&self) -> &str {
        match &self.sql {
            Sql::Literal(sql) => sql,
            Sql::Built(sql) => sql,
        }
    }

    /// The statement as sqlx runs it.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::Encode`] for a value that Postgres cannot be given.
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

/// A connection that is held for more than one statement. Dropping it gives it back.
pub type HeldConnection = Box<dyn DerefMut<Target = PgConnection> + Send>;

/// What lists need of a pool of connections. [`sqlx::PgPool`] implements it.
pub trait Connections: fmt::Debug + Send + Sync + 'static {
    /// Runs a statement that only reads, and gives all of its rows. A future that is dropped gives the statement up; what
    /// that does to the connection is this trait's matter.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::PoolTimedOut`] when no connection became free in time, and whatever the statement fails with.
    fn rows(&self, statement: Statement) -> BoxFuture<'_, sqlx::Result<Vec<PgRow>>> {
        Box::pin(async move {
            let mut connection = self.connection().await?;
            statement.query()?.fetch_all(&mut **connection).await
        })
    }

    /// A connection for more than one statement. Lists use it when they are opened, and never for a page.
    ///
    /// # Errors
    ///
    /// As [`Connections::rows`].
    fn connection(&self) -> BoxFuture<'_, sqlx::Result<HeldConnection>>;

    /// The most connections that there are. Exact counts of rows use a quarter of them at most.
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

/// Options for connections that run pages. The rest of them stays as it is.
///
/// - Generic plans. The plan of a page never depends on the values bound, and planning takes longer than a page.
/// - A cache for 200 prepared statements, since each shape of a page is one. Postgres keeps about 170 KiB for each, so a
///   connection that has met them all takes some 35 MiB. No statements in the log.
/// - No sort where an index gives the order. Before a new table is analyzed, Postgres guesses that it is small, and would
///   sort all of it for each page.
/// - No just-in-time compilation. No statement here runs long enough to earn it back.
///
/// A list works on connections without these options. Its pages then cost planning time, and on a table that has not been
/// analyzed they may sort all of it.
pub fn options_for_pages(options: PgConnectOptions) -> PgConnectOptions {
    use sqlx::ConnectOptions;
    options.disable_statement_logging().statement_cache_capacity(200).options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_sort", "off"),
        ("enable_incremental_sort", "off"),
        ("jit", "off"),
    ])
}
