//! The code that is generated from small protos, and the errors.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod errors;
mod pageable;

use std::{fs, path::Path};

use pagination_build::{Builder, Error};
use tempfile::TempDir;

/// Where `pagination/v1/pagination.proto` is.
const PAGINATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");

/// A folder with one proto, `test.proto` of the package `test.v1`, and the code generated from it.
struct Generated {
    folder: TempDir,
    result: Result<(), Error>,
}

impl Generated {
    fn from(proto: &str) -> Self {
        Self::with(proto, pagination_build::configure())
    }

    fn with(proto: &str, builder: Builder) -> Self {
        let folder = TempDir::new().unwrap();
        let import = "import \"pagination/v1/pagination.proto\";";
        fs::write(folder.path().join("test.proto"), format!("syntax = \"proto3\"; package test.v1; {import}\n{proto}"))
            .unwrap();
        let result = builder.out_dir(folder.path()).compile(&["test.proto"], &[folder.path(), Path::new(PAGINATION)]);
        Self { folder, result }
    }

    fn code(&self) -> String {
        self.result.as_ref().unwrap();
        fs::read_to_string(self.folder.path().join("test.v1.rs")).unwrap()
    }

    /// The return type of each method of the server's trait, one on each line.
    fn returned(&self) -> String {
        let code = self.code();
        let server = &code[code.find("pub trait ").unwrap()..];
        let server = &server[..server.find("\n    }\n").unwrap()];
        let mut lines = String::new();
        for method in server.split("async fn ").skip(1) {
            let name = method.split('(').next().unwrap();
            let (_, returned) = method.split_once("tonic::Response<").unwrap();
            lines += &format!("{name} -> {}\n", returned.split(['>', ',']).next().unwrap());
        }
        lines
    }
}
