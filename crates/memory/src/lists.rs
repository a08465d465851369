//! The lists and statements of the service.

pub(crate) mod memories;
mod recalled;

pub use memories::{MEMORIES, MEMORY};
use platform::Names;
use quire_proto::memory::v1::MemoryScope;
pub use recalled::RECALLED;

/// The name of each scope in the rows.
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
