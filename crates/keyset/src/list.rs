use std::{sync::Arc, time::Duration};

use pagination::PageTokens;
use prost::Message;
use sqlx::postgres::PgRow;
use tokio::sync::Semaphore;

use crate::{
    Connections, Error, Listing,
    catalogue::{self, CatalogueError},
    selection::Types,
    shape::Shapes,
    wire::Layout,
};

/// How long an exact count may take unless told otherwise: 2 seconds.
pub const DEFAULT_COUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// What lists need to page: connections, the seal of their tokens, and the descriptors of their messages.
#[derive(Debug, Clone)]
pub struct Paging {
    pub(crate) connections: Arc<dyn Connections>,
    /// What seals and opens page tokens.
    pub tokens: PageTokens,
    /// A `google.protobuf.FileDescriptorSet`, as `pagination-build` writes it.
    pub(crate) descriptors: &'static [u8],
    /// How long an exact count may take, its wait for a connection included, before the estimate is given instead; at least
    /// a millisecond.
    pub count_timeout: Duration,
    /// Exact counts of rows have a quarter of the connections at most, so that pages always have the others.
    pub(crate) counts: Arc<Semaphore>,
}

impl Paging {
    /// Pages over these connections, with tokens sealed by these keys, of messages that these descriptors describe.
    pub fn new(connections: impl Connections, tokens: PageTokens, descriptors: &'static [u8]) -> Self {
        let counts = Arc::new(Semaphore::new((connections.max_connections() / 4).max(1)));
        let connections = Arc::new(connections);
        Self { connections, tokens, descriptors, count_timeout: DEFAULT_COUNT_TIMEOUT, counts }
    }

    /// Opens a list: checks its declaration against its message and the database's catalogue, so that a list that is open
    /// can be paged.
    ///
    /// Each column has a field of its name, each field a column, and a conversion from the one's type to the other's.
    /// For a list that is `from` a table, the keys of each order are unique within the scope and never null where they
    /// are declared so, the values of a row's keys fit in a token, and an index serves each order, alone and under each
    /// set of filters that it names as indexed; and the table of each counter has the columns and the unique index that it
    /// needs. All of it is asked of Postgres, which proves it or does not.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`]: the first thing that is not so, and what would make it so.
    pub async fn open(&self, listing: &'static Listing) -> Result<List, CatalogueError> {
        let (types, layout) = catalogue::check(self, listing).await?;
        let (layout, shapes) = (layout.map(Arc::new), Shapes::default());
        Ok(List { listing, types, layout, shapes, paging: self.clone() })
    }
}

/// A list that is open: its declaration was found true of the database.
#[derive(Debug, Clone)]
pub struct List {
    pub(crate) listing: &'static Listing,
    pub(crate) paging: Paging,
    pub(crate) types: Types,
    layout: Option<Arc<Layout>>,
    pub(crate) shapes: Shapes,
}

impl List {
    /// The declaration.
    pub fn listing(&self) -> &'static Listing {
        self.listing
    }

    /// The message of the first row, if there is one: for a statement that returns the list's columns, as
    /// [`Listing::columns`] has them, before any others.
    ///
    /// # Errors
    ///
    /// [`Error::Listing`] when it returns others, or a value has no place in its field.
    pub fn first<M: Message + Default>(&self, rows: &[PgRow]) -> Result<Option<M>, Error> {
        rows.first().map(|row| self.message(row)).transpose()
    }

    /// The message of a row: see [`List::first`].
    ///
    /// # Errors
    ///
    /// As [`List::first`].
    pub fn message<M: Message + Default>(&self, row: &PgRow) -> Result<M, Error> {
        let layout = self.layout()?;
        let mut bytes = Vec::new();
        layout.check(row).and_then(|()| layout.put(row, &mut bytes)).map_err(|mistake| self.mistake(mistake))?;
        M::decode(bytes.as_slice()).map_err(|error| self.mistake(format!("its rows are of another message: {error}")))
    }

    /// Rows as the repeated field 1 of a response.
    pub(crate) fn encode<'r>(&self, rows: impl Iterator<Item = &'r PgRow>) -> Result<Vec<u8>, Error> {
        /// What a row is expected to have, so that the bytes of most pages are not moved while they grow.
        const ROW_BYTES: usize = 256;
        let layout = self.layout()?;
        let mut bytes = Vec::with_capacity(rows.size_hint().0 * ROW_BYTES);
        for (place, row) in rows.enumerate() {
            // All of them have the columns of the first.
            let checked = if place == 0 { layout.check(row) } else { Ok(()) };
            checked.and_then(|()| layout.put_as_row(row, &mut bytes)).map_err(|mistake| self.mistake(mistake))?;
        }
        Ok(bytes)
    }

    /// Whether the column is a numeric, whose text as JSON may have zeros at the end.
    #[cfg(feature = "conformance")]
    pub(crate) fn is_numeric(&self, column: &str) -> bool {
        self.layout.as_ref().is_some_and(|layout| layout.is_numeric(column))
    }

    fn layout(&self) -> Result<&Layout, Error> {
        self.layout.as_deref().ok_or_else(|| self.mistake("it names no message".to_owned()))
    }

    fn mistake(&self, mistake: String) -> Error {
        Error::Listing { list: self.listing.name, mistake }
    }
}
