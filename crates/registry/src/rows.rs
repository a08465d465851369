//! The rows of the service, each beside the SQL that fills it.

mod agents;

pub use agents::{AGENTS, DISCOVERED};
pub(crate) use agents::{AgentRow, Change, Heartbeat, NewAgent};
use quire_proto::registry::v1::AgentStatus;

/// The message type of an agent.
pub(crate) const AGENT: &str = "registry.v1.Agent";

/// How an agent is that says nothing of it.
pub(crate) const ACTIVE: &str = "active";
/// How an agent is that gets no work, whatever it says.
pub(crate) const SUSPENDED: &str = "suspended";
/// How agents are that take work.
pub(crate) const TAKING_WORK: [&str; 3] = [ACTIVE, "idle", "degraded"];

/// What the rows call each status.
pub(crate) const STATUSES: [(AgentStatus, &str); 6] = [
    (AgentStatus::Active, ACTIVE),
    (AgentStatus::Idle, "idle"),
    (AgentStatus::Busy, "busy"),
    (AgentStatus::Degraded, "degraded"),
    (AgentStatus::Suspended, SUSPENDED),
    (AgentStatus::Offline, "offline"),
];

/// What the rows call the status with this number, if there is one.
pub(crate) fn status_name(number: i32) -> Option<&'static str> {
    STATUSES.iter().find(|(status, _)| i32::from(*status) == number).map(|(_, name)| *name)
}

/// The status that rows call by this name.
fn status_named(name: &str) -> AgentStatus {
    STATUSES.iter().find(|(_, other)| *other == name).map(|(status, _)| *status).unwrap_or_default()
}
