//! The rows of the service, each beside the SQL that fills it.

mod memories;
mod recalled;

pub use memories::MEMORIES;
pub(crate) use memories::{Change, MemoryRow, NewMemory};
use quire_proto::memory::v1::MemoryScope;
pub use recalled::RECALLED;
pub(crate) use recalled::RecalledRow;

/// The message type of a memory.
pub(crate) const MEMORY: &str = "memory.v1.Memory";

/// What the rows call each scope.
pub(crate) const SCOPES: [(MemoryScope, &str); 5] = [
    (MemoryScope::User, "user"),
    (MemoryScope::Team, "team"),
    (MemoryScope::Organization, "organization"),
    (MemoryScope::Agent, "agent"),
    (MemoryScope::Project, "project"),
];

/// What the rows call the scope with this number, if there is one.
pub(crate) fn scope_name(number: i32) -> Option<&'static str> {
    SCOPES.iter().find(|(scope, _)| i32::from(*scope) == number).map(|(_, name)| *name)
}

/// The scope that rows call by this name.
fn scope_named(name: &str) -> MemoryScope {
    SCOPES.iter().find(|(_, other)| *other == name).map(|(scope, _)| *scope).unwrap_or_default()
}
