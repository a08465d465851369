//! TLS and mutual TLS, from files.
use std::{fs, process::Command, sync::Arc};

use crate::support::{
    KeyFile, Server, database, eventually,
    frames::{self, Frames},
    free_address, quire,
    raw::{self, Raw},
};
use quire_proto::identity::v1::{CreateSessionRequest, identity_service_client::IdentityServiceClient};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
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
use tonic::{Code, codegen::http::Uri};

/// An authority, and files with the certificates that it has signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    /// Signs a certificate, and writes it and its key to files with this name.
    fn sign(&self, name: &str, purpose: ExtendedKeyUsagePurpose) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate: Certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.dir.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

/// Imports the sample prompts over TLS with these arguments.
fn import(server: &Server, arguments: &[&str]) -> Command {
    import_from(&format!("https://{}", server.address), arguments)
}

fn import_from(server: &str, arguments: &[&str]) -> Command {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../prompts/samples/prompts.ndjson");
    let mut command = quire(&["prompts", "import", file, "--server", server]);
    command.args(arguments);
    command
}

/// The last line of standard error of a command that must fail.
async fn refusal(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap().lines().last().unwrap().to_owned()
}

async fn succeeds(mut command: Command) -> bool {
    tokio::task::spawn_blocking(move || command.output().unwrap().status.success()).await.unwrap()
}

