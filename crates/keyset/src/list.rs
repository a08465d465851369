use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pagination::PageTokens;
use prost::Message;
use sqlx::postgres::PgRow;

use crate::{
    Connections, Error, Listing,
    catalogue::{self, CatalogueError},
    selection::Types,
    shape::Shapes,
    turns::Turns,
    wire::Layout,
};

/// Default timeout of a count: 2 seconds.
pub const DEFAULT_COUNT_TIMEOUT: Duration = Duration::from_secs(2);

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
    pub(crate) turns: Arc<Turns>,
}

impl Paging {
    /// Pages over these connections. `tokens` seals their page tokens. `descriptors` describes the messages of their
    /// rows: an encoded `google.protobuf.FileDescriptorSet`.
    pub fn new(connections: impl Connections, tokens: PageTokens, descriptors: &'static [u8]) -> Self {
        let turns = Arc::new(Turns::of_connections(connections.max_connections()));
        let connections = Arc::new(connections);
        Self { connections, tokens, descriptors, count_timeout: DEFAULT_COUNT_TIMEOUT, turns }
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
    /// [`CatalogueError`]: the first problem found, and how to fix it.
    pub async fn open(&self, listing: &'static Listing) -> Result<List, CatalogueError> {
        let (types, layout) = catalogue::check(self, listing).await?;
        let opened = Opened { types, layout, shapes: Shapes::default() };
        Ok(List { listing, paging: self.clone(), opened: Arc::new(Mutex::new(Arc::new(opened))) })
    }
}

/// An open list: its declaration was checked against the database.
#[derive(Debug, Clone)]
pub struct List {
    pub(crate) listing: &'static Listing,
    pub(crate) paging: Paging,
    opened: Arc<Mutex<Arc<Opened>>>,
}

/// What the database's catalogue says about a list.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) types: Arc<Types>,
    pub(crate) layout: Option<Layout>,
    pub(crate) shapes: Shapes,
}

impl List {
    /// The declaration.
    pub fn listing(&self) -> &'static Listing {
        self.listing
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
        layout.check(row).and_then(|()| layout.put(row, &mut bytes)).map_err(|mistake| self.mistake(mistake))?;
        M::decode(bytes.as_slice()).map_err(|error| self.mistake(format!("its rows are of another message: {error}")))
    }

    /// Encodes rows as the repeated field 1 of a response.
    pub(crate) fn encode<'r>(&self, opened: &Opened, rows: impl Iterator<Item = &'r PgRow>) -> Result<Vec<u8>, Error> {
        /// The expected size of a row. With it, most pages are not reallocated while they grow.
        const ROW_BYTES: usize = 256;
        let layout = self.layout(opened)?;
        let mut bytes = Vec::with_capacity(rows.size_hint().0 * ROW_BYTES);
        for (place, row) in rows.enumerate() {
            // All rows have the columns of the first one.
            let checked = if place == 0 { layout.check(row) } else { Ok(()) };
            checked.and_then(|()| layout.put_as_row(row, &mut bytes)).map_err(|mistake| self.mistake(mistake))?;
        }
        Ok(bytes)
    }

    /// Whether the column is a numeric, whose JSON text may end in zeros that its message leaves out.
    #[cfg(feature = "conformance")]
    pub(crate) fn is_numeric(&self, column: &str) -> bool {
        self.opened().layout.as_ref().is_some_and(|layout| layout.is_numeric(column))
    }

    fn layout<'o>(&self, opened: &'o Opened) -> Result<&'o Layout, Error> {
        opened.layout.as_ref().ok_or_else(|| self.mistake("it names no message".to_owned()))
    }

    pub(crate) fn mistake(&self, mistake: String) -> Error {
        Error::Listing { list: self.listing.name, mistake }
    }
}
