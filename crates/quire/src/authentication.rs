//! Authentication of a server's callers: TLS, and the keys of access tokens and page tokens. SIGHUP reads them again.

use std::{net::SocketAddr, sync::Arc};

use access::SigningKeys;
use arc_swap::ArcSwap;
use metrics::counter;
use pagination::TokenKeys;

use crate::{
    arguments::Serve,
    database,
    error::Error,
    files::{read, refuse_readable},
    tls::{CurrentTls, ServerTls},
};

/// The certificates and keys in use.
pub(crate) struct Credentials {
    /// The keys that sign and verify access tokens, if the arguments name a file.
    pub(crate) signing_keys: Option<SigningKeys>,
    /// The keys of page tokens; `None` until a private Postgres has started for the first time.
    pub(crate) token_keys: Option<TokenKeys>,
    pub(crate) tls: Option<CurrentTls>,
}

impl Credentials {
    /// Reads the files that the arguments name.
    pub(crate) fn read(arguments: &Serve) -> Result<Self, Error> {
        Ok(Self {
            signing_keys: signing_keys(arguments)?,
            token_keys: database::token_keys(arguments)?,
            tls: ServerTls::read(&arguments.tls)?.map(|tls| Arc::new(ArcSwap::from_pointee(tls))),
        })
    }

    /// Reads the files again, and logs and counts it. If one of them cannot be used, all certificates and keys stay as
    /// they are.
    pub(crate) fn reload(&self, arguments: &Serve) {
        let result = match Self::read(arguments).and_then(|new| self.replace(&new)) {
            Ok(()) => {
                tracing::info!("reloaded the certificates and keys");
                "reloaded"
            }
            Err(error) => {
                tracing::error!(%error, "cannot reload the certificates and keys: all stay as they are");
                "failed"
            }
        };
        counter!("credential_reloads_total", "result" => result).increment(1);
    }

    fn replace(&self, new: &Self) -> Result<(), Error> {
        if new.token_keys.is_none() {
            return Err(Error::NoTokenKeysFile);
        }
        if let (Some(current), Some(new)) = (&self.signing_keys, &new.signing_keys) {
            current.replace(new);
        }
        if let (Some(current), Some(new)) = (&self.token_keys, &new.token_keys) {
            current.replace(new);
        }
        if let (Some(current), Some(new)) = (&self.tls, &new.tls) {
            current.store(new.load_full());
        }
        Ok(())
    }
}

fn signing_keys(arguments: &Serve) -> Result<Option<SigningKeys>, Error> {
    let Some(path) = &arguments.signing_keys else { return Ok(None) };
    let keys: SigningKeys = read(path)?.parse().map_err(|source| Error::SigningKeys { path: path.clone(), source })?;
    if keys.private().is_some() {
        refuse_readable(path)?;
    }
    Ok(Some(keys))
}

/// Requires authentication, and TLS for the admin port, if an address can be reached from other machines.
pub(crate) fn check_addresses(arguments: &Serve) -> Result<(), Error> {
    let is_public = |address: &&SocketAddr| !address.ip().is_loopback();
    let (listen, admin) =
        (Some(&arguments.listen).filter(is_public), arguments.admin_listen.as_ref().filter(is_public));
    if arguments.admin_tls && arguments.tls.tls_cert.is_none() {
        return Err(Error::AdminTls);
    }
    if let (Some(address), None) = (listen.or(admin), &arguments.signing_keys) {
        return Err(Error::NotLoopback(*address));
    }
    if let Some(address) = admin
        && !arguments.admin_tls
        && !arguments.admin_insecure
    {
        return Err(Error::AdminPlainText(*address));
    }
    if let (Some(address), None) = (listen, &arguments.tls.tls_cert) {
        tracing::warn!(%address, "without --tls-cert, keys and tokens are sent in plain text");
    }
    Ok(())
}
