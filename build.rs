//! Compiles `pagination.v1`; with the feature `services`, every proto below `proto/`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let include = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("proto");
    println!("cargo::metadata=include={}", include.display());
    // New protos are compiled too.
    println!("cargo::rerun-if-changed={}", include.display());

    let mut protos = vec![include.join("pagination/v1/pagination.proto")];
    if env::var_os("CARGO_FEATURE_SERVICES").is_some() {
        protos = protos_below(&include)?;
        protos.sort();
    }
    pagination_build::configure()
        .pagination_module("crate::pagination::v1")
        .server_codec("crate::requests::RequestCodec")
        .tonic(|tonic| tonic.include_file("packages.rs"))
        .compile(&protos, &[include])?;
    Ok(())
}

fn protos_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut protos = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            protos.extend(protos_below(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            protos.push(path);
        }
    }
    Ok(protos)
}
