//! Compiles the proto with protox, so that nobody needs protoc.

use std::env;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");

    let pagination = env::var("DEP_PAGINATION_INCLUDE")?;
    let descriptors = protox::compile(["bookshop/v1/bookshop.proto"], ["proto", &pagination])?;
    tonic_prost_build::configure()
        // The very types that `keyset` takes and gives, rather than a second copy of them.
        .extern_path(".pagination.v1", "::pagination::proto")
        // A client over any channel, so that the server need not be built with tonic's own.
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}
