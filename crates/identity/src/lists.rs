//! The lists and statements of the service.

pub(crate) mod api_keys;
pub(crate) mod sessions;

pub use api_keys::API_KEYS;
pub use sessions::SESSIONS;
