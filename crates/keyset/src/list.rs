use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pagination::PageTokens;
use prost::Message;
use sqlx::postgres::{PgConnection, PgRow};
use tokio::time::Instant;

use crate::{
    Connections, Error, Listing,
    catalogue::{self, CatalogueError, Checked, Problem},
    measure,
    selection::Types,
    shape::Shapes,
    turns::Turns,
    wire::{Layout, RowFault},
};

/// Default timeout of a count: 2 seconds.
pub const DEFAULT_COUNT_TIMEOUT: Duration = Duration::from_secs(2);
/// Default interval of the checks of open lists: 5 minutes.
pub const DEFAULT_CHECK_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Everything that lists need to fetch pages: connections, page tokens, and the descriptors of their messages.
#[derive(Debug, Clone)]
pub struct Paging {
    pub(crate) connections: Arc<dyn Connections>,
    /// Seals and opens page tokens.
    pub tokens: PageTokens,
    /// A `google.protobuf.FileDescriptorSet`, as `pagination-build` writes it.
    pub(crate) descriptors: &'static [u8],
    /// How long a count may take, including its wait for a connection, before the planner's estimate replaces it, and then
    /// how long the estimate may take. At least a millisecond.
    pub count_timeout: Duration,
    /// How often the pages of an open list have it checked again, in a task of its own: see [`List::check`].
    pub check_interval: Duration,
    /// The first word of the names of metrics: `keyset` by default, as in `keyset_pages_total`.
    pub metrics: &'static str,
    pub(crate) turns: Arc<Turns>,
}

impl Paging {
    /// Pages over these connections. `tokens` seals their page tokens. `descriptors` describes the messages of their
    /// rows: an encoded `google.protobuf.FileDescriptorSet`.
    pub fn new(connections: impl Connections, tokens: PageTokens, descriptors: &'static [u8]) -> Self {
        let turns = Arc::new(Turns::of_connections(connections.max_connections()));
        let connections = Arc::new(connections);
        Self {
            connections,
            tokens,
            descriptors,
            count_timeout: DEFAULT_COUNT_TIMEOUT,
            check_interval: DEFAULT_CHECK_INTERVAL,
            metrics: "keyset",
            turns,
        }
    }

    /// Opens a list: checks its declaration against its message and the database's catalogue, so that every open list
    /// can be paged.
    ///
    /// Each column must have a field of the same name, each field a column, and the two types a conversion. If the list
    /// is `from` a table, Postgres must also prove that the keys of each order are unique within the scope, that keys
    /// declared never null are never null, and that the key values of a row fit in a token. An index must serve each
    /// order, alone and under each set of filters that the order names as indexed. The table of each counter must have
    /// the columns and the unique index that the counter needs.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`]: all problems, and the SQL that solves them.
    pub async fn open(&self, listing: &'static Listing) -> Result<List, CatalogueError> {
        self.opened(listing, catalogue::check(self, listing).await?, true)
    }

    /// Opens a list as [`Paging::open`] does, on this connection: for a table with policies of row-level security that read
    /// settings of the connection. Such a list is not checked again now and then, because the pool's connections lack
    /// these settings.
    ///
    /// A transaction that the connection is in must have been begun with sqlx's `begin`: one that was begun by SQL is rolled
    /// back.
    ///
    /// # Errors
    ///
    /// As [`Paging::open`].
    pub async fn open_on(
        &self,
        connection: &mut PgConnection,
        listing: &'static Listing,
    ) -> Result<List, CatalogueError> {
        self.opened(listing, catalogue::check_on(self, connection, listing).await?, false)
    }

    fn opened(&self, listing: &'static Listing, checked: Checked, is_checked: bool) -> Result<List, CatalogueError> {
        let Checked { types, layout, problems } = checked;
        without_problems(listing, problems)?;
        let opened = Opened::new(types, layout);
        let checks =
            Checks { is_on: is_checked, last: Mutex::new(Instant::now()), failed: tokio::sync::Mutex::default() };
        Ok(List { listing, paging: self.clone(), opened: Arc::new(Mutex::new(opened)), checks: Arc::new(checks) })
    }
}

fn without_problems(listing: &'static Listing, problems: Vec<Problem>) -> Result<(), CatalogueError> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(CatalogueError::Declaration { list: listing.name, problems })
}

/// An open list: its declaration was checked against the database.
#[derive(Debug, Clone)]
pub struct List {
    pub(crate) listing: &'static Listing,
    pub(crate) paging: Paging,
    opened: Arc<Mutex<Arc<Opened>>>,
    checks: Arc<Checks>,
}

/// When an open list was checked again.
#[derive(Debug)]
struct Checks {
    /// Whether the list's pool can check it.
    is_on: bool,
    /// When a page last had the list checked.
    last: Mutex<Instant>,
    /// When a list that does not match the database any more could last not be opened again.
    failed: tokio::sync::Mutex<Option<Instant>>,
}

