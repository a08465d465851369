//! Tells the build scripts of dependents where `pagination/v1/pagination.proto` is, so that this crate is the only
//! dependency that they need for it.

use std::env;

fn main() -> Result<(), env::VarError> {
    println!("cargo::metadata=include={}", env::var("DEP_QUIRE_PROTO_INCLUDE")?);
    Ok(())
}
