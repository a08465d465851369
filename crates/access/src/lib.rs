//! Authorization of calls: callers, the access tokens that identify them, the keys that sign these tokens, and the
//! scope that each method of the contract requires.
//!
//! [`Access`] admits or refuses a call, based on the call's path, its headers and the current time, which is an
//! argument. [`RateLimit`] limits how often something may happen. Neither does I/O or reads a clock.

mod access;
mod access_token;
mod caller;
mod ed25519;
mod error;
mod methods;
mod network;
mod rate_limit;
mod signing_keys;

pub use access::Access;
pub use access_token::{ACCESS_TOKEN_TIME_TO_LIVE, AccessToken};
pub use caller::{Caller, Scope};
pub use error::Error;
pub use methods::{Methods, Requirement};
pub use network::network;
pub use quire_proto::{DEFAULT_WORKSPACE, WORKSPACE_METADATA, is_workspace};
pub use rate_limit::{RateLimit, TooOften};
pub use signing_keys::{SigningKey, SigningKeys, SigningKeysError, pem_blocks};
