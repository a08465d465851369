//! How often callers may get a credential.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use access::{RateLimit, TooOften, network};
use metrics::counter;
use platform::{Error, Rarely, SignIns};
use time::OffsetDateTime;
use uuid::Uuid;

/// Limits successes by API key or session, and failures by address.
///
/// A success is counted only once the secret was right, so nobody can use up the limit of somebody else's key. For the same
/// reason, a right secret is accepted from an address that has reached the limit of failures.
#[derive(Debug)]
pub(crate) struct SignInLimits {
    successes: RateLimit<Uuid>,
    failures: RateLimit<IpAddr>,
    refused: Rarely,
}

impl SignInLimits {
    pub(crate) fn new(SignIns { sessions_per_minute, failures_per_minute }: SignIns) -> Self {
        Self {
            successes: RateLimit::per_minute(sessions_per_minute),
            failures: RateLimit::per_minute(failures_per_minute),
            refused: Rarely::new(),
        }
    }

    /// Counts a session of this API key, or a refresh of this session.
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] if there were too many.
    pub(crate) fn succeeded(&self, id: Uuid, now: OffsetDateTime) -> Result<(), Error> {
        self.successes.count(id, now).map_err(too_many_sessions)
    }

    /// Whether this session may be refreshed.
    ///
    /// # Errors
    ///
    /// As [`SignInLimits::succeeded`].
    pub(crate) fn check(&self, id: Uuid, now: OffsetDateTime) -> Result<(), Error> {
        self.successes.check(id, now).map_err(too_many_sessions)
    }

    /// The error for a wrong secret from this address. `id` is that of the key or session that it names.
    pub(crate) fn failed(&self, peer: Option<SocketAddr>, id: Option<Uuid>, now: OffsetDateTime) -> Error {
        let address = network(peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip()));
        if let Some(times) = self.refused.times() {
            let id = id.map(tracing::field::display);
            tracing::warn!(times, %address, id, "refused wrong secrets");
        }
        match self.failures.count(address, now) {
            Ok(()) => Error::Unauthenticated,
            Err(TooOften { retry_after }) => reached(
                "failures_per_minute",
                "too many wrong secrets from this address",
                "TOO_MANY_WRONG_SECRETS",
                retry_after,
            ),
        }
    }
}

fn too_many_sessions(TooOften { retry_after }: TooOften) -> Error {
    reached("sessions_per_minute", "too many sessions; use one until it ends", "TOO_MANY_SESSIONS", retry_after)
}

fn reached(limit: &'static str, message: &'static str, reason: &'static str, retry_after: Duration) -> Error {
    counter!("limits_reached_total", "limit" => limit).increment(1);
    Error::Exhausted { message, reason, retry_after }
}
