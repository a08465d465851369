//! The rows of the service, each beside the SQL that fills it.

mod memories;
mod recalled;

pub use memories::MEMORIES;
pub(crate) use memories::{Change, MemoryRow, NewMemory};
use platform::Names;
use quire_proto::memory::v1::MemoryScope;
pub use recalled::RECALLED;
pub(crate) use recalled::RecalledRow;

/// The message type of a memory.
pub(crate) const MEMORY: &str = "memory.v1.Memory";

/// What the rows call each scope.
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
