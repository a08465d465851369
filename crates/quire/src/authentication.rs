//! Who may call a server: the keys of access tokens, and TLS.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use pagination::Clock;
use platform::{AccessTokens, SigningKeys};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::{
    arguments::{Serve, Tls},
    error::Error,
};

/// What signs and checks access tokens, if the arguments name keys.
pub(crate) fn access_tokens(arguments: &Serve, clock: &Clock) -> Result<Option<AccessTokens>, Error> {
    let Some(path) = &arguments.signing_keys else { return Ok(None) };
    let keys: Result<SigningKeys, _> = read(path)?.parse();
    let keys = keys.map_err(|source| Error::SigningKeys { path: path.clone(), source })?;
    Ok(Some(AccessTokens { keys, clock: clock.clone() }))
}

/// Requires addresses that others reach to be served to those who are known only.
pub(crate) fn check_addresses(arguments: &Serve) -> Result<(), Error> {
    let addresses = std::iter::once(&arguments.listen).chain(&arguments.admin_listen);
    let public = addresses.copied().find(|address: &SocketAddr| !address.ip().is_loopback());
    match public {
        Some(address) if arguments.signing_keys.is_none() => Err(Error::NotLoopback(address)),
        Some(address) if arguments.tls.tls_cert.is_none() => {
            tracing::warn!(%address, "without --tls-cert, keys and tokens are there for everybody on the way to read");
            Ok(())
        }
        Some(_) | None => Ok(()),
    }
}

/// The TLS of the server, if the arguments name a certificate.
pub(crate) fn tls(arguments: &Tls) -> Result<Option<ServerTlsConfig>, Error> {
    let Tls { tls_cert, tls_key, tls_client_ca } = arguments;
    let (Some(certificate), Some(key)) = (tls_cert, tls_key) else { return Ok(None) };
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(read(certificate)?, read(key)?));
    if let Some(authority) = tls_client_ca {
        tls = tls.client_ca_root(Certificate::from_pem(read(authority)?));
    }
    Ok(Some(tls))
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File { path: PathBuf::from(path), source })
}
