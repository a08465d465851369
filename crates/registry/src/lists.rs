//! The lists of the service, and its statements.

pub(crate) mod agents;
mod discovered;

pub use agents::{AGENT, AGENTS, agent_fields};
pub use discovered::DISCOVERED;
use platform::Names;
use quire_proto::registry::v1::AgentStatus;

/// How an agent is that says nothing of it.
pub(crate) const ACTIVE: &str = "active";
/// How an agent is that gets no work, whatever it says.
pub(crate) const SUSPENDED: &str = "suspended";
/// How agents are that take work.
pub(crate) const TAKING_WORK: [&str; 3] = [ACTIVE, "idle", "degraded"];

/// The words for each status, as the rows have them.
pub(crate) const STATUSES: Names<AgentStatus> = Names {
    in_contract: AgentStatus::as_str_name,
    in_service: &[
        (AgentStatus::Active, ACTIVE),
        (AgentStatus::Idle, "idle"),
        (AgentStatus::Busy, "busy"),
        (AgentStatus::Degraded, "degraded"),
        (AgentStatus::Suspended, SUSPENDED),
        (AgentStatus::Offline, "offline"),
    ],
};
