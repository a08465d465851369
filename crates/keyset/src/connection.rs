use std::{fmt, ops::DerefMut, sync::Arc};

use futures_util::future::BoxFuture;
use sqlx::{
    Arguments, AssertSqlSafe, Encode, PgPool, Postgres, Type,
    postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow},
    query::Query,
};

/// A statement and its values. It owns both, so it can be moved to a task and run more than once.
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
    /// A statement of this SQL, without values. Each connection prepares it once.
    pub fn new(sql: &'static str) -> Self {
        Self::of(Sql::Literal(sql))
    }

    /// A statement of SQL built from declarations, without values. No part of the SQL may come from a request.
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
            statement.query()?.fetch_all(&mut **connection).await
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

/// Sets options for connections that run pages. Other options stay as they are.
///
/// - Generic plans. The plan of a page never depends on the bound values, and planning takes longer than running a
///   page.
/// - A cache of 200 prepared statements, because each shape of a page is one. Postgres keeps about 170 KiB for each, so
///   a connection that has prepared 200 takes about 35 MiB.
/// - No logging of statements.
/// - No sort if an index gives the order. Until a new table is analyzed, Postgres assumes that it is small, and would
///   sort all of it for each page.
/// - No just-in-time compilation. The statements are too short to gain from it.
///
/// Lists also work on connections without these options. Their pages then spend time on planning, and may sort the
/// whole table until it is analyzed.
pub fn options_for_pages(options: PgConnectOptions) -> PgConnectOptions {
    use sqlx::ConnectOptions;
    options.disable_statement_logging().statement_cache_capacity(200).options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_sort", "off"),
        ("enable_incremental_sort", "off"),
        ("jit", "off"),
    ])
}
