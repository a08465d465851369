//! TODO
mod catalogue;
#[cfg(feature = "conformance")]
pub mod conformance;
mod count;
mod error;
mod list;
mod listing;
mod page;
mod plan;
mod prefix;
mod query;
mod seek;
mod select;
mod statement;
mod value;

pub use catalogue::CatalogueError;
pub use count::COUNT_CAP;
pub use error::{Error, database_status, internal_status};
pub use list::{DEFAULT_COUNT_TIMEOUT, List, Paging, connect_options};
pub use listing::{Filter, Key, Listing, Nulls, Order, Sort, Test, asc, desc};
pub use page::{MAX_PAGE_BYTES, Page};
pub use query::{MAX_VALUES, Query};
