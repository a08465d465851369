//! What every service of Quire needs, so that a service holds its domain and nothing else: who is calling, the database
//! handle, the sources of time and ids, validation, and the one conversion of errors to a `Status`.

mod clock;
mod create;
mod error;
mod field;
mod ids;
mod names;
mod resources;
mod rows;
mod service;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod validation;

use access::SigningKeys;
pub use access::{Caller, DEFAULT_WORKSPACE, Scope, WORKSPACE_METADATA};
pub use clock::Clock;
pub use create::{Existing, KeyPair, NewRow, create, matched, without_repeated};
use database::Database;
pub use error::{ERROR_DOMAIN, Error, Resource};
pub use field::{EnumNames, Field, Rule, Value};
pub use ids::Ids;
use keyset::{CounterSlots, Paging};
pub use names::{Names, UNSPECIFIED};
use pagination::PageTokens;
pub use resources::{Declaration, Resources};
pub use rows::Rows;
pub use service::{Import, Opened, Service};
pub use validation::{
    MAX_BATCH, TimeRange, UniqueField, Violations, check_batch_bytes, parse_id, read_batch, read_one,
};

pub use crate::time::{now, timestamp};

/// The most bytes of a message that a server reads: 16 MiB, enough for a batch of a thousand ordinary texts.
pub const MAX_REQUEST_BYTES: usize = 16 << 20;

/// The most bytes of a message that a server reads from whoever likes to send one: 64 KiB.
pub const MAX_OPEN_REQUEST_BYTES: usize = 64 << 10;

/// What a service is opened with.
#[derive(Debug, Clone)]
pub struct Platform {
    /// The database.
    pub database: Database,
    /// What lists of that database need.
    pub paging: Paging,
    /// The slots for writes to counters.
    pub slots: CounterSlots,
    /// What tells the time.
    pub clock: Clock,
    /// What makes ids.
    pub ids: Ids,
    /// The keys that sign and check access tokens; none while there is no authentication.
    pub signing_keys: Option<SigningKeys>,
}

impl Platform {
    /// Services on this database, by this clock. The time of page tokens is told by it too, and their refusals have the
    /// domain [`ERROR_DOMAIN`], whatever `tokens` says of both.
    pub fn new(database: Database, tokens: PageTokens, clock: Clock, signing_keys: Option<SigningKeys>) -> Self {
        let tokens = PageTokens { now: clock.clone().into(), error_domain: ERROR_DOMAIN, ..tokens };
        Self {
            paging: Paging::new(database.clone(), tokens, quire_proto::FILE_DESCRIPTOR_SET),
            slots: CounterSlots::default(),
            ids: Ids::by_time(clock.clone()),
            database,
            clock,
            signing_keys,
        }
    }
}
