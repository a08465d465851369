use std::{sync::Arc, time::Duration};

use pagination::PageTokens;
use tokio::sync::Semaphore;

use crate::{
    Database, Listing,
    catalogue::{self, CatalogueError},
    statement::Types,
};

/// How long an exact count may take unless told otherwise: 2 seconds.
pub const DEFAULT_COUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// What lists need to page: the database, and the seal of their tokens.
#[derive(Debug, Clone)]
pub struct Paging {
    /// The database.
    pub database: Database,
    /// What seals and opens page tokens.
    pub tokens: PageTokens,
    /// How long an exact count may take, its wait for a connection included, before the estimate is given instead; at least
    /// a millisecond.
    pub count_timeout: Duration,
    /// Exact counts of rows have a quarter of the pool's connections at most, so that pages always have the others.
    pub(crate) counts: Arc<Semaphore>,
}

impl Paging {
    /// Pages of this database, with tokens sealed by these keys.
    pub fn new(database: Database, tokens: PageTokens) -> Self {
        let counts = Arc::new(Semaphore::new((database.max_connections() / 4).max(1)));
        Self { database, tokens, count_timeout: DEFAULT_COUNT_TIMEOUT, counts }
    }

    /// Opens a list: checks its declaration against the catalogue, so that a list that is open can be paged.
    ///
    /// For a list that is `from` a table, the keys of each order are unique within the scope and never null where they
    /// are declared so, the values of a row's keys fit in a token, and an index serves each order, alone and under each
    /// set of filters that it names as indexed; and the table of each counter has the columns and the unique index that it
    /// needs. All of it is asked of Postgres, which proves it or does not.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`]: the first thing that is not so, and what would make it so.
    pub async fn open(&self, listing: &'static Listing) -> Result<List, CatalogueError> {
        let types = catalogue::check(&self.database, listing).await?;
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
