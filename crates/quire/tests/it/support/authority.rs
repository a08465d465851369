//! Certificates, and clients that use them.

use std::{fs, net::SocketAddr, process::Command, sync::Arc};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use super::{Server, eventually, quire, raw::Raw, write_secret};

/// An authority, and files with the certificates that it has signed.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        Self::called("authority")
    }

    /// An authority with this name.
    pub fn called(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    /// Signs a certificate, and writes it and its key to files with this name.
    pub fn sign(&self, name: &str, purpose: ExtendedKeyUsagePurpose) {
        self.sign_for(name, "127.0.0.1", |params| params.extended_key_usages = vec![purpose]);
    }

    /// Signs a certificate for this host, with these changes, and writes it and its key to files with this name.
    pub fn sign_for(&self, name: &str, host: &str, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate: Certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.file(&format!("{name}.pem")), certificate.pem()).unwrap();
        write_secret(self.file(&format!("{name}.key")), &key.serialize_pem());
    }

    /// Does the TLS handshake with a server that has a certificate of this authority, and speaks this protocol.
    pub async fn shake_hands(&self, protocol: &[u8], address: SocketAddr) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"other".to_vec(), protocol.to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::from(address.ip());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        stream
    }

    pub fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

/// Imports the sample prompts over TLS with these arguments.
pub fn import(server: &Server, arguments: &[&str]) -> Command {
    import_from(&format!("https://{}", server.address), arguments)
}

pub fn import_from(server: &str, arguments: &[&str]) -> Command {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../prompts/samples/prompts.ndjson");
    let mut command = quire(&["prompts", "import", file, "--server", server]);
    command.args(arguments);
    command
}

/// The last line of standard error of a command that must fail.
pub async fn refusal(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap().lines().last().unwrap().to_owned()
}

pub async fn succeeds(mut command: Command) -> bool {
    tokio::task::spawn_blocking(move || command.output().unwrap().status.success()).await.unwrap()
}

/// Waits until the server accepts connections.
pub async fn listens(server: &mut Server) {
    eventually("the server served", async || {
        assert!(server.program.is_running(), "the server has ended");
        server.program.stderr().contains("serving").then_some(())
    })
    .await;
}

/// Connects with a client that ignores its own deadlines.
pub async fn connect(server: &Server, authority: &Authority) -> Raw {
    Raw::over(shake_hands(server, authority).await).await
}

/// Does the TLS handshake.
pub async fn shake_hands(server: &Server, authority: &Authority) -> TlsStream<TcpStream> {
    authority.shake_hands(b"h2", server.address).await
}
