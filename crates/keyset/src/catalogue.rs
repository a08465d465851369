//! Checks the declaration of a listing against the database. Postgres's planner must prove from the table's constraints
//! that no row violates the declaration, and the indexes must exist. A check gathers all problems.

mod comparisons;
mod constraints;
mod counters;
mod declaration;
mod error;
mod indexes;
mod searches;
mod seeks;
mod types;

use std::sync::Arc;

pub use error::{CatalogueError, Problem};
use pagination::{Direction, Position};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqlSafeStr, raw_sql};
use tokio::task::JoinError;

use crate::{
    Failure, Paging,
    connection::begin,
    error::has_lost_statement,
    listing::Listing,
    selection::{Extent, Selection, Types},
    value::Value,
    wire::{Exceptions, Layout},
};

/// What a check found out about a list, which can be paged even if there are problems.
pub(crate) struct Checked {
    /// The types of its keys and filters.
    pub(crate) types: Arc<Types>,
    /// How its rows become messages.
    pub(crate) layout: Option<Layout>,
    pub(crate) problems: Vec<Problem>,
}

/// Why one step of a check failed.
enum Fault {
    Declaration(String),
    Database(sqlx::Error),
    /// Another step has reported it.
    Reported,
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<String> for Fault {
    fn from(problem: String) -> Self {
        Self::Declaration(problem)
    }
}

/// Lets the planner use all constraints, and makes it seek by an index even in a small table.
const SETTINGS: &str = "set local constraint_exclusion = on; set local plan_cache_mode = force_generic_plan; \
    set local enable_seqscan = off; set local enable_bitmapscan = off; set local enable_sort = off; \
    set local enable_incremental_sort = off; set local jit = off";

/// Checks a listing on a connection of the pool: see [`check_on`]. It is a task of its own: a caller that left while the
/// transaction begins would give the connection back with an open transaction.
pub(crate) async fn check(paging: &Paging, listing: &'static Listing) -> Result<Checked, CatalogueError> {
    let (list, paging) = (listing.name, paging.clone());
    let failed = move |source| CatalogueError::Database { list, source };
    let checked = tokio::spawn(async move {
        let mut connection = paging.connections.connection().await.map_err(failed)?;
        check_on(&paging, &mut connection, listing).await
    });
    checked.await.unwrap_or_else(|error: JoinError| Err(failed(sqlx::Error::Io(error.into()))))
}

/// Checks a listing.
///
/// # Errors
///
/// The problems, if they do not let the list be paged.
pub(crate) async fn check_on(
    paging: &Paging,
    connection: &mut PgConnection,
    listing: &'static Listing,
) -> Result<Checked, CatalogueError> {
    let list = listing.name;
    let mut problems = Vec::new();
    match check_all(paging, connection, listing, &mut problems).await {
        Ok(Some((types, layout))) => Ok(Checked { types, layout, problems }),
        Ok(None) => Err(CatalogueError::Declaration { list, problems }),
        Err(source) => Err(CatalogueError::Database { list, source }),
    }
}

async fn check_all(
    paging: &Paging,
    connection: &mut PgConnection,
    listing: &'static Listing,
    problems: &mut Vec<Problem>,
) -> sqlx::Result<Option<(Arc<Types>, Option<Layout>)>> {
    // A statement that was prepared before the table changed would be described as it was.
    connection.clear_cached_statements().await?;
    deallocate(connection).await?;
    let mut transaction = begin(connection).await?;
    raw_sql(SETTINGS).execute(&mut *transaction).await?;
    let mut check = Check { connection: &mut transaction, listing, is_partitioned: false, predicate: None, problems };
    let checked = check.run(paging.descriptors).await?;
    transaction.rollback().await?;
    Ok(checked)
}

/// A check in progress.
struct Check<'c> {
    /// In a transaction.
    connection: &'c mut PgConnection,
    listing: &'static Listing,
    is_partitioned: bool,
    /// The condition of every row, if a partial index can have it.
    predicate: Option<&'static str>,
    problems: &'c mut Vec<Problem>,
}

