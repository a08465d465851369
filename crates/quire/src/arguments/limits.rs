use std::time::Duration;

use clap::{Args, value_parser};
use database::Percent;

/// The limits of a server, so that no caller can take what all callers share. README.md lists them all.
///
/// A tenant is a workspace; for calls without a credential, it is the address of the caller.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// The maximum number of connections to the database
    #[arg(long, env = "QUIRE_MAX_CONNECTIONS", value_name = "NUMBER", default_value = "16")]
    #[arg(value_parser = value_parser!(u16).range(1..=1000))]
    pub(crate) max_connections: u16,

    /// How much of these connections one workspace may hold, in percent
    #[arg(long, env = "QUIRE_TENANT_CONNECTIONS", value_name = "PERCENT", default_value = "75")]
    #[arg(value_parser = value_parser!(u8).range(1..=100))]
    pub(crate) tenant_connections: u8,

    /// How much of these connections one workspace may hold with slow statements, in percent. Beyond that, they are stopped
    /// when another workspace waits
    #[arg(long, env = "QUIRE_SLOW_CONNECTIONS", value_name = "PERCENT", default_value = "25")]
    #[arg(value_parser = value_parser!(u8).range(1..=100))]
    pub(crate) slow_connections: u8,

    /// How long a statement runs until it counts as slow
    #[arg(long, env = "QUIRE_SLOW_AFTER", default_value = "500ms", value_parser = humantime::parse_duration)]
    pub(crate) slow_after: Duration,

    /// How long a statement may run in Postgres. Then its call gets RESOURCE_EXHAUSTED
    #[arg(long, env = "QUIRE_STATEMENT_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) statement_timeout: Duration,

    /// How long a statement may wait for a lock that another call holds. Then its call gets ABORTED
    #[arg(long, env = "QUIRE_LOCK_TIMEOUT", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(crate) lock_timeout: Duration,
}

impl Limits {
    /// The limits of the database.
    pub(crate) fn of_database(&self) -> database::Limits {
        database::Limits {
            max_connections: self.max_connections.into(),
            tenant_connections: Percent(self.tenant_connections),
            slow_connections: Percent(self.slow_connections),
            slow_after: self.slow_after,
            statement_timeout: self.statement_timeout,
            lock_timeout: self.lock_timeout,
        }
    }
}
