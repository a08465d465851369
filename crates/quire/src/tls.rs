//! The TLS of a server.

use std::{path::Path, sync::Arc};

use arc_swap::ArcSwap;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        server::WebPkiClientVerifier,
        sign::{CertifiedKey, SingleCertAndKey},
    },
};

use crate::{
    arguments::Tls,
    certificates::{FileError, Identity, authorities},
    error::Error,
    listener::Protocol,
};

/// The TLS of a server, for each protocol.
pub(crate) struct ServerTls {
    grpc: Arc<ServerConfig>,
    admin: Arc<ServerConfig>,
    /// When the first certificate expires, in seconds since 1970.
    pub(crate) expire_seconds: i64,
}

/// The TLS of a server, which can be replaced. Existing connections keep what they began with.
pub(crate) type CurrentTls = Arc<ArcSwap<ServerTls>>;

impl ServerTls {
    /// Reads the files that the arguments name. Returns `None` if they name no certificate.
    pub(crate) fn read(arguments: &Tls) -> Result<Option<Self>, Error> {
        let Tls { tls_cert, tls_key, tls_client_ca } = arguments;
        let (Some(certificate), Some(key)) = (tls_cert, tls_key) else { return Ok(None) };
        let Identity { key, expire_seconds } = Identity::read(certificate, key)?;
        let key = Arc::new(key);
        let clients = match tls_client_ca {
            Some(path) => Some((path.as_path(), authorities(path)?)),
            None => None,
        };
        let grpc = config(key.clone(), b"h2", clients)?;
        // Probes have no certificates.
        let admin = config(key, b"http/1.1", None)?;
        Ok(Some(Self { grpc, admin, expire_seconds }))
    }

    /// Does the handshakes of a protocol.
    pub(crate) fn acceptor(&self, protocol: Protocol) -> TlsAcceptor {
        TlsAcceptor::from(match protocol {
            Protocol::Grpc => self.grpc.clone(),
            Protocol::Admin => self.admin.clone(),
        })
    }
}

/// TLS for this protocol. With authorities, every client must have a certificate from one of them.
fn config(
    key: Arc<CertifiedKey>,
    protocol: &[u8],
    authorities: Option<(&Path, RootCertStore)>,
) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let config = config.map_err(Error::Tls)?;
    let config = match authorities {
        None => config.with_no_client_auth(),
        Some((path, roots)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(verifier.map_err(|error| FileError::Authorities(error).of(path))?)
        }
    };
    let mut config = config.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}
