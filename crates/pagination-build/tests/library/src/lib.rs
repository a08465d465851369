//! Compiles the code that `pagination-build` generates for protos with unusual names. `tests/calls.rs` calls it.
#![allow(missing_docs, clippy::all, reason = "generated from the protos")]

pub mod library {
    pub mod r#type {
        pub mod v1 {
            tonic::include_proto!("library.r#type.v1");
        }
    }
}

pub mod people {
    pub mod v1 {
        tonic::include_proto!("people.v1");
    }
}

pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("descriptors");