/// What the database's catalogue says about a list.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) types: Arc<Types>,
    pub(crate) layout: Option<Layout>,
    pub(crate) shapes: Shapes,
}

impl Opened {
    fn new(types: Arc<Types>, layout: Option<Layout>) -> Arc<Self> {
        Arc::new(Self { types, layout, shapes: Shapes::default() })
    }
}

impl List {
    /// The declaration.
    pub fn listing(&self) -> &'static Listing {
        self.listing
    }

    /// Checks the list again, as [`Paging::open`] did, and continues with what the catalogue says now. The gauge
    /// `keyset_list_problems` is set to the number of problems.
    ///
    /// Pages do this by themselves every [`Paging::check_interval`], and log the problems: an index may have been dropped
    /// since the list was opened.
    ///
    /// # Errors
    ///
    /// As [`Paging::open`].
    pub async fn check(&self) -> Result<(), CatalogueError> {
        without_problems(self.listing, self.refresh().await?)
    }

    /// Checks the list and returns its problems, if they let the list be paged.
    async fn refresh(&self) -> Result<Vec<Problem>, CatalogueError> {
        let checked = catalogue::check(&self.paging, self.listing).await;
        let problems = match &checked {
            Ok(checked) => Some(checked.problems.len()),
            Err(CatalogueError::Declaration { problems, .. }) => Some(problems.len()),
            // Nothing is known about the list while the database cannot be asked.
            Err(CatalogueError::Database { .. }) => None,
        };
        problems.iter().for_each(|problems| measure::problems(&self.paging, self.listing.name, *problems));
        let Checked { types, layout, problems } = checked?;
        let opened = Opened::new(types, layout);
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = opened;
        Ok(problems)
    }

    /// Checks the list in a task of its own, if that is due.
    pub(crate) fn check_now_and_then(&self) {
        let mut last = self.checks.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.checks.is_on || last.elapsed() < self.paging.check_interval {
            return;
        }
        *last = Instant::now();
        let list = self.clone();
        tokio::spawn(async move {
            if let Err(error) = list.check().await {
                tracing::warn!(%error, "an open list no longer matches the database");
            }
        });
    }

    /// Opens the list again after a page has found that it does not match the database. Returns whether the page can be
    /// tried again. `stale` is what that page knew.
    pub(crate) async fn reopen(&self, stale: &Arc<Opened>) -> bool {
        /// The shortest time between an attempt that failed and the next one.
        const INTERVAL: Duration = Duration::from_secs(1);
        let mut failed = self.checks.failed.lock().await;
        if !Arc::ptr_eq(&self.opened(), stale) {
            return true;
        }
        if !self.checks.is_on || failed.is_some_and(|failed| failed.elapsed() < INTERVAL) {
            return false;
        }
        let refreshed = self.refresh().await;
        *failed = refreshed.is_err().then(Instant::now);
        refreshed.inspect_err(|error| tracing::warn!(%error, "an open list no longer matches the database")).is_ok()
    }

    pub(crate) fn opened(&self) -> Arc<Opened> {
        Arc::clone(&self.opened.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The message of the first row, if there is one. The statement must return the list's columns first, with the
    /// names and types of [`Listing::columns`]. Further columns are ignored.
    ///
    /// # Errors
    ///
    /// [`Error::Listing`] if the first columns are not those of the list, or if a value does not fit its field.
    pub fn first<M: Message + Default>(&self, rows: &[PgRow]) -> Result<Option<M>, Error> {
        rows.first().map(|row| self.message(row)).transpose()
    }

    /// The message of a row: see [`List::first`].
    ///
    /// # Errors
    ///
    /// As [`List::first`].
    pub fn message<M: Message + Default>(&self, row: &PgRow) -> Result<M, Error> {
        let opened = self.opened();
        let layout = self.layout(&opened)?;
        let mut bytes = Vec::new();
        layout.check(row).map_err(|mistake| self.mistake(mistake))?;
        layout.put(row, &mut bytes).map_err(|RowFault(mistake)| self.mistake(mistake))?;
        M::decode(bytes.as_slice()).map_err(|error| self.mistake(format!("its rows are of another message: {error}")))
    }

    /// Whether the column is a numeric, whose JSON text may end in zeros that its message leaves out.
    #[cfg(feature = "conformance")]
    pub(crate) fn is_numeric(&self, column: &str) -> bool {
        self.opened().layout.as_ref().is_some_and(|layout| layout.is_numeric(column))
    }

    pub(crate) fn layout<'o>(&self, opened: &'o Opened) -> Result<&'o Layout, Error> {
        opened.layout.as_ref().ok_or_else(|| self.mistake("it names no message".to_owned()))
    }

    pub(crate) fn outdated(&self, mistake: String) -> Error {
        Error::Outdated { list: self.listing.name, mistake }
    }

    pub(crate) fn mistake(&self, mistake: String) -> Error {
        Error::Listing { list: self.listing.name, mistake }
    }
}
