//! For build scripts: generates the code that tonic generates from protos, and makes every list pageable.
//!
//! A list's response has two types. Clients get the typed message that the proto declares. Servers return `EncodedPage`
//! instead: rows that are encoded already, and the page's tokens and total. Both have the same bytes on the wire. A
//! server that reads its rows from a database therefore need not build a message for each row, and callers see no
//! difference.
//!
//! The protos are compiled with [`protox`], so protoc is not needed.
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
//! quire-pagination = "0.1"
//!
//! [build-dependencies]
//! quire-pagination-build = "0.1"
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
//! Unary methods whose response has exactly two fields with any names: field 1 is a repeated message, and field 2 is a
//! `pagination.v1.PageResponse`. The server method returns `EncodedPage`. All other methods are generated as by tonic,
//! including those whose response has a third field.
//!
//! # Walks
//!
//! The client of a service can walk through each of its lists. With `pagination::WalkExt` in scope, the rows of all
//! pages are one stream:
//!
//! ```ignore
//! let mut books = client.walk(ListBooksRequest { shelf: Some("history".into()), ..Default::default() });
//! while let Some(book) = books.try_next().await? {
//!     println!("{}", book.title);
//! }
//! ```
//!
//! Lists are the unary methods whose request has one field with a `pagination.v1.PageRequest`, and whose response has one
//! `pagination.v1.PageResponse` and one repeated message; other fields do not matter. If several methods have the same
//! request, they are not lists. The generated code needs the feature `tonic` of `pagination`, which is on by default.
//!
//! # What is written
//!
//! The output in `OUT_DIR` is a file for each package, named as [`tonic_prost_build`] names it, and `descriptors.bin`,
//! the `FileDescriptorSet` of all files and their imports, with comments and options.
//!
//! Maps are generated as `BTreeMap`s, so that a message always encodes to the same bytes. Messages implement
//! `prost::Name`. Clients accept any channel; see [`Builder::tonic`] for `connect`.

mod error;
mod list;
mod service;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use protox::Compiler;

use crate::{error::Cause, list::Lists, service::Services};

pub use crate::error::Error;

/// The proto that a pageable proto imports.
const PAGINATION_PROTO: &str = "pagination/v1/pagination.proto";
/// Its package.
const PAGINATION_PACKAGE: &str = ".pagination.v1";
/// The environment variable with the root folder of `pagination`'s protos. Cargo sets it for the build scripts of
/// crates that depend on `pagination`.
const PAGINATION_INCLUDE: &str = "DEP_PAGINATION_INCLUDE";

/// Compiles protos and generates their code into `OUT_DIR`, for a crate that depends on `pagination`.
///
/// `protos` are the files to compile, by their paths or as an `import` names them; each is below one of the folders
/// `includes`. `pagination/v1/pagination.proto` is found automatically. Cargo runs the build script again when one of
/// the files changes.
///
/// # Errors
///
/// When the crate does not depend on `pagination`, when a file does not exist or is not a valid proto, or when the
/// output cannot be written.
pub fn compile(protos: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<(), Error> {
    configure().compile(protos, includes)
}

/// Starts a build with settings that differ from those of [`compile`].
pub fn configure() -> Builder {
    Builder {
        module: "::pagination::proto".to_owned(),
        server_codec: None,
        out_dir: None,
        tonic: tonic_prost_build::configure().build_transport(false).btree_map("."),
    }
}

/// The settings of a build.
#[derive(Debug, Clone)]
#[must_use = "nothing is generated before compile"]
pub struct Builder {
    module: String,
    server_codec: Option<String>,
    out_dir: Option<PathBuf>,
    tonic: tonic_prost_build::Builder,
}

impl Builder {
    /// Sets the Rust module that contains the messages of `pagination.v1` and `EncodedPage`. The path must begin with
    /// `::` or `crate::`. Default: `::pagination::proto`.
    ///
    /// The messages are not generated but taken from this module, unless `pagination/v1/pagination.proto` is itself one
    /// of the files to compile.
    pub fn pagination_module(mut self, path: impl Into<String>) -> Self {
        self.module = path.into();
        self
    }

    /// Sets the codec of the servers: the path of a type with the parameters of `tonic_prost::ProstCodec`. Default: the
    /// codec of the clients, which is `tonic_prost::ProstCodec`.
    ///
    /// A server can so check a request's bytes before the message is built.
    pub fn server_codec(mut self, path: impl Into<String>) -> Self {
        self.server_codec = Some(path.into());
        self
    }

    /// Sets the folder to write to. Default: `OUT_DIR`, which Cargo sets.
    pub fn out_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(folder.into());
        self
    }

    /// Changes tonic's settings: attributes of types, types of other crates, a `connect` for clients, and so on.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), pagination_build::Error> {
    /// pagination_build::configure()
    ///     .tonic(|tonic| tonic.build_transport(true).type_attribute("bookshop.v1.Book", "#[derive(PartialOrd)]"))
    ///     .compile(&["bookshop/v1/bookshop.proto"], &["proto"])
    /// # }
    /// ```
    ///
    /// The folder and the descriptors are those of this builder, even if they are set here.
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
        // `file_descriptor_set` would lose the options that are extensions.
        fs::write(&descriptors, compiler.encode_file_descriptor_set())
            .map_err(|error| Cause::Write(descriptors, error))?;

        let mut tonic = self.tonic.out_dir(&out_dir);
        if compiler.files().any(|file| file.name() == PAGINATION_PROTO && file.is_import()) {
            tonic = tonic.extern_path(PAGINATION_PACKAGE, &self.module);
        }
        let servers = self.server_codec.iter().fold(tonic.clone(), |tonic, codec| tonic.codec_path(codec));
        let pool = compiler.descriptor_pool();
        let lists = Lists::of(&pool);
        let mut files = compiler.file_descriptor_set();
        lists.add_rows(&mut files);
        let services = Services::new(&tonic, &servers, &pool, lists, &self.module);
        let mut config = prost_build::Config::new();
        config.enable_type_names().service_generator(Box::new(services));
        tonic
            // With a client or a server, tonic would replace the service generator that is set above.
            .build_client(false)
            .build_server(false)
            .compile_fds_with_config(files, config)
            .map_err(|error| Cause::Generate(out_dir, error))?;
        Ok(())
    }
}

/// The folders, and the folder of `pagination/v1/pagination.proto` if it is missing.
fn with_pagination(includes: &[impl AsRef<Path>]) -> Result<Vec<PathBuf>, Error> {
    let mut includes: Vec<PathBuf> = includes.iter().map(|folder| folder.as_ref().to_owned()).collect();
    if !includes.iter().any(|folder| folder.join(PAGINATION_PROTO).is_file()) {
        includes.push(env::var_os(PAGINATION_INCLUDE).ok_or(Cause::NoPagination)?.into());
    }
    Ok(includes)
}

/// Reads the protos and their imports, and tells Cargo which files these are.
fn read(protos: &[impl AsRef<Path>], includes: Vec<PathBuf>) -> Result<Compiler, Error> {
    let mut compiler = Compiler::new(includes).map_err(Cause::Proto)?;
    compiler.include_imports(true).include_source_info(true).open_files(protos).map_err(Cause::Proto)?;
    for file in compiler.files() {
        // The files that are built into protox have no path.
        if let Some(path) = file.path() {
            tell_cargo(path);
        }
    }
    Ok(compiler)
}

#[allow(clippy::print_stdout, reason = "Cargo reads it from standard output")]
fn tell_cargo(file: &Path) {
    println!("cargo::rerun-if-changed={}", file.display());
}
