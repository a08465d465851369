//! Checks the declaration of a listing against the database. Postgres's planner must prove from the table's constraints
//! that no row violates the declaration, and the indexes must exist.

mod constraints;
mod counters;
mod declaration;
mod indexes;
mod searches;
mod types;

use std::sync::Arc;

use indexes::IndexColumn;
use sqlx::{Connection, PgConnection, raw_sql};

use crate::{
    Paging,
    listing::Listing,
    selection::{Selection, Types},
    wire::{Exceptions, Layout},
};

/// Why a list cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// The declaration does not match the database, or contradicts itself.
    #[error("the list {list}: {problem}")]
    Declaration {
        /// The name of the list.
        list: &'static str,
        /// What is wrong, and how to fix it.
        problem: String,
    },
    /// Postgres refused one of the listing's statements, or failed.
    #[error("the list {list}: {}", message(source))]
    Database {
        /// The name of the list.
        list: &'static str,
        /// The error from Postgres.
        source: sqlx::Error,
    },
}

/// The message of the error, without the place in Postgres's source that reported it.
fn message(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// What is wrong, before the name of the list is added.
enum Fault {
    Declaration(String),
    Database(sqlx::Error),
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

/// Checks a listing on a connection of the pool.
pub(crate) async fn check(
    paging: &Paging,
    listing: &'static Listing,
) -> Result<(Arc<Types>, Option<Layout>), CatalogueError> {
    let list = listing.name;
    let connection = paging.connections.connection().await;
    let mut connection = connection.map_err(|source| CatalogueError::Database { list, source })?;
    check_on(paging, &mut connection, listing).await
}

/// Checks a listing. Returns the types of its keys and filters, and how its rows become messages.
pub(crate) async fn check_on(
    paging: &Paging,
    connection: &mut PgConnection,
    listing: &'static Listing,
) -> Result<(Arc<Types>, Option<Layout>), CatalogueError> {
    let list = listing.name;
    check_all(paging, connection, listing).await.map_err(|fault| match fault {
        Fault::Declaration(problem) => CatalogueError::Declaration { list, problem },
        Fault::Database(source) => CatalogueError::Database { list, source },
    })
}

async fn check_all(
    paging: &Paging,
    connection: &mut PgConnection,
    listing: &'static Listing,
) -> Result<(Arc<Types>, Option<Layout>), Fault> {
    declaration::check(listing)?;
    let message = declaration::message(listing, paging.descriptors)?;
    let mut transaction = connection.begin().await?;
    raw_sql(SETTINGS).execute(&mut *transaction).await?;
    if listing.is_table() {
        declaration::check_table(&mut transaction, listing).await?;
    }
    let columns = types::columns(&mut transaction, listing).await?;
    let exceptions = Exceptions { unfilled: listing.unfilled, always_there: listing.always_there };
    let layout = message.map(|message| Layout::new(&message, &columns, exceptions)).transpose()?;
    types::check_conditions(&mut transaction, listing).await?;
    let expressions = types::find(&mut transaction, listing).await?;
    declaration::check_prefixes(listing, &expressions)?;
    let types = Arc::new(types::of(&mut transaction, listing, &expressions).await?);
    if listing.is_table() {
        let indexes = IndexColumn::all(&mut transaction, listing).await?;
        for (place, order) in listing.orders.iter().enumerate() {
            constraints::check(&mut transaction, listing, order, &expressions).await?;
            indexes::check(listing, order, &expressions, &indexes)?;
            let selection = Selection { place, order, types: types.clone(), ..Selection::of_nulls(listing) };
            indexes::check_seek(&mut transaction, &selection, &expressions).await?;
        }
        indexes::check_distinct(&mut transaction, listing, &expressions).await?;
        searches::check(&mut transaction, listing, &Selection { types: types.clone(), ..Selection::of_nulls(listing) })
            .await?;
        counters::check(&mut transaction, listing, &expressions).await?;
    }
    transaction.rollback().await?;
    Ok((types, layout))
}
