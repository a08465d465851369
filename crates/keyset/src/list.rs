use std::{sync::Arc, time::Duration};

use pagination::PageTokens;
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::sync::Semaphore;

use crate::{
    Listing,
    catalogue::{self, CatalogueError},
    statement::Types,
};

/// How long an exact count may take unless told otherwise: 2 seconds.
pub const DEFAULT_COUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// What lists need to page: the database, and the seal of their tokens.
#[derive(Debug, Clone)]
pub struct Paging {
    /// The database. Its connections should be made with [`connect_options`].
    pub pool: PgPool,
    /// What seals and opens page tokens.
    pub tokens: PageTokens,
    /// How long an exact count may take, its wait for a connection included, before the estimate is given instead; at least
    /// a millisecond.
    pub count_timeout: Duration,
    /// Exact counts have a quarter of the pool's connections at most, so that pages always have the others.
    pub(crate) counts: Arc<Semaphore>,
}

impl Paging {
    /// Pages of this database, with tokens sealed by these keys.
    pub fn new(pool: PgPool, tokens: PageTokens) -> Self {
        let counts = (pool.options().get_max_connections() / 4).max(1);
        let counts = Arc::new(Semaphore::new(counts as usize));
        Self { pool, tokens, count_timeout: DEFAULT_COUNT_TIMEOUT, counts }
    }

    /// Opens a list: checks its declaration against the catalogue, so that a list that is open can be paged.
    ///
    /// For a list that is `from` a table, the keys of each order are unique within the scope and never null where they
    /// are declared so, the values of a row's keys fit in a token, and an index serves each order, alone and under each
    /// set of filters that it names as indexed. All of it is asked of Postgres, which proves it or does not.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`]: the first thing that is not so, and what would make it so.
    pub async fn open(&self, listing: &'static Listing) -> Result<List, CatalogueError> {
        let types = catalogue::check(&self.pool, listing).await?;
        Ok(List { listing, types, paging: self.clone() })
    }
}

/// A list that is open: its declaration was found true of the database.
#[derive(Debug, Clone)]
pub struct List {
    pub(crate) listing: &'static Listing,
    pub(crate) paging: Paging,
    pub(crate) types: Types,
}

impl List {
    /// The declaration.
    pub fn listing(&self) -> &'static Listing {
        self.listing
    }
}

/// Makes connections fit for pages. Everything else of `options` stays as it is.
///
/// - Generic plans, since a page's plan never depends on the values bound: planning anew takes longer than the page.
/// - A statement cache above the number of shapes that a page's statement has.
/// - No sort where an index gives the order: before a new table is analyzed, Postgres guesses that it is small, and
///   would sort all of it for each page.
/// - No just-in-time compilation: no statement here runs long enough to earn it back.
pub fn connect_options(options: PgConnectOptions) -> PgConnectOptions {
    options.statement_cache_capacity(1_000).options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_sort", "off"),
        ("enable_incremental_sort", "off"),
        ("jit", "off"),
    ])
}
