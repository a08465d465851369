//! The connection of a client to a server.

mod cause;

use std::{net::IpAddr, sync::Arc, time::Duration};

use rustls_native_certs::load_native_certs;
use tokio::{
    net::lookup_host,
    time::{sleep, timeout},
};
use tokio_rustls::rustls::{
    self, ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use tonic::transport::{self, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

pub use self::cause::Cause;
use crate::{Builder, Error};

/// The timeout for connecting, and the interval and timeout of keepalive pings.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait before a connection that was lost at its beginning is made again.
const RETRY_DELAYS: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];

/// The address of a server.
pub struct Address {
    /// The host name or IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether the server uses TLS.
    pub is_secure: bool,
}

/// Connects to a server. Keepalive pings detect a server that does not answer later.
pub(crate) async fn open(builder: &Builder) -> Result<Channel, Error> {
    let Builder { server, api_key, tls_ca, tls_identity, user_agent, .. } = builder;
    let uri: Option<Uri> = server.parse().ok();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let uri = uri.ok_or_else(|| Error::Address(server.clone()))?;
    let address = Address::of(&uri);
    let needs_tls = tls_ca.is_some() || tls_identity.is_some() || (api_key.is_some() && !address.is_loopback());
    if needs_tls && !address.is_secure {
        return Err(Error::PlainText(server.clone()));
    }
    let endpoint =
        Endpoint::from(uri).user_agent(user_agent.as_str()).map_err(|_: transport::Error| Error::UserAgent)?;
    let endpoint = endpoint.connect_timeout(PATIENCE);
    let mut endpoint = endpoint.http2_keep_alive_interval(PATIENCE).keep_alive_timeout(PATIENCE);
    let mut probe = client_config(RootCertStore::empty())?.with_no_client_auth();
    if address.is_secure {
        let (tls, config) = tls(builder)?;
        endpoint = endpoint.tls_config(tls).map_err(|error| unreachable(server, Cause::Other(error.to_string())))?;
        probe = config;
    }
    let connected = timeout(PATIENCE, connect_again(&endpoint, &address, &probe)).await;
    connected.unwrap_or(Err(Cause::Silent)).map_err(|cause| unreachable(server, cause))
}

/// Connects, and tries again when the connection may have been lost on the way.
async fn connect_again(endpoint: &Endpoint, address: &Address, probe: &ClientConfig) -> Result<Channel, Cause> {
    let mut delays = RETRY_DELAYS.into_iter();
    loop {
        match (connect(endpoint, address, probe.clone()).await, delays.next()) {
            (Err(cause), Some(delay)) if cause.may_be_a_lost_connection() => sleep(delay).await,
            (connected, _) => return connected,
        }
    }
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

/// The TLS of a client: for tonic, and to find out why it fails.
fn tls(Builder { server, tls_ca, tls_identity, .. }: &Builder) -> Result<(ClientTlsConfig, ClientConfig), Error> {
    let mut roots = RootCertStore::empty();
    match tls_ca {
        Some(pem) => {
            for authority in certificates(pem)? {
                roots.add(authority).map_err(|_: rustls::Error| Error::Tls(CERTIFICATE))?;
            }
        }
        None => {
            roots.add_parsable_certificates(load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(unreachable(server, Cause::NoAuthorities));
    }
    let tls = ClientTlsConfig::new().trust_anchors(roots.roots.clone());
    let config = client_config(roots)?;
    let Some((certificate, key)) = tls_identity else { return Ok((tls, config.with_no_client_auth())) };
    let private = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_: pem::Error| Error::Tls(KEY))?;
    let config = config.with_client_auth_cert(certificates(certificate)?, private);
    let config = config.map_err(|_: rustls::Error| Error::Tls(KEY))?;
    Ok((tls.identity(Identity::from_pem(certificate, key)), config))
}

const CERTIFICATE: &str = "a certificate";
const KEY: &str = "the client's key";

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_: pem::Error| Error::Tls(CERTIFICATE))?;
    if certificates.is_empty() { Err(Error::Tls(CERTIFICATE)) } else { Ok(certificates) }
}

fn client_config(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions();
    let config = config.map_err(|_: rustls::Error| Error::Tls("this machine's cryptography"))?;
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