impl Check<'_> {
    /// Returns what is needed to page, unless the problems leave it unknown.
    async fn run(&mut self, descriptors: &[u8]) -> sqlx::Result<Option<(Arc<Types>, Option<Layout>)>> {
        let listing = self.listing;
        declaration::check(self);
        if !declaration::check_from(self).await? {
            return Ok(None);
        }
        let layout = self.layout(descriptors).await?;
        let is_condition_right = types::check_conditions(self).await?;
        let mut expressions = types::find(self).await?;
        let types = types::of(self, &expressions).await?;
        let tag = types::tag(self).await?;
        let types = types.map(|types| Arc::new(Types { tag, ..types }));
        declaration::check_prefixes(self, &expressions).await?;
        if !is_condition_right {
            return Ok(None);
        }
        comparisons::check(self, &mut expressions).await?;
        if listing.is_table() {
            self.predicate = comparisons::predicate(self).await?;
            constraints::check(self, &expressions).await?;
            let served = indexes::check(self, &expressions).await?;
            if let (Some(types), Some(_)) = (&types, &layout) {
                seeks::check(self, types, &expressions, &served).await?;
            }
            indexes::check_distinct(self, &expressions).await?;
            if let Some(types) = &types {
                let selection = Selection { types: types.clone(), ..Selection::of_nulls(listing) };
                searches::check(self, &selection).await?;
            }
            counters::check(self, &expressions).await?;
        }
        if let (Some(types), true) = (&types, self.problems.is_empty()) {
            self.check_pages(types).await?;
        }
        Ok(types.zip(layout))
    }

    /// Makes Postgres parse the pages in each order, with all filters: whether a type has an operator for the value of a
    /// filter, and everything about a query, shows only so.
    async fn check_pages(&mut self, types: &Arc<Types>) -> sqlx::Result<()> {
        let listing = self.listing;
        for (place, order) in listing.orders.iter().enumerate() {
            let filters = vec![Some(Value::default()); listing.filters.len()];
            let selection = Selection { place, order, types: types.clone(), filters, ..Selection::of_nulls(listing) };
            let anchor = Position::After(vec![Some(Vec::new()); order.keys.len()]);
            for direction in [Direction::Forward, Direction::Backward] {
                let statement = selection.page(direction, &anchor, Extent { limit: 1, skip: 0 });
                self.begin().await?;
                let prepared = self.connection.prepare(AssertSqlSafe(statement.shape.sql.clone()).into_sql_str()).await;
                let prepared = prepared.map(|_| ()).map_err(Fault::from);
                self.end(&format!("the order \"{}\"", order.name), prepared).await?;
            }
        }
        Ok(())
    }

    /// How rows become messages; `None` if that is unknown.
    async fn layout(&mut self, descriptors: &[u8]) -> sqlx::Result<Option<Option<Layout>>> {
        let listing = self.listing;
        let message = declaration::message(listing, descriptors).map_err(|problem| self.report(problem)).ok();
        self.begin().await?;
        let columns = types::columns(self.connection, listing).await;
        let columns = self.end("columns", columns).await?;
        let Some((message, columns)) = message.zip(columns) else { return Ok(None) };
        let exceptions = Exceptions { unfilled: listing.unfilled, always_there: listing.always_there };
        let layout = message.map(|message| Layout::new(&message, &columns, exceptions)).transpose();
        Ok(layout.map_err(|problems| problems.into_iter().for_each(|problem| self.report(problem))).ok())
    }

    /// Adds a problem that SQL does not solve.
    fn report(&mut self, what: impl Into<String>) {
        let problem = Problem { what: what.into(), fix: None };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Adds a problem that these statements solve, if no other problem is solved by them.
    fn advise(&mut self, what: impl Into<String>, statements: &[String]) {
        let fix: String = statements.iter().map(|statement| format!("{statement};\n")).collect();
        if !self.problems.iter().any(|problem| problem.fix.as_ref() == Some(&fix)) {
            self.problems.push(Problem { what: what.into(), fix: Some(fix) });
        }
    }

    /// Begins a step that may fail without an end of the check.
    async fn begin(&mut self) -> sqlx::Result<()> {
        raw_sql("savepoint keyset_step").execute(&mut *self.connection).await.map(|_| ())
    }

    /// Ends a step. If it failed because of the declaration, that is a problem, and the check goes on.
    async fn end<T>(&mut self, about: &str, step: Result<T, Fault>) -> sqlx::Result<Option<T>> {
        match step {
            Ok(found) => {
                raw_sql("release savepoint keyset_step").execute(&mut *self.connection).await?;
                return Ok(Some(found));
            }
            Err(Fault::Reported) => {}
            Err(Fault::Declaration(problem)) => self.report(problem),
            Err(Fault::Database(error)) if is_refusal(&error) => {
                self.report(format!("{about}: {}", error::message(&error)));
            }
            Err(Fault::Database(error)) => return Err(error),
        }
        let back = "rollback to savepoint keyset_step; release savepoint keyset_step";
        raw_sql(back).execute(&mut *self.connection).await?;
        deallocate(self.connection).await?;
        Ok(None)
    }
}

/// Forgets the statements that a failed step has prepared. No rollback does that.
async fn deallocate(connection: &mut PgConnection) -> sqlx::Result<()> {
    let names = "select name from pg_prepared_statements where starts_with(name, 'keyset_')";
    let names: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut *connection).await?;
    for name in names {
        raw_sql(AssertSqlSafe(format!("deallocate {name}"))).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Whether the statement was refused for what it says.
fn is_refusal(error: &sqlx::Error) -> bool {
    match Failure::of(error) {
        Failure::Changed | Failure::Value | Failure::Text | Failure::Inside => {
            let is_answer = error.as_database_error().is_some() && !has_lost_statement(error);
            is_answer || error::is_unknown_type(error)
        }
        Failure::Exhausted | Failure::TooSlow | Failure::Locked | Failure::Conflict | Failure::Unavailable => false,
    }
}
