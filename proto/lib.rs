//! Quire's gRPC contract as a crate: the messages, clients and server traits made from the files beside this one.
//!
//! `pagination::v1` is always there; each service is behind a feature of its own name. The contract's rules (page
//! sizes, page tokens, errors) are in the crate `pagination`, not here.
//!
//! Server methods whose response is a page return [`EncodedPage`](pagination::v1::EncodedPage); clients get the typed
//! response. The crate `pagination-build` generates both, here and for crates that import
//! `pagination/v1/pagination.proto` into protos of their own.

mod encoded_page;

/// The shared messages of every list: `pagination/v1/pagination.proto`.
pub mod pagination {
    /// Version 1 of the package.
    #[allow(missing_docs, clippy::all, reason = "generated from the proto")]
    pub mod v1 {
        tonic::include_proto!("pagination.v1");

        pub use crate::encoded_page::EncodedPage;
    }
}

/// PromptService: `prompts/v1/prompts.proto`.
#[cfg(feature = "prompts")]
pub mod prompts {
    /// Version 1 of the package.
    #[allow(missing_docs, clippy::all, reason = "generated from the proto")]
    pub mod v1 {
        tonic::include_proto!("prompts.v1");
    }
}

/// MemoryService: `memory/v1/memory.proto`.
#[cfg(feature = "memory")]
pub mod memory {
    /// Version 1 of the package.
    #[allow(missing_docs, clippy::all, reason = "generated from the proto")]
    pub mod v1 {
        tonic::include_proto!("memory.v1");
    }
}

/// RegistryService: `registry/v1/registry.proto`.
#[cfg(feature = "registry")]
pub mod registry {
    /// Version 1 of the package.
    #[allow(missing_docs, clippy::all, reason = "generated from the proto")]
    pub mod v1 {
        tonic::include_proto!("registry.v1");
    }
}

/// MeterService: `meter/v1/meter.proto`.
#[cfg(feature = "meter")]
pub mod meter {
    /// Version 1 of the package.
    #[allow(missing_docs, clippy::all, reason = "generated from the proto")]
    pub mod v1 {
        tonic::include_proto!("meter.v1");
    }
}

/// IdentityService: `identity/v1/identity.proto`.
#[cfg(feature = "identity")]
pub mod identity {
    /// Version 1 of the package.
    #[allow(missing_docs, clippy::all, reason = "generated from the proto")]
    pub mod v1 {
        tonic::include_proto!("identity.v1");
    }
}

/// JobService: `jobs/v1/jobs.proto`.
#[cfg(feature = "jobs")]
pub mod jobs {
    /// Version 1 of the package.
    #[allow(missing_docs, clippy::all, reason = "generated from the proto")]
    pub mod v1 {
        tonic::include_proto!("jobs.v1");
    }
}

/// The compiled descriptors of every proto that the features ask for, with comments: what gRPC reflection answers from.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("descriptors");
