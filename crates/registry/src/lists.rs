//! The lists and statements of the service.

pub(crate) mod agents;
mod discovered;

pub use agents::{AGENT, AGENTS, agent_fields};
pub use discovered::DISCOVERED;
use platform::Names;
use quire_proto::registry::v1::AgentStatus;

/// The default status.
pub(crate) const ACTIVE: &str = "active";
/// The status of an agent that gets no work, even if its heartbeats have another status.
pub(crate) const SUSPENDED: &str = "suspended";
/// The statuses of agents that accept work.
pub(crate) const TAKING_WORK: [&str; 3] = [ACTIVE, "idle", "degraded"];

/// The name of each status in the rows.
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
