//! For build scripts: generates what tonic generates from protos, with every list made pageable.
//!
//! A list's response is generated twice. For a client it is the typed message that the proto declares. A server
//! answers with `EncodedPage` instead: rows that are encoded already, and where the page stands. Both are the same
//! bytes on the wire, so a server that reads its rows from a database need not build a message for each of them, and a
//! caller sees no difference.
//!
//! The protos are compiled with [`protox`], so that nobody needs protoc.
//!
//! # Example
//!
//! A proto that imports `pagination/v1/pagination.proto`:
//!
//! ```proto
//! service BookService {
//!   rpc ListBooks(ListBooksRequest) returns (ListBooksResponse);
//! }
//!
//! message ListBooksResponse {
//!   repeated Book books = 1;
//!   pagination.v1.PageResponse page = 2;
//! }
//! ```
//!
//! `Cargo.toml`, besides `tonic`, `tonic-prost` and `prost`, which the generated code uses:
//!
//! ```toml
//! [dependencies]
//! pagination = { git = "…" }
//!
//! [build-dependencies]
//! pagination-build = { git = "…" }
//! ```
//!
//! `build.rs`:
//!
//! ```no_run
//! fn main() -> Result<(), pagination_build::Error> {
//!     pagination_build::compile(&["bookshop/v1/bookshop.proto"], &["proto"])
//! }
//! ```
//!
//! And the crate, in a module of any name:
//!
//! ```ignore
//! pub mod proto {
//!     tonic::include_proto!("bookshop.v1");
//!     /// For gRPC reflection, and for everything else that reads descriptors.
//!     pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("descriptors");
//! }
//! ```
//!
//! The method of the server's trait now returns an encoded page; the client's returns a `ListBooksResponse`:
//!
//! ```ignore
//! async fn list_books(&self, request: Request<ListBooksRequest>) -> Result<Response<EncodedPage>, Status>;
//! ```
//!
//! # Which methods are pageable
//!
//! Unary methods whose response has exactly two fields, whatever their names: field 1 is a repeated message, and field
//! 2 a `pagination.v1.PageResponse`. Their server method returns `EncodedPage`. Every other method stays as tonic
//! generates it, also one whose response has a third field.
//!
//! # What is written
//!
//! Into `OUT_DIR`: a file for each package, as [`tonic_prost_build`] names it, and `descriptors.bin`, the
//! `FileDescriptorSet` of all files and their imports with their comments and options.
//!
//! Maps become `BTreeMap`s, so that a message always encodes to the same bytes. Messages know their full names, by
//! `prost::Name`. Clients take any channel; see [`Builder::tonic`] for `connect`.

mod error;
mod service;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use protox::Compiler;

use crate::{error::Cause, service::Services};

pub use crate::error::Error;

/// What a proto imports to be paged.
const PAGINATION_PROTO: &str = "pagination/v1/pagination.proto";
/// Its package.
const PAGINATION_PACKAGE: &str = ".pagination.v1";
/// Cargo gives it to the build scripts of crates that depend on `pagination`: the folder that its protos are below.
const PAGINATION_INCLUDE: &str = "DEP_PAGINATION_INCLUDE";

