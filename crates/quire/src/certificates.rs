//! Certificates and their keys, from files in PEM.

use std::path::Path;

use access::pem_blocks;
use pem::Pem;
use platform::Clock;
use prost_types::Timestamp;
use tokio_rustls::rustls::{
    self, InconsistentKeys, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::VerifierBuilderError,
    sign::CertifiedKey,
};
use x509_parser::parse_x509_certificate;

use crate::{
    error::Error,
    files::{read, read_secret},
};

/// Why a file cannot be used for TLS. The text follows the path of the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("has no PEM block")]
    Empty,
    #[error("is not complete PEM")]
    Malformed,
    #[error("has no {expected}, but: {found}")]
    Kind { expected: &'static str, found: String },
    #[error("has an encrypted key: decrypt it with `openssl pkey`")]
    Encrypted,
    #[error("has a certificate that is not valid X.509, at place {0}")]
    Certificate(usize),
    #[error("is not the key of the certificate in {0}")]
    Mismatch(String),
    #[error("has a key that TLS cannot use: {0}")]
    Key(rustls::Error),
    #[error("has authorities that cannot be used: {0}")]
    Authorities(VerifierBuilderError),
}

impl FileError {
    /// This error, of the file with this path.
    pub(crate) fn of(self, path: &Path) -> Error {
        Error::TlsFile { path: path.to_owned(), cause: self }
    }
}

/// A certificate with its key and the certificates of its issuers.
pub(crate) struct Identity {
    pub(crate) key: CertifiedKey,
    /// When the first of the certificates expires, in seconds since 1970.
    pub(crate) expire_seconds: i64,
}

impl Identity {
    /// Reads a certificate, with those of its issuers, and its key. Logs a warning if one of the certificates is not
    /// valid now.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let chain = certificates(certificate)?;
        let expire_seconds = validity(certificate, &chain)?;
        let private = private_key(&read_secret(key)?).map_err(|cause| cause.of(key))?;
        let certified = CertifiedKey::from_der(chain, private, &ring::default_provider());
        let key = certified.map_err(|error| {
            let is_other = matches!(error, rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch));
            let mismatch = || FileError::Mismatch(certificate.display().to_string());
            if is_other { mismatch() } else { FileError::Key(error) }.of(key)
        })?;
        Ok(Self { key, expire_seconds })
    }
}

/// Reads certificate authorities.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates(path)?.into_iter().enumerate() {
        let added = roots.add(certificate);
        added.map_err(|_: rustls::Error| FileError::Certificate(index + 1).of(path))?;
    }
    Ok(roots)
}

/// Reads certificates, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let blocks = blocks(&read(path)?).map_err(|cause| cause.of(path))?;
    let found = tags(&blocks);
    let certificates = blocks.into_iter().filter(|block| block.tag() == CERTIFICATE);
    let certificates: Vec<_> = certificates.map(|block| CertificateDer::from(block.into_contents())).collect();
    if certificates.is_empty() {
        return Err(FileError::Kind { expected: CERTIFICATE, found }.of(path));
    }
    Ok(certificates)
}

/// Returns when the first of the certificates expires. Logs a warning if one is not valid now.
fn validity(path: &Path, chain: &[CertificateDer]) -> Result<i64, Error> {
    let now = Timestamp::from(Clock::system().now()).seconds;
    let mut earliest = i64::MAX;
    for (index, der) in chain.iter().enumerate() {
        let Ok((_, certificate)) = parse_x509_certificate(der) else {
            return Err(FileError::Certificate(index + 1).of(path));
        };
        let [begin, end] =
            [certificate.validity().not_before, certificate.validity().not_after].map(|time| time.timestamp());
        let (path, time) = (path.display(), |seconds| Timestamp { seconds, nanos: 0 });
        if end < now {
            tracing::warn!(%path, expire_time = %time(end), "a certificate has expired");
        }
        if now < begin {
            tracing::warn!(%path, begin_time = %time(begin), "a certificate is not valid yet");
        }
        earliest = earliest.min(end);
    }
    Ok(earliest)
}

const CERTIFICATE: &str = "CERTIFICATE";
const PRIVATE_KEY: &str = "PRIVATE KEY";

fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, FileError> {
    let blocks = blocks(text)?;
    let mut keys = blocks.iter().filter(|block| block.tag().ends_with(PRIVATE_KEY));
    let Some(key) = keys.next() else {
        return Err(FileError::Kind { expected: PRIVATE_KEY, found: tags(&blocks) });
    };
    // Of PKCS #8, and of what came before it.
    if key.tag().starts_with("ENCRYPTED") || key.headers().get("DEK-Info").is_some() {
        return Err(FileError::Encrypted);
    }
    PrivateKeyDer::from_pem_slice(pem::encode(key).as_bytes())
        .map_err(|_: rustls::pki_types::pem::Error| FileError::Kind { expected: PRIVATE_KEY, found: tags(&blocks) })
}

/// The PEM blocks of a file, at least one.
fn blocks(text: &str) -> Result<Vec<Pem>, FileError> {
    let blocks = pem_blocks(text).ok_or(FileError::Malformed)?;
    if blocks.is_empty() { Err(FileError::Empty) } else { Ok(blocks) }
}

fn tags(blocks: &[Pem]) -> String {
    blocks.iter().map(Pem::tag).collect::<Vec<_>>().join(", ")
}
