//! Quire's gRPC contract as a crate: the messages, clients and server traits that are generated from the protos in this
//! folder.
//!
//! Each package is a module with the same name, as in `jobs::v1`. `pagination::v1` is always included; the services
//! require the feature `services`. The contract's rules (page sizes, page tokens, errors) are in the crate
//! `pagination`.
//!
//! Server methods whose response is a page return [`EncodedPage`](pagination::v1::EncodedPage); clients get the typed
//! response. The crate `pagination-build` generates both, here and for crates whose own protos import
//! `pagination/v1/pagination.proto`.

mod encoded_page;
mod list;
#[cfg(feature = "services")]
pub mod requests;
#[cfg(feature = "services")]
pub mod resources;
#[cfg(feature = "services")]
mod workspace;

#[allow(missing_docs, clippy::all, reason = "generated from the protos")]
mod packages {
    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}

#[cfg(feature = "services")]
pub use packages::*;
#[cfg(feature = "services")]
pub use workspace::{DEFAULT_WORKSPACE, WORKSPACE_METADATA, is_workspace};

/// The shared messages of every list: `pagination/v1/pagination.proto`.
// It hides the module of the same name in `packages`.
pub mod pagination {
    /// Version 1 of the package.
    pub mod v1 {
        #[cfg(feature = "tonic")]
        pub use crate::list::ListClient;
        pub use crate::{encoded_page::EncodedPage, list::ListRequest, packages::pagination::v1::*};
    }
}

/// The compiled descriptors of these protos, with comments, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
