use std::{num::NonZeroUsize, time::Duration};

/// What statements and tenants may take of a [`Database`](crate::Database).
#[derive(Debug, Clone)]
pub struct Limits {
    /// The maximum number of connections, without the reserved one. Default: 16.
    pub max_connections: usize,
    /// How much of the connections one tenant may hold, so that other tenants find the rest. Default: three quarters.
    pub tenant_connections: Percent,
    /// How much of the connections one tenant may hold with slow statements. It gets no further connection while it
    /// holds as many, and if another tenant waits, statements above that are cancelled. Default: a quarter.
    pub slow_connections: Percent,
    /// A statement, or a transaction, that has run for longer than this is slow. Default: 500 milliseconds.
    pub slow_after: Duration,
    /// How long a statement may run. Default: 10 seconds.
    pub statement_timeout: Duration,
    /// How long a statement may wait for a lock. Default: 2 seconds.
    pub lock_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 16,
            tenant_connections: Percent(75),
            slow_connections: Percent(25),
            slow_after: Duration::from_millis(500),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(2),
        }
    }
}

impl Limits {
    /// The default limits, with this many connections.
    pub fn of_connections(max_connections: usize) -> Self {
        Self { max_connections, ..Self::default() }
    }
}

/// A share of the connections: 1 to 100 percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u8);

impl Percent {
    /// This share of a number of connections: at least one.
    pub(crate) fn of(self, connections: usize) -> NonZeroUsize {
        NonZeroUsize::new(connections * usize::from(self.0) / 100).unwrap_or(NonZeroUsize::MIN)
    }
}
