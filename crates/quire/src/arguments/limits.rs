use std::{num::NonZeroU32, time::Duration};

use clap::{Args, builder::RangedU64ValueParser, value_parser};
use database::Percent;
use platform::SignIns;

use crate::{
    budget::{self, Budget},
    gate::Bounds,
    listener::Timeouts,
};

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

    /// How much memory the messages and the unread answers of all calls in flight may take, in MiB
    #[arg(long, env = "QUIRE_CALL_MEMORY", value_name = "MIB", default_value = "512")]
    call_memory: u16,

    /// How much of that the calls of one workspace may take, and all calls without a credential together, in MiB
    #[arg(long, env = "QUIRE_TENANT_MEMORY", value_name = "MIB", default_value = "128")]
    tenant_memory: u16,

    /// How much of that the calls without a credential from one address may take, in MiB
    #[arg(long, env = "QUIRE_ADDRESS_MEMORY", value_name = "MIB", default_value = "16")]
    address_memory: u16,

    /// How much of that the calls on one client connection may take, in MiB
    #[arg(long, env = "QUIRE_CONNECTION_MEMORY", value_name = "MIB", default_value = "64")]
    connection_memory: u16,

    /// How many sessions one API key may create in a minute, and how often one session may be refreshed
    #[arg(long, env = "QUIRE_SESSIONS_PER_MINUTE", value_name = "NUMBER", default_value = "60")]
    sessions_per_minute: NonZeroU32,

    /// How many wrong secrets an address may send in a minute until it gets RESOURCE_EXHAUSTED
    #[arg(long, env = "QUIRE_FAILURES_PER_MINUTE", value_name = "NUMBER", default_value = "20")]
    failures_per_minute: NonZeroU32,

    /// How long a call may take, including its message, even if its `grpc-timeout` is longer
    #[arg(long, env = "QUIRE_CALL_TIMEOUT", default_value = "60s", value_parser = humantime::parse_duration)]
    call_timeout: Duration,

    /// How many calls can be in flight on a client connection
    #[arg(long, env = "QUIRE_CONNECTION_CALLS", value_name = "NUMBER", default_value = "100")]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    pub(crate) connection_calls: u32,

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

    /// How old a stream of health may become. Then it gets UNAVAILABLE. A stream of reflection gets it after the time of a call
    #[arg(long, env = "QUIRE_STREAM_AGE", default_value = "1h", value_parser = humantime::parse_duration)]
    pub(crate) stream_age: Duration,
}

impl Limits {
    /// How often callers may get a credential.
    pub(crate) fn sign_ins(&self) -> SignIns {
        let Self { sessions_per_minute, failures_per_minute, .. } = *self;
        SignIns { sessions_per_minute, failures_per_minute }
    }

    /// What calls may take.
    pub(crate) fn bounds(&self) -> Bounds {
        let bytes = |mebibytes: u16| usize::from(mebibytes) << 20;
        let budget = Budget::new(budget::Limits {
            all: bytes(self.call_memory),
            tenant: bytes(self.tenant_memory),
            address: bytes(self.address_memory),
            connection: bytes(self.connection_memory),
        });
        Bounds { budget, call_timeout: self.call_timeout }
    }

    /// How old a stream of reflection may become: not older than a call.
    pub(crate) fn reflection_age(&self) -> Duration {
        self.stream_age.min(self.call_timeout)
    }

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

    /// How long client connections may be in each state.
    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts {
            connection: self.connection_timeout,
            stall: self.stall_timeout,
            idle: self.idle_timeout,
            age: self.connection_age,
            call: self.call_timeout,
        }
    }
}
