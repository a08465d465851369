//! The connection of a client to a server.

mod cause;

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{net::lookup_host, time::timeout};
use tokio_rustls::rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, client::WantsClientCert, crypto::ring, sign::SingleCertAndKey,
};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

pub(crate) use self::cause::Cause;
use crate::{
    arguments::Connect,
    certificates,
    error::Error,
    files::{read, read_secret},
};

/// The timeout for connecting, and the interval and timeout of keepalive pings.
const PATIENCE: Duration = Duration::from_secs(10);

/// The address of a server.
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether the server uses TLS.
    pub(crate) is_secure: bool,
}

/// Connects to the server that the arguments name. Keepalive pings detect a server that does not answer later.
pub(crate) async fn open(arguments: &Connect) -> Result<Channel, Error> {
    let server = &arguments.server;
    let uri: Option<Uri> = server.parse().ok();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let uri = uri.ok_or_else(|| Error::Server(server.clone()))?;
    let address = Address::of(&uri);
    let needs_tls = arguments.tls_ca.is_some()
        || arguments.tls_cert.is_some()
        || (arguments.api_key.is_some() && !address.is_loopback());
    if needs_tls && !address.is_secure {
        return Err(Error::PlainText(server.clone()));
    }
    let mut endpoint = Endpoint::from(uri).http2_keep_alive_interval(PATIENCE).keep_alive_timeout(PATIENCE);
    let mut probe = client_config(RootCertStore::empty())?.with_no_client_auth();
    if address.is_secure {
        let (tls, config) = tls(arguments)?;
        endpoint = endpoint.tls_config(tls).map_err(|error| unreachable(server, Cause::Other(error.to_string())))?;
        probe = config;
    }
    let connected = timeout(PATIENCE, connect(&endpoint, &address, probe)).await.unwrap_or(Err(Cause::Silent));
    connected.map_err(|cause| unreachable(server, cause))
}

fn unreachable(server: &str, cause: Cause) -> Error {
    Error::Unreachable { server: server.to_owned(), cause }
}

/// Connects, and waits for an answer: with TLS 1.3, a server refuses the certificate of a client only after the
/// handshake is done for the client.
async fn connect(endpoint: &Endpoint, address: &Address, probe: ClientConfig) -> Result<Channel, Cause> {
    let Address { host, port, .. } = address;
    if let Err(source) = lookup_host((host.as_str(), *port)).await {
        return Err(Cause::UnknownHost { host: host.clone(), source });
    }
    let channel = match endpoint.connect().await {
        Ok(channel) => channel,
        Err(error) => return Err(Cause::of_handshake(&error, address)),
    };
    let answer = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await;
    match answer {
        // An error without a source was sent by the server.
        Err(status) if std::error::Error::source(&status).is_some() => {
            Err(Cause::of_call(&status, address, Arc::new(probe)).await)
        }
        Err(_) | Ok(_) => Ok(channel),
    }
}

/// The TLS that the arguments name: for tonic, and to find out why it fails. Each file is checked, so that an error names
/// it.
fn tls(arguments: &Connect) -> Result<(ClientTlsConfig, ClientConfig), Error> {
    let roots = match &arguments.tls_ca {
        Some(path) => certificates::authorities(path)?,
        None => certificates::system_authorities(),
    };
    if roots.is_empty() {
        return Err(unreachable(&arguments.server, Cause::NoAuthorities));
    }
    let tls = ClientTlsConfig::new().trust_anchors(roots.roots.clone());
    let config = client_config(roots)?;
    let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else {
        return Ok((tls, config.with_no_client_auth()));
    };
    let identity = certificates::Identity::read(certificate, key)?;
    let config = config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.key)));
    Ok((tls.identity(Identity::from_pem(read(certificate)?, read_secret(key)?)), config))
}

fn client_config(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(Error::Tls)?;
    Ok(config.with_root_certificates(roots))
}

impl Address {
    fn of(uri: &Uri) -> Self {
        let is_secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        Self { host, port, is_secure }
    }

    /// Whether the host is this machine.
    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}