/// Compiles protos and generates their code into `OUT_DIR`, for a crate that depends on `pagination`.
///
/// `protos` are the files to compile, by their paths or as an `import` names them; each is below one of the folders
/// `includes`. `pagination/v1/pagination.proto` is found without being asked for. Cargo is told to run the build
/// script again when one of the files changes.
///
/// # Errors
///
/// When the crate does not depend on `pagination`, a file does not exist or is not a proto, or nothing can be written.
pub fn compile(protos: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<(), Error> {
    configure().compile(protos, includes)
}

/// Begins a build that differs from [`compile`]'s.
pub fn configure() -> Builder {
    Builder {
        module: "::pagination::proto".to_owned(),
        out_dir: None,
        tonic: tonic_prost_build::configure().build_transport(false).btree_map("."),
    }
}

/// What to generate, and where to.
#[derive(Debug, Clone)]
#[must_use = "nothing is generated before compile"]
pub struct Builder {
    module: String,
    out_dir: Option<PathBuf>,
    tonic: tonic_prost_build::Builder,
}

impl Builder {
    /// The Rust module that the messages of `pagination.v1` and `EncodedPage` are in, from `::` or `crate::` on.
    /// Default: `::pagination::proto`.
    ///
    /// The messages are taken from there, unless `pagination/v1/pagination.proto` is itself one of the files to
    /// compile.
    pub fn pagination_module(mut self, path: impl Into<String>) -> Self {
        self.module = path.into();
        self
    }

    /// The folder to write to. Default: `OUT_DIR`, which Cargo sets.
    pub fn out_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(folder.into());
        self
    }

    /// Changes how tonic generates: attributes of types, types of other crates, a `connect` for clients, and so on.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), pagination_build::Error> {
    /// pagination_build::configure()
    ///     .tonic(|tonic| tonic.build_transport(true).type_attribute("bookshop.v1.Book", "#[derive(PartialOrd)]"))
    ///     .compile(&["bookshop/v1/bookshop.proto"], &["proto"])
    /// # }
    /// ```
    ///
    /// Folder and descriptors are decided by this builder, whatever is set here.
    pub fn tonic(mut self, change: impl FnOnce(tonic_prost_build::Builder) -> tonic_prost_build::Builder) -> Self {
        self.tonic = change(self.tonic);
        self
    }

    /// Compiles the protos and generates their code: see [`compile`](compile()).
    ///
    /// # Errors
    ///
    /// As [`compile`](compile()), and when the module does not begin with `::` or `crate::`.
    pub fn compile(self, protos: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<(), Error> {
        if !self.module.starts_with("::") && !self.module.starts_with("crate::") {
            return Err(Cause::Module(self.module).into());
        }
        let out_dir = match self.out_dir {
            Some(folder) => folder,
            None => env::var_os("OUT_DIR").ok_or(Cause::OutDir)?.into(),
        };
        let compiler = read(protos, with_pagination(includes)?)?;

        let descriptors = out_dir.join("descriptors.bin");
        // Not by way of `file_descriptor_set`, which loses the options that are extensions.
        fs::write(&descriptors, compiler.encode_file_descriptor_set())
            .map_err(|error| Cause::Write(descriptors, error))?;

        let mut tonic = self.tonic.out_dir(&out_dir);
        if compiler.files().any(|file| file.name() == PAGINATION_PROTO && file.is_import()) {
            tonic = tonic.extern_path(PAGINATION_PACKAGE, &self.module);
        }
        let services = Services::new(&tonic, &compiler.descriptor_pool(), &self.module);
        let mut config = prost_build::Config::new();
        config.enable_type_names().service_generator(Box::new(services));
        tonic
            // With neither, the generator of services stays the one above.
            .build_client(false)
            .build_server(false)
            .compile_fds_with_config(compiler.file_descriptor_set(), config)
            .map_err(|error| Cause::Generate(out_dir, error))?;
        Ok(())
    }
}

/// The folders, with the one that holds `pagination/v1/pagination.proto` added where it is missing.
fn with_pagination(includes: &[impl AsRef<Path>]) -> Result<Vec<PathBuf>, Error> {
    let mut includes: Vec<PathBuf> = includes.iter().map(|folder| folder.as_ref().to_owned()).collect();
    if !includes.iter().any(|folder| folder.join(PAGINATION_PROTO).is_file()) {
        includes.push(env::var_os(PAGINATION_INCLUDE).ok_or(Cause::NoPagination)?.into());
    }
    Ok(includes)
}

/// Reads the protos and all that they import, and tells Cargo which files these are.
fn read(protos: &[impl AsRef<Path>], includes: Vec<PathBuf>) -> Result<Compiler, Error> {
    let mut compiler = Compiler::new(includes).map_err(Cause::Proto)?;
    compiler.include_imports(true).include_source_info(true).open_files(protos).map_err(Cause::Proto)?;
    for file in compiler.files() {
        // Those that come with protox have no path.
        if let Some(path) = file.path() {
            tell_cargo(path);
        }
    }
    Ok(compiler)
}

#[allow(clippy::print_stdout, reason = "Cargo reads it there")]
fn tell_cargo(file: &Path) {
    println!("cargo::rerun-if-changed={}", file.display());
}
