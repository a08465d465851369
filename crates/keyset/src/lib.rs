//! Pages of rows from Postgres by keyset: a list costs the same at its end as at its beginning, skips no row and repeats
//! none, and tells its callers nothing but opaque page tokens.
//!
//! A list is declared once: where its rows are, which message they become, what can be asked of them, and in which orders
//! they come. Opening it checks the declaration against the message's descriptor and the database's catalogue. Each call is
//! then one statement, and its rows are written to protobuf straight from Postgres's bytes: a list has no row type.
//!
//! ```
//! use keyset::{Filter, List, Listing, Order, asc, desc};
//! use pagination::proto::{EncodedPage, PageRequest};
//! use tonic::{Response, Status};
//!
//! static BOOKS: Listing = Listing {
//!     name: "books.v1.Books",
//!     from: "books",
//!     message: "books.v1.Book",
//!     columns: "id, title",
//!     scope: &["library_id"],
//!     filters: &[
//!         Filter::equal("shelf", "shelf"),
//!         Filter::prefix("title_prefix", "title"),
//!         Filter::condition("tag", "tags @> array[{tag}]"),
//!     ],
//!     orders: &[
//!         Order { name: "print_time desc", keys: &[desc("print_time").nulls_last(), desc("id")], indexed: &[&["shelf"]] },
//!         Order { name: "title", keys: &[asc("title"), asc("id")], indexed: &[] },
//!     ],
//!     ..Listing::DEFAULT
//! };
//!
//! // The handler of ListBooks: `pagination-build` makes its response an `EncodedPage`.
//! async fn list_books(books: &List, request: PageRequest, shelf: Option<String>) -> Result<Response<EncodedPage>, Status> {
//!     let page = books
//!         .page(Some(request), "title")
//!         .scope(7_i64)
//!         .filter("shelf", shelf)
//!         .filter::<String>("title_prefix", None)
//!         .filter::<String>("tag", None)
//!         .fetch()
//!         .await?;
//!     Ok(Response::new(page))
//! }
//! # const FILE_DESCRIPTOR_SET: &[u8] = &[];
//! # async fn open(pool: sqlx::PgPool, tokens: pagination::PageTokens) -> Result<List, keyset::CatalogueError> {
//! // Once, when the service starts, with the descriptors of its protos:
//! let books: List = keyset::Paging::new(pool, tokens, FILE_DESCRIPTOR_SET).open(&BOOKS).await?;
//! # Ok(books) }
//! ```
//!
//! # Guarantees
//!
//! - **A walk sees each row once.** A row that exists throughout a walk, and whose keys do not change, is returned exactly
//!   once, whatever is inserted or deleted meanwhile, whatever the page sizes, and also when the row that a token stands
//!   on is deleted.
//! - **Keys are exact.** The values of a row's keys go into the token and back as Postgres's own bytes: no float, numeric,
//!   microsecond or collation is rounded on the way. Any type that has an order and a binary form will do.
//! - **A page reads a page.** A statement reads as many entries of an index as the page has rows, and one more, from each
//!   range that may hold its rows: one range, or a few where keys differ in direction or may be null, and one for each value
//!   of a filter of several. Where a filter has no index it reads [`Listing::examined_rows`]. The index is checked when the
//!   list is opened, and the work by the [conformance kit](conformance) (feature `conformance`), in one call for each list.
//! - **Tokens are bound to the query.** What is bound to the statement is bound to the token by the same call. A token of
//!   another list, scope, filter or order is refused, and no statement is run for it.
//! - **A count never costs the page.** It is a statement beside the page's, with a time of its own; what cannot be counted
//!   in that time is estimated, and labelled so. Where a list declares [counters](Counter), an exact total that they have
//!   costs what a page costs, however many rows there are.
//! - **Values are bound, always.** All SQL text comes from the declaration.
//!
//! # What a table needs
//!
//! - Keys that are unique within the scope: end each order with the primary key.
//! - An index of `(scope…, keys…)` for each order, which also serves its reverse, and one of `(scope…, columns of the
//!   filters…, keys…)` for each set of filters that is to be fast in it.
//! - A bound on the length of keys that are text, by a CHECK or by their type, so that they fit in a token.
//!
//! And, for totals that are read and not counted, a table for each [`Counter`], which the service's writes keep.
//!
//! Where something is missing, [`Paging::open`] says so in words that can be pasted into `psql`.
//!
//! # Orders that are not columns of a table
//!
//! `from` may be a query in parentheses: a list ordered by a search rank, or over a GROUP BY, is declared in the same way.
//! What is inside is run whole for each page, so bound it yourself. A filter that depends on the clock binds the choice and
//! not the time: `"(expire_time > now()) = {active}"`.
//!
//! # Non-goals
//!
//! - Orders that a request makes up. Each order is named, has an index, and is checked.
//! - A snapshot across pages. Rows that are inserted or moved during a walk are seen or not.
//! - Databases other than Postgres, of which 15 and 18 are tried.
//!
//! # Connections
//!
//! Lists run on any [`Connections`]: an [`sqlx::PgPool`], for example, best made with [`options_for_pages`].
//!
//! What is served is counted by the facade `metrics`: for each list pages, rows, rows
//! examined, totals and refused page tokens. Errors convert to a `tonic::Status` that tells a caller nothing of what is inside; the
//! rest is logged with `tracing`.

mod catalogue;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connection;
mod count;
mod counter;
mod error;
mod list;
mod listing;
mod measure;
mod page;
mod plan;
mod prefix;
mod query;
mod seek;
mod select;
mod selection;
mod shape;
mod source;
mod value;
mod wire;

pub use catalogue::CatalogueError;
pub use connection::{Connections, HeldConnection, Statement, options_for_pages};
pub use count::COUNT_CAP;
pub use counter::{COUNTER_SLOTS, Counter, CounterSlots};
pub use error::{Error, database_status, internal_status};
pub use list::{DEFAULT_COUNT_TIMEOUT, List, Paging};
pub use listing::{Filter, Key, Listing, Nulls, Order, Sort, Test, asc, desc};
pub use page::{MAX_PAGE_BYTES, Page};
pub use query::{MAX_VALUES, Query};
