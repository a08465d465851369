//! An example: a service of another trade that pages a table of its own.
//!
//! What there is to do for a list, and where it is done here:
//!
//! 1. `proto/bookshop/v1/bookshop.proto` gives the List request a `PageRequest page` and the response a
//!    `PageResponse page`; `build.rs` finds the file they come from.
//! 2. `schema.sql` has an index for each order.
//! 3. [`books`] declares the list and answers the request with a page of it. This is all of the paging.
//! 4. `src/main.rs` opens the list once, as the service starts.

pub mod books;

/// The messages, client and server trait of `bookshop/v1/bookshop.proto`.
#[allow(missing_docs, clippy::all, reason = "generated from the proto")]
pub mod proto {
    tonic::include_proto!("bookshop.v1");

    /// The compiled descriptors of the file and its imports: what `keyset` and gRPC reflection read.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("descriptors");
}

/// Makes the table and its indexes where they are missing. A shop that grows would have migrations.
pub const SCHEMA: &str = include_str!("../schema.sql");
