//! The rules of [`pagination.v1`](quire_proto::pagination::v1) in Rust: the meaning of a page request; page tokens that
//! nobody can read, forge or use for another query; the errors of an invalid request; and a client's walk through
//! pages.
//!
//! The crate depends on gRPC, but not on a database. The crate `keyset` builds on it and fetches pages from Postgres; a
//! service that stores its rows elsewhere uses this crate alone.
//!
//! # Serving
//!
//! ```
//! use pagination::{Cursor, Direction, Fingerprint, PageParameters, PageRules, PageTokens, Position, proto::PageRequest};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tokens = PageTokens::new("2026-11:n0Yz3iKcP9tJkq0c5mE0mG0h9f0g5mH5l2x0T7r1u3Q=".parse()?);
//!
//! // What the request asks for, with the defaults and limits of the list applied.
//! let page = PageParameters::new(PageRequest { page_size: 1_000, ..Default::default() }, &PageRules::DEFAULT)?;
//! assert_eq!(page.size, 200);
//!
//! // Everything that decides which rows the list has, and in which order.
//! let query = Fingerprint::of("books.v1.Books").part("order", b"title").part("shelf", b"history").finish();
//!
//! // The token for the page after the row whose order column is "Moby-Dick".
//! let cursor = Cursor { direction: Direction::Forward, position: Position::After(vec![Some(b"Moby-Dick".to_vec())]) };
//! let token = tokens.seal(&cursor, &query)?;
//!
//! // It opens for the same query, and for no other.
//! assert_eq!(tokens.open(&token, &query)?, cursor);
//! let other = Fingerprint::of("books.v1.Books").part("order", b"title").part("shelf", b"poetry").finish();
//! assert!(tokens.open(&token, &other).is_err());
//! # Ok(())
//! # }
//! ```
//!
//! A service's own protos import `pagination/v1/pagination.proto`. Its build script compiles them with the crate
//! `pagination-build`, which finds this file, takes its messages from [`proto`], and generates servers whose lists
//! return [`EncodedPage`](proto::EncodedPage): rows that are encoded already, and the page's tokens and total.
//!
//! # Calling
//!
//! [`walk`] turns the pages of any such list into one stream of rows.
//!
//! # Guarantees
//!
//! - A token is authenticated and encrypted. It does not open if any bit was changed, if it was truncated, or if it was
//!   sealed with another key. The values of the order columns cannot be read from it.
//! - A token opens only for the query that it was sealed for: see [`Fingerprint`].
//! - No input makes this crate panic, and no error text repeats the contents of a token.
//!
//! # Non-goals
//!
//! - Authorization. A token says where a page begins, and grants no access to the page.
//! - Sessions on the server. Every process with the same keys serves every page.

mod error;
mod fingerprint;
mod keys;
mod order_by;
mod request;
mod rules;
mod token;
mod version;
mod walk;

pub use error::{
    DEFAULT_ERROR_DOMAIN, FieldViolation, InvalidArgument, MAX_VIOLATIONS, PageTokenError, PageTokenErrorKind,
};
pub use fingerprint::{Fingerprint, FingerprintBuilder};
pub use keys::{TokenKeys, TokenKeysError};
pub use order_by::find_order;
/// The messages of `pagination.v1`.
pub use quire_proto::pagination::v1 as proto;
pub use request::{MAX_SKIP, PageParameters};
pub use rules::{PageFields, PageRules};
pub use token::{
    Cursor, DEFAULT_TIME_TO_LIVE, Direction, MAX_KEY_BYTES, MAX_TOKEN_LENGTH, PageTokens, Position, SealError,
};
pub use version::{TokenVersion, TokenVersionError};
pub use walk::walk;
