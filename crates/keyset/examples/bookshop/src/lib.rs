//! An example: a service with its own table and proto, paged by `keyset`.
//!
//! A list takes four steps:
//!
//! 1. `proto/bookshop/v1/bookshop.proto` gives the List request a `PageRequest page` and the response a
//!    `PageResponse page`. `build.rs` compiles it.
//! 2. `schema.sql` creates an index for each order.
//! 3. [`books`] declares the list and answers a request with a page of it. This is all of the paging code.
//! 4. `src/main.rs` opens the list once, when the service starts.

pub mod books;

/// The messages, client and server trait of `bookshop/v1/bookshop.proto`.
pub mod proto {
    tonic::include_proto!("bookshop.v1");

    /// The compiled descriptors of the file and its imports, for `keyset` and gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("descriptors");
}

/// Creates the table and its indexes if they do not exist. A real service would use migrations.
pub const SCHEMA: &str = include_str!("../schema.sql");
