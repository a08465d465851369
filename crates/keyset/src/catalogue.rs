//! The check of a listing's declaration against the database. Postgres itself is asked: its planner proves from the
//! table's constraints that no row violates a declaration, and shows which index it would read.

mod constraints;
mod declaration;
mod indexes;
mod types;

use sqlx::{PgPool, raw_sql};

use crate::{
    listing::Listing,
    statement::{Selection, Types},
};

/// Why a list cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The declaration is not true of the database, or contradicts itself.
    #[error("the list {list}: {problem}")]
    Declaration {
        /// The name of the list.
        list: &'static str,
        /// What is not so, and what would make it so.
        problem: String,
    },
    /// Postgres refused one of the listing's statements, or failed.
    #[error("the list {list}: {source}")]
    Database {
        /// The name of the list.
        list: &'static str,
        /// What Postgres said.
        source: sqlx::Error,
    },
}

/// What is wrong, before it is said of which list.
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

/// Has the planner prove what it can from constraints, and take an index whatever the size of the table.
const SETTINGS: &str = "set local constraint_exclusion = on; set local plan_cache_mode = force_generic_plan; \
    set local enable_seqscan = off; set local enable_bitmapscan = off; set local enable_sort = off; \
    set local enable_incremental_sort = off; set local jit = off";

/// Checks a listing, and finds the types of its keys and filters.
pub(crate) async fn check(pool: &PgPool, listing: &'static Listing) -> Result<Types, CatalogueError> {
    let list = listing.name;
    check_all(pool, listing).await.map_err(|fault| match fault {
        Fault::Declaration(problem) => CatalogueError::Declaration { list, problem },
        Fault::Database(source) => CatalogueError::Database { list, source },
    })
}

async fn check_all(pool: &PgPool, listing: &'static Listing) -> Result<Types, Fault> {
    declaration::check(listing)?;
    let mut transaction = pool.begin().await?;
    raw_sql(SETTINGS).execute(&mut *transaction).await?;
    let found = types::find(&mut transaction, listing).await?;
    let names = found.names();
    if listing.is_table() {
        for (order, types) in listing.orders.iter().zip(&found.keys) {
            constraints::check(&mut transaction, listing, order, types).await?;
        }
        for (order, key_types) in listing.orders.iter().zip(&names.keys) {
            for filters in std::iter::once(&[][..]).chain(order.indexed.iter().copied()) {
                let selection = Selection::of_names(listing, order, key_types, &names.filters, filters);
                indexes::check(&mut transaction, &selection).await?;
            }
        }
    }
    transaction.rollback().await?;
    Ok(names)
}

/// An expression without what Postgres writes otherwise than authors do.
pub(crate) fn plain(expression: &str) -> String {
    expression.chars().filter(|char| !matches!(char, '(' | ')' | ' ' | '"')).collect::<String>().to_lowercase()
}
