//! Pages of rows from Postgres by keyset. The last page of a list costs as much as the first, no row is skipped or
//! repeated, and callers see only opaque page tokens.
//!
//! A list is declared once: its table, the message of its rows, its filters and its orders. Opening a list checks the
//! declaration against the message's descriptor and the database's catalogue. Each call then runs one statement and
//! writes its rows to protobuf directly from Postgres's bytes, so a list has no row type.
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
//! // The handler of ListBooks. `pagination-build` generates `EncodedPage` as its response type.
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
//! - **A walk returns each row once.** A row that exists throughout a walk and whose keys do not change is returned
//!   exactly once, whatever else is inserted or deleted, whatever the page sizes, and even if the row that a token
//!   points to is deleted.
//! - **Keys are exact.** A token holds the values of a row's keys as Postgres's own bytes, so no float, numeric,
//!   microsecond or collation is rounded. Any type that has an order and a binary format can be a key.
//! - **A page reads a page.** From each index range that may hold its rows, a statement reads at most one entry more
//!   than the page has rows. There is one range, or a few if keys differ in direction or may be null, and one for each
//!   value of a filter of several values. With a filter that no index serves, it reads at most
//!   [`Listing::examined_rows`] entries. Opening a list checks the indexes. The [conformance kit](conformance) (feature
//!   `conformance`) checks the work, in one call for each list.
//! - **Tokens are bound to the query.** One call binds a value to both the statement and the token. A token of another
//!   list, scope, filter or order is refused before any statement runs.
//! - **A count never fails a page.** It is a separate statement with its own timeout. A total that cannot be counted in
//!   time is estimated, and labelled as an estimate. An exact total that a [counter](Counter) holds costs as much as a
//!   page, however many rows there are.
//! - **Values are always bound.** All SQL text comes from the declaration.
//!
//! # What a table needs
//!
//! - Keys that are unique within the scope: end each order with the primary key.
//! - An index on `(scope…, keys…)` for each order, which also serves its reverse, and one on
//!   `(scope…, columns of the filters…, keys…)` for each set of filters that must be fast in it.
//! - A bound on the length of text keys, by a CHECK or by their type, so that they fit in a token.
//!
//! For totals that are read instead of counted, add a table for each [`Counter`], which the service's own writes
//! maintain.
//!
//! If something is missing, [`Paging::open`] returns an error with all of it, as a script for `psql` where SQL can add it:
//! see [`CatalogueError::script`], and the example `advise`.
//!
//! # Orders that are not columns of a table
//!
//! `from` may be a query in parentheses, for a list that is ordered by a search rank or over a GROUP BY. The inner
//! query runs completely for each page, so limit it yourself. In a filter that depends on the clock, bind the choice
//! and not the time: `"(expire_time > now()) = {active}"`.
//!
//! # Non-goals
//!
//! - Orders composed by a request. Each order is named, has an index, and is checked.
//! - A snapshot across pages. Rows that are inserted during a walk may be returned or not; rows whose keys change may
//!   be returned once, twice or not at all.
//! - Databases other than Postgres. Versions 15 and 18 are tested.
//!
//! # Connections
//!
//! A list has the pool that it was opened with, for example an [`sqlx::PgPool`]. Create its connections with
//! [`options_for_pages`]. [`Query::on`] runs a page on another pool, such as one of a replica, or on one connection, such as
//! that of a transaction:
//!
//! ```
//! # use keyset::{Error, List};
//! # use pagination::proto::{EncodedPage, PageRequest};
//! # async fn list(pool: sqlx::PgPool, books: &List, page: Option<PageRequest>, tenant: &str) -> Result<EncodedPage, Error> {
//! let mut transaction = pool.begin().await?;
//! sqlx::query("select set_config('app.tenant', $1, true)").bind(tenant).execute(&mut *transaction).await?;
//! let page = books.page(page, "").scope(tenant).on(&mut transaction).fetch().await?;
//! transaction.commit().await?;
//! # Ok(page) }
//! ```
//!
//! - **Row-level security** can be the only scope, with [`ScopeBy::Policy`]: the tenant is in the page token all the same.
//! - **Replicas.** A page of a replica may be older than the one before it. A list does not wait for a replica.
//! - **Poolers.** PgBouncer in transaction mode needs version 1.21 or later and `max_prepared_statements` above 0. Use
//!   [`options_for_pooler`], and give [`SETTINGS_FOR_PAGES`] to the role.
//! - **A total** runs beside the page on a pool, and after it on one connection: see [`On`].
//! - **A changed table.** Outside a transaction, a page is tried once more after `alter table`. In a transaction it fails.
//!
//! The `metrics` facade records, for each list, pages, rows, examined rows, totals and refused page tokens.
//!
//! # Features
//!
//! - `tonic`, on by default: errors convert into a `tonic::Status` that tells the caller nothing about internals; the
//!   details are logged with `tracing`. Without it, nothing here depends on tonic, and the variants of [`Error`] say what
//!   to answer.
//! - `conformance`: the [conformance kit](conformance), for tests.

mod array;
mod batch;
mod behind;
mod catalogue;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connection;
mod count;
mod counter;
mod encode;
mod error;
mod fetch;
mod list;
mod listing;
mod measure;
mod messages;
mod number;
mod page;
mod plan;
mod prefix;
mod query;
mod rarely;
#[cfg(feature = "tonic")]
mod reference;
#[cfg(any(doc, doctest))]
#[doc = include_str!("../recipes.md")]
pub mod recipes {}
mod seek;
mod select;
mod selection;
mod shape;
mod source;
#[cfg(feature = "tonic")]
mod status;
mod target;
mod turns;
mod value;
mod wire;

pub use batch::Batch;
pub use catalogue::{CatalogueError, Problem};
pub use connection::{
    Connections, HeldConnection, On, SETTINGS_FOR_PAGES, Statement, options_for_pages, options_for_pooler,
};
pub use count::COUNT_CAP;
pub use counter::{COUNTER_SLOTS, Counter, CounterSlots};
pub use encode::Unfit;
pub use error::{Error, Failure};
pub use list::{DEFAULT_CHECK_INTERVAL, DEFAULT_COUNT_TIMEOUT, List, Paging};
pub use listing::{Filter, Key, Listing, Nulls, Order, ScopeBy, Sort, Test, UnfitRows, asc, desc};
pub use page::{MAX_PAGE_BYTES, MAX_ROW_BYTES, Page};
pub use query::{MAX_VALUES, Query};
pub use rarely::Rarely;
/// The sqlx that this crate uses, whose types are in its functions. A crate that takes it from here always has the same
/// version.
pub use sqlx;
#[cfg(feature = "tonic")]
pub use status::{database_status, internal_status};
