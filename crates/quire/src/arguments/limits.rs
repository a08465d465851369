use std::time::Duration;

use clap::{Args, builder::RangedU64ValueParser};
use sqlx::postgres::PgConnectOptions;

use crate::listener::Timeouts;

/// The limits of a server, so that no caller can take what all callers share. README.md lists them all.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// How long a statement may run in Postgres. Then its call gets RESOURCE_EXHAUSTED
    #[arg(long, env = "QUIRE_STATEMENT_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) statement_timeout: Duration,

    /// How long a statement may wait for a lock that another call holds. Then its call gets ABORTED
    #[arg(long, env = "QUIRE_LOCK_TIMEOUT", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(crate) lock_timeout: Duration,

    /// How many clients can be connected. It is lowered if the process may open fewer files
    #[arg(long, env = "QUIRE_MAX_CLIENT_CONNECTIONS", value_name = "NUMBER", default_value = "4096")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) max_client_connections: usize,

    /// How many clients can be connected from one IPv4 address, or one /64 network of IPv6. Behind a proxy, all clients
    /// have its address [default: a quarter of all]
    #[arg(long, env = "QUIRE_MAX_ADDRESS_CONNECTIONS", value_name = "NUMBER")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) max_address_connections: Option<usize>,

    /// How long a client may take for the TLS handshake, and then until its first call. Then it is disconnected
    #[arg(long, env = "QUIRE_CONNECTION_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) connection_timeout: Duration,

    /// How long a client may take nothing of an answer. Then the call ends, and if nothing else was taken, the client is
    /// disconnected
    #[arg(long, env = "QUIRE_STALL_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) stall_timeout: Duration,

    /// How long a connection may have no call. Then the client is asked to close it
    #[arg(long, env = "QUIRE_IDLE_TIMEOUT", default_value = "5m", value_parser = humantime::parse_duration)]
    pub(crate) idle_timeout: Duration,

    /// How old a connection may become, more or less a tenth. Then the client is asked to close it
    #[arg(long, env = "QUIRE_CONNECTION_AGE", default_value = "1h", value_parser = humantime::parse_duration)]
    pub(crate) connection_age: Duration,

    /// How old a stream of health may become. Then it gets UNAVAILABLE. A stream of reflection gets it after a minute
    #[arg(long, env = "QUIRE_STREAM_AGE", default_value = "1h", value_parser = humantime::parse_duration)]
    pub(crate) stream_age: Duration,
}

impl Limits {
    /// Sets the timeouts of statements on connections with these options.
    pub(crate) fn set(&self, options: PgConnectOptions) -> PgConnectOptions {
        let milliseconds = |limit: Duration| limit.as_millis().max(1).to_string();
        options.options([
            ("statement_timeout", milliseconds(self.statement_timeout)),
            ("lock_timeout", milliseconds(self.lock_timeout)),
        ])
    }

    /// How long client connections may be in each state.
    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts {
            connection: self.connection_timeout,
            stall: self.stall_timeout,
            idle: self.idle_timeout,
            age: self.connection_age,
        }
    }
}
