//! The lists of the service, and its statements.

pub(crate) mod memories;
mod recalled;

pub use memories::MEMORIES;
use platform::Names;
use quire_proto::memory::v1::MemoryScope;
pub use recalled::RECALLED;

/// The message type of a memory.
pub(crate) const MEMORY: &str = "memory.v1.Memory";

/// The words for each scope, as the rows have them.
pub(crate) const SCOPES: Names<MemoryScope> = Names {
    in_contract: MemoryScope::as_str_name,
    in_service: &[
        (MemoryScope::User, "user"),
        (MemoryScope::Team, "team"),
        (MemoryScope::Organization, "organization"),
        (MemoryScope::Agent, "agent"),
        (MemoryScope::Project, "project"),
    ],
};
