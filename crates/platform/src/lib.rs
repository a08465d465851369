//! What every service of Quire needs, so that a service holds its domain and nothing else: who is calling, the database
//! handle, the sources of time and ids, validation, and the one conversion of errors to a `Status`.

mod availability;
mod caller;
mod database;
mod error;
mod ids;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod validation;

pub use availability::{Availability, WhileAvailable};
pub use caller::{Caller, WORKSPACE_METADATA};
pub use database::{MigrationError, connect, migrate};
pub use error::{Error, Resource};
pub use ids::Ids;
use keyset::Paging;
use pagination::Clock;

pub use crate::{
    time::{now, timestamp},
    validation::Violations,
};

/// The most bytes of a message that a server reads: 16 MiB, enough for a batch of a thousand ordinary texts.
pub const MAX_REQUEST_BYTES: usize = 16 << 20;

/// What a service is opened with.
#[derive(Debug, Clone)]
pub struct Platform {
    /// The database, and the seal of page tokens.
    pub paging: Paging,
    /// What tells the time.
    pub clock: Clock,
    /// What makes ids.
    pub ids: Ids,
}
