//! What every service of Quire needs, so that a service holds its domain and nothing else: who is calling, the database
//! handle, the sources of time and ids, validation, and the one conversion of errors to a `Status`.

mod access;
mod access_tokens;
mod caller;
mod create;
mod error;
mod ids;
mod measure;
mod names;
mod service;
mod signing_keys;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod update_mask;
mod validation;

pub use access::{Access, Methods};
pub use access_tokens::{ACCESS_TOKEN_TIME_TO_LIVE, AccessToken, AccessTokens, NO_SIGNING_KEYS};
pub use caller::{Caller, DEFAULT_WORKSPACE, Scope, WORKSPACE_METADATA, is_workspace};
pub use create::{Existing, NewRow, create, without_repeated};
use database::Database;
pub use error::{Error, Resource};
pub use ids::Ids;
use keyset::{CounterSlots, Paging};
pub use measure::{Measure, MeasuredCall};
pub use names::{Names, UNSPECIFIED};
use pagination::{Clock, PageTokens};
pub use service::{Import, Opened, Service};
pub use signing_keys::{SigningKeys, SigningKeysError};
pub use update_mask::UpdateMask;
pub use validation::{MAX_BATCH, TimeRange, Violations, check_batch, check_batch_bytes, parse_id, request_path};

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
    /// What signs and checks access tokens; nothing while there is no authentication.
    pub access_tokens: Option<AccessTokens>,
}

impl Platform {
    /// Services on this database, by this clock.
    pub fn new(database: Database, tokens: PageTokens, clock: Clock, access_tokens: Option<AccessTokens>) -> Self {
        Self {
            paging: Paging::new(database.clone(), tokens, quire_proto::FILE_DESCRIPTOR_SET),
            slots: CounterSlots::default(),
            ids: Ids::by_time(clock.clone()),
            database,
            clock,
            access_tokens,
        }
    }
}
