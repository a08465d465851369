//! The rows of the service, each beside the SQL that fills it.

mod api_keys;
mod sessions;

pub use api_keys::API_KEYS;
pub(crate) use api_keys::{ApiKeyRow, NewApiKey};
pub use sessions::SESSIONS;
pub(crate) use sessions::{NewSession, Refresh, SessionRow};

/// The message type of an API key.
pub(crate) const API_KEY: &str = "identity.v1.ApiKey";
/// The message type of a session.
pub(crate) const SESSION: &str = "identity.v1.Session";
