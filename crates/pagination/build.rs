//! Tells the build scripts of dependents where `pagination/v1/pagination.proto` is, so that they need no dependency for it
//! but this crate.

use std::env;

fn main() -> Result<(), env::VarError> {
    println!("cargo::metadata=include={}", env::var("DEP_QUIRE_PROTO_INCLUDE")?);
    Ok(())
}
