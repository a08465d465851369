//! What every service of Quire shares: the caller, the database handle, the sources of time and ids, validation, and
//! the one conversion of errors to a `Status`. A service itself contains only its domain.

mod audit;
mod clock;
mod create;
mod error;
mod field;
mod ids;
mod names;
mod resources;
mod rows;
mod service;
mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod validation;

use std::{num::NonZeroU32, time::Duration};

use access::SigningKeys;
pub use access::{Caller, DEFAULT_WORKSPACE, Scope, WORKSPACE_METADATA};
pub use audit::{Audit, AuditCaller, AuditNotes, AuditTarget};
pub use clock::Clock;
pub use create::{Existing, KeyPair, NewRow, create, matched, without_repeated};
use database::Database;
pub use error::{ERROR_DOMAIN, Error, Resource};
pub use field::{EnumNames, Field, Rule, Value};
pub use ids::Ids;
pub use keyset::Rarely;
use keyset::{CounterSlots, Paging};
pub use names::{Names, UNSPECIFIED};
use pagination::PageTokens;
pub use quire_proto::requests::MAX_REQUEST_BYTES;
pub use resources::{Declaration, Derived, Resources, assignments};
pub use rows::Rows;
pub use service::{Import, Opened, Service};
pub use sweep::{Sweep, Sweeper, Swept};
pub use validation::{
    MAX_BATCH, TimeRange, UniqueField, Violations, check_batch_bytes, parse_id, read_batch, read_one,
};

pub use crate::time::{now, timestamp};

/// The maximum size in bytes of a request that needs no credential: 64 KiB.
pub const MAX_OPEN_REQUEST_BYTES: usize = 64 << 10;

/// Everything that a service needs to open.
#[derive(Debug, Clone)]
pub struct Platform {
    /// The database.
    pub database: Database,
    /// What the lists need to serve pages.
    pub paging: Paging,
    /// The slots that writes to counters are spread over.
    pub slots: CounterSlots,
    /// The source of the time.
    pub clock: Clock,
    /// The source of ids.
    pub ids: Ids,
    /// The keys that sign and verify access tokens; `None` without authentication.
    pub signing_keys: Option<SigningKeys>,
    /// How often callers may get a credential.
    pub sign_ins: SignIns,
    /// How long rows are kept that are of no more use.
    pub retention: Retention,
}

/// How long rows are kept that are of no more use. Then a [`Sweep`] deletes them.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Sessions that have expired or were revoked. Default: 30 days.
    pub sessions: Duration,
    /// API keys that have expired or were revoked. Default: 90 days.
    pub api_keys: Duration,
    /// Agents that are offline and have sent no heartbeat. `None`, the default, keeps them.
    pub agents: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self { sessions: days(30), api_keys: days(90), agents: None }
    }
}

/// How often callers may get a credential. Each server process counts for itself.
#[derive(Debug, Clone, Copy)]
pub struct SignIns {
    /// Sessions that one API key creates in a minute, and refreshes of one session. Default: 60.
    pub sessions_per_minute: NonZeroU32,
    /// Attempts with a wrong secret from one address in a minute. Default: 20.
    pub failures_per_minute: NonZeroU32,
}

impl Default for SignIns {
    fn default() -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self { sessions_per_minute: at_least_one(60), failures_per_minute: at_least_one(20) }
    }
}

impl Platform {
    /// A platform on this database, with this clock. It overrides two fields of `tokens`: page tokens use the same
    /// clock, and their errors have the domain [`ERROR_DOMAIN`].
    pub fn new(database: Database, tokens: PageTokens, clock: Clock, signing_keys: Option<SigningKeys>) -> Self {
        let tokens = PageTokens { now: clock.clone().into(), error_domain: ERROR_DOMAIN, ..tokens };
        Self {
            paging: Paging::new(database.clone(), tokens, quire_proto::FILE_DESCRIPTOR_SET),
            slots: CounterSlots::default(),
            ids: Ids::by_time(clock.clone()),
            database,
            clock,
            signing_keys,
            sign_ins: SignIns::default(),
            retention: Retention::default(),
        }
    }
}
