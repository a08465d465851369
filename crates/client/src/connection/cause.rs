use std::{
    error::Error,
    io::{self, ErrorKind},
    iter::successors,
    sync::Arc,
    time::Duration,
};

use prost_types::Timestamp;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, AlertDescription, CertificateError, ClientConfig, InvalidMessage,
        pki_types::{ServerName, UnixTime},
    },
};
use tonic::{Status, transport};

use super::Address;

/// How long a server may take to show how TLS fails.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a server sends because of the certificate of a client.
const OF_CERTIFICATES: [AlertDescription; 8] = [
    AlertDescription::UnknownCA,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::AccessDenied,
    AlertDescription::DecryptError,
];

/// Why a server cannot be reached. The text follows the address of the server.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Nothing listens at the address.
    #[error("start it, or name another with --server ({0})")]
    NotThere(io::Error),
    /// The host has no address.
    #[error("the host {host} is not known ({source})")]
    UnknownHost {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The server does not answer in time.
    #[error("it does not answer")]
    Silent,
    /// The address begins with `https://`, and the server does not use TLS.
    #[error("it does not use TLS: write its address with http://")]
    NoTls,
    /// The address begins with `http://`, and the server uses TLS.
    #[error("it uses TLS: write its address with https://")]
    Tls,
    /// The server does not speak gRPC.
    #[error("it does not speak gRPC ({0})")]
    NoGrpc(String),
    /// The authority of the server's certificate is not trusted.
    #[error("no authority that is trusted here has signed its certificate: name its authority with --tls-ca")]
    UnknownAuthority,
    /// The server's certificate is for other hosts.
    #[error("its certificate is not for {host}, but for: {names}")]
    WrongName {
        /// The host of the address.
        host: String,
        /// The hosts of the certificate.
        names: String,
    },
    /// The server's certificate has expired.
    #[error("its certificate has expired at {0}")]
    Expired(Timestamp),
    /// The server's certificate is not valid yet.
    #[error("its certificate is not valid before {0}; is the clock of this machine right?")]
    NotYetValid(Timestamp),
    /// The server's certificate cannot be used for another reason.
    #[error("its certificate cannot be used: {0}")]
    Certificate(CertificateError),
    /// The server requires a certificate of the client.
    #[error("it requires a certificate: name one with --tls-cert and --tls-key")]
    CertificateRequired,
    /// The server refuses the certificate of the client.
    #[error("it refuses the certificate of --tls-cert ({0:?})")]
    CertificateRefused(AlertDescription),
    /// The system has no certificate authorities, and none were named.
    #[error("this system has no certificate authorities: name a file with --tls-ca")]
    NoAuthorities,
    /// Another reason, in the words of the library that found it.
    #[error("{0}")]
    Other(String),
}

impl Cause {
    /// Whether the connection was made, and may have been lost before the server answered.
    pub(super) fn may_be_a_lost_connection(&self) -> bool {
        matches!(self, Self::NoGrpc(_) | Self::NoTls | Self::Other(_))
    }

    /// The cause of an error while connecting, including the TLS handshake.
    pub(crate) fn of_handshake(error: &transport::Error, address: &Address) -> Self {
        if let Some(error) = find(error) {
            return Self::of_tls(error);
        }
        match find::<io::Error>(error).map(|error| (error.kind(), error)) {
            Some((ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset, _)) if address.is_secure => Self::NoTls,
            Some((ErrorKind::TimedOut, _)) => Self::Silent,
            Some((kind, _)) => Self::NotThere(kind.into()),
            None => Self::Other(last(error)),
        }
    }

    /// The cause of an error of the first call.
    pub(crate) async fn of_call(status: &Status, address: &Address, tls: Arc<ClientConfig>) -> Self {
        // HTTP/2 does not keep the errors of TLS.
        match probe(address, tls).await {
            None | Some(rustls::Error::InvalidMessage(_)) => Self::NoGrpc(last(status)),
            Some(_) if !address.is_secure => Self::Tls,
            Some(error) => Self::of_tls(&error),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other errors are shown as they are")]
    fn of_tls(error: &rustls::Error) -> Self {
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage as Invalid};
        match error {
            AlertReceived(AlertDescription::NoApplicationProtocol) => Self::NoGrpc("is it an admin port?".to_owned()),
            InvalidCertificate(error) => Self::of_certificate(error),
            Invalid(InvalidMessage::InvalidContentType) => Self::NoTls,
            AlertReceived(AlertDescription::CertificateRequired) => Self::CertificateRequired,
            AlertReceived(alert) if OF_CERTIFICATES.contains(alert) => Self::CertificateRefused(*alert),
            error => Self::Other(error.to_string()),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other errors are shown as they are")]
    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            // The second: from an authority with the name of a trusted one, and another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired(timestamp(not_after)),
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYetValid(timestamp(not_before)),
            CertificateError::NotValidForNameContext { expected, presented } => {
                Self::WrongName { host: expected.to_str().into_owned(), names: names(presented) }
            }
            error => Self::Certificate(error.clone()),
        }
    }
}

/// Does a TLS handshake, and waits for what the server sends then. Returns how TLS failed, if it did.
async fn probe(Address { host, port, .. }: &Address, tls: Arc<ClientConfig>) -> Option<rustls::Error> {
    let name = ServerName::try_from(host.clone()).ok()?;
    let answer = async {
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        TlsConnector::from(tls).connect(name, stream).await?.read_u8().await
    };
    let error = timeout(PATIENCE, answer).await.ok()?.err()?;
    find::<rustls::Error>(&error).cloned()
}

/// The names of a certificate, without the kinds that rustls writes around them, as in `DnsName("quire.example")`.
fn names(presented: &[String]) -> String {
    let name = |text: &String| text.split('(').next_back().unwrap_or_default().trim_matches(['"', ')']).to_owned();
    presented.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn timestamp(time: &UnixTime) -> Timestamp {
    Timestamp { seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), nanos: 0 }
}

/// The first error of this type among an error and its causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The text of the last cause.
fn last(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// An error and its causes.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| {
        // The source of an io::Error is not the error inside it, but the source of that.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as _),
            None => error.source(),
        }
    })
}
