//! Authentication of a server's callers: the keys of access tokens, and TLS.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use access::SigningKeys;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};

use crate::{
    arguments::{Serve, Tls},
    error::Error,
};

/// The keys that sign and verify access tokens, if the arguments name a file.
pub(crate) fn signing_keys(arguments: &Serve) -> Result<Option<SigningKeys>, Error> {
    let Some(path) = &arguments.signing_keys else { return Ok(None) };
    let keys = read(path)?.parse().map_err(|source| Error::SigningKeys { path: path.clone(), source })?;
    Ok(Some(keys))
}

/// Requires authentication if an address can be reached from other machines.
pub(crate) fn check_addresses(arguments: &Serve) -> Result<(), Error> {
    let addresses = std::iter::once(&arguments.listen).chain(&arguments.admin_listen);
    let public = addresses.copied().find(|address: &SocketAddr| !address.ip().is_loopback());
    match public {
        Some(address) if arguments.signing_keys.is_none() => Err(Error::NotLoopback(address)),
        Some(address) if arguments.tls.tls_cert.is_none() => {
            tracing::warn!(%address, "without --tls-cert, keys and tokens are sent in plain text");
            Ok(())
        }
        Some(_) | None => Ok(()),
    }
}

/// The TLS of the server, if the arguments name a certificate.
pub(crate) fn tls(arguments: &Tls) -> Result<Option<TlsAcceptor>, Error> {
    let Tls { tls_cert, tls_key, tls_client_ca } = arguments;
    let (Some(certificates), Some(key)) = (tls_cert, tls_key) else { return Ok(None) };
    let authorities = tls_client_ca.as_deref().map(read).transpose()?;
    let config = tls_config(&read(certificates)?, &read(key)?, authorities.as_deref()).map_err(Error::Tls)?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// TLS for HTTP/2 with this certificate and its key, in PEM. With authorities, every client must have a certificate
/// from one of them.
fn tls_config(
    certificates: &str,
    key: &str,
    authorities: Option<&str>,
) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let certificates_of = |pem: &str| CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let config = match authorities {
        None => config.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates_of(pem)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            config.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let mut config = config.with_single_cert(certificates_of(certificates)?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Reads a file as text.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File { path: PathBuf::from(path), source })
}
