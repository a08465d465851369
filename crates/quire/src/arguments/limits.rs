use std::time::Duration;

use clap::Args;
use sqlx::postgres::PgConnectOptions;

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
}
