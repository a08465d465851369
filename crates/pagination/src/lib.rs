//! The rules of [`pagination.v1`](quire_proto::pagination::v1) in Rust: the meaning of a page request; page tokens that
//! nobody can read, forge or use for another query; the errors of an invalid request; and a client's walk through
//! pages.
//!
//! The crate depends on no database, and on tonic only with the feature `tonic`. The crate `keyset` builds on it and fetches pages from Postgres; a
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
//! [`PageRules`] sets other page sizes, and the names of fields for requests without a `PageRequest page`.
//!
//! A service's own protos import `pagination/v1/pagination.proto`. Its build script compiles them with the crate
//! `pagination-build`, which finds this file, takes its messages from [`proto`], and generates servers whose lists
//! return [`EncodedPage`](proto::EncodedPage): rows that are encoded already, and the page's tokens and total.
//!
//! # Calling
//!
//! A [`Walk`] turns the pages of any such list into one stream of rows, with retries and checkpoints. For the clients
//! that `pagination-build` generates, [`WalkExt`] makes it: `client.walk(ListBooksRequest { .. })`.
//!
//! # Features
//!
//! - `tonic`, on by default: [`Walk`], and [`InvalidArgument`] converts into a `tonic::Status`. Without it, nothing here
//!   depends on tonic, and a service builds its own answers:
//!
//! ```
//! use pagination::InvalidArgument;
//!
//! /// The body of an HTTP answer with the status 400.
//! fn problem(error: InvalidArgument) -> String {
//!     let reason = match &error {
//!         InvalidArgument::PageToken(error) => error.kind.reason(),
//!         InvalidArgument::Fields(_) => "INVALID_FIELDS",
//!     };
//!     let violations = error.into_violations();
//!     let lines = violations.iter().map(|violation| format!("{}: {}\n", violation.field, violation.description));
//!     format!("{reason}\n{}", lines.collect::<String>())
//! }
//!
//! let wrong = InvalidArgument::field("limit", "must not be negative; 0 means 25");
//! assert_eq!(problem(wrong), "INVALID_FIELDS\nlimit: must not be negative; 0 means 25\n");
//! ```
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
#[cfg(feature = "tonic")]
mod status;
mod token;
mod version;
#[cfg(feature = "tonic")]
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
#[cfg(feature = "tonic")]
pub use walk::{Checkpoint, CheckpointError, Page, Pages, Retry, Walk, WalkError, WalkErrorKind, WalkExt};
