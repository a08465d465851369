use std::{error::Error as _, io, iter::successors, net::SocketAddr, path::PathBuf};

use database::MigrationError;
use keyset::CatalogueError;
use nix::sys::signal::Signal;
use tokio_rustls::rustls;
use tonic::{Code, Status};

use crate::certificates::FileError;

/// Why the program fails: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "{0} is not a loopback address, which requires authentication: listen on 127.0.0.1, or set --signing-keys to a file made with `openssl genpkey -algorithm ed25519`"
    )]
    NotLoopback(SocketAddr),
    #[error(
        "{0} is not a loopback address, and the admin port would send metrics in plain text to everybody: use TLS with --admin-tls, or accept that with --admin-insecure"
    )]
    AdminPlainText(SocketAddr),
    #[error(
        "{0} is not a loopback address, and the exporter would send metrics in plain text to everybody: use TLS with --listen-tls-cert and --listen-tls-key, or accept that with --listen-insecure"
    )]
    ExporterPlainText(SocketAddr),
    #[error("--admin-tls needs --tls-cert and --tls-key")]
    AdminTls,
    #[error("{address} is in use: stop the program that listens there, or choose another address with {argument}")]
    AddressTaken { address: SocketAddr, argument: &'static str },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(
        "with a database URL, --token-keys (or QUIRE_TOKEN_KEYS) or --token-keys-file is required: id:base64, with a key from `openssl rand -base64 32`; every server needs the same keys"
    )]
    NoTokenKeys,
    #[error(
        "{path} does not hold token keys ({source}): restore the file; with other keys, all page tokens become invalid"
    )]
    TokenKeysFile { path: PathBuf, source: pagination::TokenKeysError },
    #[error("the file token-keys in the data directory is missing")]
    NoTokenKeysFile,
    #[error("cannot use {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("others can read {path}, which is secret (its mode is {mode:04o}): run `chmod {wanted:04o} {path}`")]
    Readable { path: PathBuf, mode: u32, wanted: u32 },
    #[error("there is no home directory for the data: name a directory with --data-dir")]
    NoDataDirectory,
    #[error("cannot create the default data directory {path}: {source}; name another with --data-dir")]
    DefaultDataDirectory { path: PathBuf, source: io::Error },
    #[error("the program cannot start itself again without the variables {names}: {source}; unset them")]
    Environment { names: String, source: io::Error },
    #[error(
        "the program cannot start itself again, which it does as process 1: {0}; start it with an init, such as tini"
    )]
    Again(io::Error),
    #[error("--token-keys: {0}")]
    TokenKeys(#[from] pagination::TokenKeysError),
    #[error("the database URL is not valid: {0}; write it as postgres://user@host/name")]
    DatabaseUrl(String),
    #[error("the variable {name}, which completes the database URL, is not valid: {value}")]
    PostgresVariable { name: &'static str, value: String },
    #[error(transparent)]
    PrivatePostgres(#[from] private_postgres::Error),
    #[error(transparent)]
    Migration(#[from] MigrationError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error("cannot read the database's clock: {0}")]
    Clock(sqlx::Error),
    #[error("cannot read the audience of access tokens: {0}")]
    Audience(sqlx::Error),
    #[error("the workspace is not valid: it must have 1 to 63 of a-z, 0-9 and -")]
    Workspace,
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error("--expire-in is too far in the future")]
    ExpireIn,
    #[error("cannot read the file: {0}; run the import again")]
    Read(io::Error),
    #[error(transparent)]
    Export(#[from] crate::export::ExportError),
    #[error("the import stopped at lines {first} to {last}, after {imported} {names}; run it again")]
    Import { imported: usize, names: &'static str, first: u64, last: u64 },
    #[error("{path} does not hold signing keys: {source}")]
    SigningKeys { path: PathBuf, source: access::SigningKeysError },
    #[error("{path} {cause}")]
    TlsFile { path: PathBuf, cause: FileError },
    #[error("TLS cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the server refused the call: {0}")]
    Refused(String),
    #[error("the server requires a valid API key: set QUIRE_API_KEY")]
    NoCredential,
    #[error("the connection to the server broke: {0}")]
    Disconnected(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Walk(String),
    #[error("cannot record metrics: {0}")]
    Metrics(String),
    #[error("the messages' descriptors cannot be read: {0}")]
    Descriptors(String),
    #[error("cannot load the samples: {0}")]
    Sample(String),
    #[error("cannot create the reflection service: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("serving failed: {0}")]
    Serve(#[from] tonic::transport::Error),
    #[error("cannot listen for signals: {0}")]
    Signal(io::Error),
    #[error("the system has no randomness for a token key: {0}")]
    Random(String),
    #[error("{0} is not the address of a collector: write it as in http://127.0.0.1:4317")]
    OtlpEndpoint(String),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    #[error("a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
    #[error("--columns: there is no column {name:?}; choose from {columns}")]
    Column { name: String, columns: String },
    #[error("interrupted by {0}")]
    Interrupted(Signal),
}

impl Error {
    /// The error of a call that failed.
    pub(crate) fn of_call(status: &Status) -> Self {
        // An error with a source was not sent by the server. The last cause says most.
        if let Some(cause) = successors(status.source(), |&error| error.source()).last() {
            return Self::Disconnected(cause.to_string());
        }
        match (status.code(), status.message()) {
            (Code::Unauthenticated, _) => Self::NoCredential,
            (Code::NotFound, message) => Self::NotFound(message.to_owned()),
            (code, "") => Self::Refused(code.to_string()),
            (_, message) => Self::Refused(message.to_owned()),
        }
    }

    /// The exit status of the program: 1, or 2 for an argument that only its command can check, as the parser of the command
    /// line does; for an interrupt 128 and the number of the signal, as shells report it; 0 if nobody reads standard output
    /// any more.
    pub(crate) fn exit_status(&self) -> u8 {
        if let Self::Interrupted(signal) = self {
            return u8::try_from(128 + *signal as i32).unwrap_or(1);
        }
        let is_usage = matches!(
            self,
            Self::Column { .. }
                | Self::Usage(_)
                | Self::Workspace
                | Self::Client(client::Error::Address(_) | client::Error::Workspace)
        );
        if is_usage { 2 } else { (!self.is_closed_pipe()).into() }
    }

    /// Whether the reader of standard output has gone, as in `quire jobs list | head -1`.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::{Error, io};

    #[test]
    fn a_broken_connection_is_no_refusal() {
        let status = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        let message = Error::of_call(&status).to_string();
        assert_eq!(message, "the connection to the server broke: connection reset");
        let message = Error::of_call(&Status::internal("")).to_string();
        assert_eq!(message, "the server refused the call: Internal error");
    }
}
