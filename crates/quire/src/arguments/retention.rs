use std::time::Duration;

use clap::Args;

/// How long rows are kept that are of no more use.
#[derive(Debug, Args)]
pub(crate) struct Retention {
    /// How long sessions are kept after they expired or were revoked
    #[arg(long, env = "QUIRE_SESSION_RETENTION", default_value = "30d", value_parser = humantime::parse_duration)]
    session_retention: Duration,

    /// How long API keys are kept after they expired or were revoked. A key is kept as long as its sessions and the keys
    /// that were made with it
    #[arg(long, env = "QUIRE_API_KEY_RETENTION", default_value = "90d", value_parser = humantime::parse_duration)]
    api_key_retention: Duration,

    /// How long agents are kept that are offline, after their last heartbeat. Without this, they are kept
    #[arg(long, env = "QUIRE_AGENT_RETENTION", value_parser = humantime::parse_duration)]
    agent_retention: Option<Duration>,
}

impl Retention {
    /// The retention of the platform.
    pub(crate) fn of_platform(&self) -> platform::Retention {
        let Self { session_retention, api_key_retention, agent_retention } = *self;
        platform::Retention { sessions: session_retention, api_keys: api_key_retention, agents: agent_retention }
    }
}
