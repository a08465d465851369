//! The lists of the service, and its statements.

pub(crate) mod api_keys;
pub(crate) mod sessions;

pub use api_keys::API_KEYS;
pub use sessions::SESSIONS;

/// The message type of an API key.
pub(crate) const API_KEY: &str = "identity.v1.ApiKey";
/// The message type of a session.
pub(crate) const SESSION: &str = "identity.v1.Session";
