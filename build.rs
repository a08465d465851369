//! Compiles the protos whose features are on.

use std::{env, path::PathBuf};

/// Each proto and the feature that asks for it; `pagination` is always there.
const PROTOS: [(&str, Option<&str>); 7] = [
    ("pagination/v1/pagination.proto", None),
    ("prompts/v1/prompts.proto", Some("CARGO_FEATURE_PROMPTS")),
    ("memory/v1/memory.proto", Some("CARGO_FEATURE_MEMORY")),
    ("registry/v1/registry.proto", Some("CARGO_FEATURE_REGISTRY")),
    ("meter/v1/meter.proto", Some("CARGO_FEATURE_METER")),
    ("identity/v1/identity.proto", Some("CARGO_FEATURE_IDENTITY")),
    ("jobs/v1/jobs.proto", Some("CARGO_FEATURE_JOBS")),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let include = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("proto");
    println!("cargo::metadata=include={}", include.display());

    let wanted: Vec<&str> = PROTOS
        .iter()
        .filter(|(_, feature)| feature.is_none_or(|feature| env::var_os(feature).is_some()))
        .map(|(proto, _)| *proto)
        .collect();
    pagination_build::configure().pagination_module("crate::pagination::v1").compile(&wanted, &[include])?;
    Ok(())
}
