use tonic::{Code, Status};

use crate::Cause;

/// Why there is no connection to a server: one line that says what to do.
///
/// Where a setting is missing, the text names it as the option of the program `quire`: `--tls-ca` is
/// [`Builder::tls_ca`](crate::Builder::tls_ca).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not the address of a server.
    #[error("{0} is not a server address: write it as in http://127.0.0.1:50051 or https://quire.example:50051")]
    Address(String),
    /// The address of a server on another machine begins with `http://`, and there is an API key or a certificate.
    #[error("{0} is plain HTTP; API keys and certificates need https://")]
    PlainText(String),
    /// The server cannot be reached.
    #[error("cannot reach a server at {server}: {cause}")]
    Unreachable {
        /// Its address.
        server: String,
        /// The reason.
        cause: Cause,
    },
    /// The name of a workspace is not valid.
    #[error("the workspace is not valid: it must have 1 to 63 of a-z, 0-9 and -")]
    Workspace,
    /// The user agent has a character that is not visible ASCII.
    #[error("the user agent is not valid: it must have visible ASCII characters only")]
    UserAgent,
    /// A certificate or key is not one in PEM, or TLS cannot use it.
    #[error("{0} cannot be used for TLS")]
    Tls(&'static str),
    /// The server has refused the API key, or could not create a session.
    #[error("cannot create a session: {}", why_refused(.0))]
    Session(Status),
}

fn why_refused(status: &Status) -> &str {
    if status.code() == Code::Unauthenticated { "the server does not accept the API key" } else { status.message() }
}