/// Waits until the server accepts connections.
async fn listens(server: &mut Server) {
    eventually("the server served", async || {
        assert!(server.program.is_running(), "the server has ended");
        server.program.stderr().contains("serving").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_server_has_a_certificate_and_refuses_plain_text() {
    let (_, url) = database().await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    let arguments = ["--tls-cert", &authority.file("server.pem"), "--tls-key", &authority.file("server.key")];
    let mut server = Server::on_database(&url, &arguments);
    listens(&mut server).await;

    assert!(succeeds(import(&server, &["--tls-ca", &authority.file("ca.pem")])).await);
    assert!(!succeeds(import(&server, &["--tls-ca", &stranger.file("ca.pem")])).await, "of another authority");
    assert!(!succeeds(import(&server, &[])).await, "of an authority that the system does not know");
    let plain = format!("http://{}", server.address);
    let refused = refusal(import_from(&plain, &[])).await;
    assert!(refused.starts_with("quire: the import stopped at lines 1 to 40, after 0 prompts"), "{refused}");
    let mistaken = refusal(import_from(&plain, &["--tls-ca", &authority.file("ca.pem")])).await;
    let expected = "is plain HTTP; API keys and certificates need https://";
    assert_eq!(mistaken, format!("quire: {plain} {expected}"));
    let elsewhere = refusal(import_from("http://192.0.2.1:50051", &["--api-key", "x"])).await;
    assert_eq!(elsewhere, format!("quire: http://192.0.2.1:50051 {expected}"), "no key is sent for others to read");
}

#[tokio::test]
async fn a_client_needs_a_certificate_if_the_server_requires_one() {
    let (_, url) = database().await;
    let (authority, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    clients.sign("client", ExtendedKeyUsagePurpose::ClientAuth);
    stranger.sign("client", ExtendedKeyUsagePurpose::ClientAuth);
    let files = ["server.pem", "server.key"].map(|name| authority.file(name));
    let client_authority = clients.file("ca.pem");
    let keys = KeyFile::new();
    let mut arguments = vec!["--tls-cert", &files[0], "--tls-key", &files[1], "--tls-client-ca", &client_authority];
    arguments.extend(["--signing-keys", keys.path()]);
    let mut server = Server::on_database(&url, &arguments);
    listens(&mut server).await;
    let secret = quire(&["keys", "bootstrap", "--database-url", &url]).output().unwrap().stdout;
    let secret = String::from_utf8(secret).unwrap();

    let ca = authority.file("ca.pem");
    let with = |authority: &Authority| {
        let files = ["client.pem", "client.key"].map(|name| authority.file(name));
        import(&server, &["--tls-ca", &ca, "--tls-cert", &files[0], "--tls-key", &files[1]])
    };
    let with_key = |mut command: Command| {
        command.env("QUIRE_API_KEY", secret.trim());
        command
    };
    assert!(succeeds(with_key(with(&clients))).await);
    assert!(!succeeds(with_key(with(&stranger))).await, "of another authority");
    assert!(!succeeds(with_key(import(&server, &["--tls-ca", &ca]))).await, "without a certificate");
    assert!(!succeeds(with(&clients)).await, "without a credential");
}

/// Connects with a client that ignores its own deadlines.
async fn connect(server: &Server, authority: &Authority) -> Raw {
    Raw::over(shake_hands(server, authority).await).await
}

/// Does the TLS handshake.
async fn shake_hands(server: &Server, authority: &Authority) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.file("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::from(server.address.ip());
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    stream
}

#[tokio::test]
async fn deadlines_and_addresses_work_over_tls() {
    let (_, url) = database().await;
    let (authority, keys) = (Authority::new(), KeyFile::new());
    authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    let files = ["server.pem", "server.key"].map(|name| authority.file(name));
    let arguments = ["--tls-cert", &files[0], "--tls-key", &files[1], "--signing-keys", keys.path()];
    let mut server = Server::on_database(&url, &arguments);
    listens(&mut server).await;
    let secret = quire(&["keys", "bootstrap", "--database-url", &url]).output().unwrap().stdout;
    let secret = String::from_utf8(secret).unwrap().trim().to_owned();
    let origin: Uri = format!("https://{}", server.address).parse().unwrap();
    let mut client = IdentityServiceClient::with_origin(connect(&server, &authority).await, origin);

    let request = CreateSessionRequest { secret, ..Default::default() };
    let late = client.create_session(raw::within("0n", request.clone())).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let begun = client.create_session(raw::within("1M", request)).await.unwrap().into_inner();
    assert_eq!(begun.session.unwrap().device.unwrap().ip, "127.0.0.1");
}

#[tokio::test]
async fn an_unfinished_handshake_blocks_no_other_connection() {
    let (_, url) = database().await;
    let authority = Authority::new();
    authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    let arguments = ["--tls-cert", &authority.file("server.pem"), "--tls-key", &authority.file("server.key")];
    let mut server = Server::on_database(&url, &arguments);
    listens(&mut server).await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    connect(&server, &authority).await;
    assert_eq!(server.program.stop().await, Some(0));
    assert!(!server.program.stderr().contains("left open"), "{}", server.program.stderr());
    drop(silent);
}

#[tokio::test]
async fn a_silent_client_is_disconnected_before_and_after_the_handshake() {
    let (_, url) = database().await;
    let authority = Authority::new();
    authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    let files = ["server.pem", "server.key"].map(|name| authority.file(name));
    let arguments = ["--tls-cert", &files[0], "--tls-key", &files[1], "--connection-timeout", "1s"];
    let mut server = Server::on_database(&url, &arguments);
    listens(&mut server).await;
    frames::closed(TcpStream::connect(server.address).await.unwrap()).await;
    frames::closed(shake_hands(&server, &authority).await).await;
    Frames::over(shake_hands(&server, &authority).await, 0).await.closed().await;
}

#[tokio::test]
async fn invalid_certificate_and_key_files_are_refused() {
    let authority = Authority::new();
    authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    let listen = free_address().to_string();
    for (certificate, key) in [("server.key", "server.key"), ("server.pem", "server.pem")] {
        let files = [authority.file(certificate), authority.file(key)];
        let arguments = ["serve", "--listen", &listen, "--tls-cert", &files[0], "--tls-key", &files[1]];
        let output = quire(&arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.starts_with("quire: the TLS files cannot be used: "), "{stderr}");
    }
}
