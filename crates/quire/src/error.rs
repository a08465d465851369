use std::{io, net::SocketAddr, path::PathBuf};

use database::MigrationError;
use keyset::CatalogueError;

/// Why the program ends with exit code 1: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "{0} is not a loopback address, and without authentication nothing else is served: listen on 127.0.0.1, or name keys with --signing-keys, made with `openssl genpkey -algorithm ed25519`"
    )]
    NotLoopback(SocketAddr),
    #[error("{address} is taken: stop what listens there, or choose another address with {argument}")]
    AddressTaken { address: SocketAddr, argument: &'static str },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(
        "with a database URL, --token-keys (or QUIRE_TOKEN_KEYS) is required, the same on every replica: id:base64, made with `openssl rand -base64 32`"
    )]
    NoTokenKeys,
    #[error(
        "{path} does not hold token keys ({source}): put back what it held, or remove it, and all page tokens with it"
    )]
    TokenKeysFile { path: PathBuf, source: pagination::TokenKeysError },
    #[error("cannot use {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("no home directory to keep data in: name a directory with --data-dir")]
    NoDataDirectory,
    #[error("--token-keys: {0}")]
    TokenKeys(#[from] pagination::TokenKeysError),
    #[error("the database URL is not one: {0}; write postgres://user@host/name")]
    DatabaseUrl(String),
    #[error(transparent)]
    PrivatePostgres(#[from] private_postgres::Error),
    #[error(transparent)]
    Migration(#[from] MigrationError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error("the workspace is not one: it must be 1 to 63 of a-z, 0-9 and -")]
    Workspace,
    #[error("{0} is not the address of a server: write it as in http://127.0.0.1:50051 or https://quire.example:50051")]
    Server(String),
    #[error("{0} is not spoken to by TLS, which an API key and certificates are for: write https://")]
    PlainText(String),
    #[error("--expire-in is too far in the future")]
    ExpireIn,
    #[error("cannot reach a server at {0}: start it, or name another with --server")]
    Unreachable(String),
    #[error("cannot read on: {0}; run the import again")]
    Read(io::Error),
    #[error("stopped at lines {first} to {last}, behind {imported} {names} that are imported; run the import again")]
    Import { imported: usize, names: &'static str, first: u64, last: u64 },
    #[error("{path} does not hold signing keys: {source}")]
    SigningKeys { path: PathBuf, source: access::SigningKeysError },
    #[error("the TLS files cannot be used: {0}")]
    Tls(Box<dyn std::error::Error + Send + Sync>),
    #[error("no session was begun: {}: {}", .0.code(), .0.message())]
    Session(tonic::Status),
    #[error("the server refused: {code}: {message}")]
    Refused { code: tonic::Code, message: String },
    #[error("metrics cannot be kept: {0}")]
    Metrics(String),
    #[error("the messages' descriptors cannot be read: {0}")]
    Descriptors(String),
    #[error("the samples could not be loaded: {0}")]
    Sample(String),
    #[error("the reflection service could not be made: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("serving failed: {0}")]
    Serve(#[from] tonic::transport::Error),
    #[error("cannot listen for signals: {0}")]
    Signal(io::Error),
    #[error("no randomness to make a token key: {0}")]
    Random(String),
    #[error("a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}
