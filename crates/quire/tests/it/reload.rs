//! SIGHUP: certificates and keys are replaced while the server serves.
use std::{
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use nix::sys::signal::Signal;
use platform::testing::TOKEN_KEYS;
use quire_proto::identity::v1::{
    CreateSessionRequest, ListApiKeysRequest, identity_service_client::IdentityServiceClient,
};
use rcgen::ExtendedKeyUsagePurpose;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use tonic::{Code, Request, codegen::http::Uri};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    Client, DataDir, KeyFile, Program, Server,
    admin::{get, metric},
    authority::{Authority, connect, listens, shake_hands},
    database, eventually, free_address, list, make, quire, write_secret,
};

/// Sends SIGHUP, and waits until the server has logged the result, with these words.
async fn reload(server: &Server, result: &str) {
    let lines = || server.program.stderr().matches(result).count();
    let before = lines();
    server.program.signal(Signal::SIGHUP);
    eventually("the server reloaded", async || (lines() > before).then_some(())).await;
}

const RELOADED: &str = "reloaded the certificates and keys";
const FAILED: &str = "cannot reload the certificates and keys";

fn reloads(admin: SocketAddr, result: &str) -> Option<f64> {
    metric(&get(admin, "/metrics").1, "credential_reloads_total", &[&format!(r#"result="{result}""#)])
}

/// The certificate that a new connection sees.
async fn certificate(server: &Server, authority: &Authority) -> CertificateDer<'static> {
    let stream = shake_hands(server, authority).await;
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn certificates_are_replaced_while_calls_go_on() {
    let (_, url) = database().await;
    let (authority, admin) = (Authority::new(), free_address());
    authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    let [pem, key] = ["server.pem", "server.key"].map(|name| authority.file(name));
    let arguments = ["--tls-cert", &pem, "--tls-key", &key, "--admin-listen", &admin.to_string()];
    let mut server = Server::on_database(&url, &arguments);
    listens(&mut server).await;

    let origin: Uri = format!("https://{}", server.address).parse().unwrap();
    let mut old = HealthClient::with_origin(connect(&server, &authority).await, origin.clone());
    let (done, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let on_one_connection = async {
        while !done.load(Ordering::Relaxed) {
            old.check(HealthCheckRequest::default()).await.unwrap();
            calls.fetch_add(1, Ordering::Relaxed);
        }
    };
    let on_new_connections = async {
        while !done.load(Ordering::Relaxed) {
            let mut client = HealthClient::with_origin(connect(&server, &authority).await, origin.clone());
            client.check(HealthCheckRequest::default()).await.unwrap();
        }
    };
    let rotation = async {
        for round in 1..=5 {
            authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
            reload(&server, RELOADED).await;
            let expected = CertificateDer::from_pem_file(&pem).unwrap();
            assert_eq!(certificate(&server, &authority).await, expected, "{round}");
            let before = calls.load(Ordering::Relaxed);
            eventually("calls went on", async || (calls.load(Ordering::Relaxed) > before + 1).then_some(())).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(on_one_connection, on_new_connections, rotation);
    assert_eq!((reloads(admin, "reloaded"), reloads(admin, "failed")), (Some(5.0), None));
}

#[tokio::test]
async fn a_broken_file_replaces_nothing() {
    let (_, url) = database().await;
    let (authority, admin, keys) = (Authority::new(), free_address(), KeyFile::new());
    authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    let [pem, key] = ["server.pem", "server.key"].map(|name| authority.file(name));
    let mut arguments = vec!["--tls-cert", &pem, "--tls-key", &key, "--signing-keys", keys.path()];
    let admin_text = admin.to_string();
    arguments.extend(["--admin-listen", &admin_text]);
    let mut server = Server::on_database(&url, &arguments);
    listens(&mut server).await;
    let before = (certificate(&server, &authority).await, get(admin, "/.well-known/jwks.json"));

    let good = fs::read_to_string(&pem).unwrap();
    for (certificate_text, signing_keys, bad) in [
        ("", KeyFile::new().pem, format!("{pem} has no PEM block")),
        (good.as_str(), "nonsense".to_owned(), format!("{} does not hold signing keys", keys.path())),
    ] {
        fs::write(&pem, certificate_text).unwrap();
        write_secret(keys.path(), &signing_keys);
        reload(&server, FAILED).await;
        assert!(server.program.stderr().contains(&bad), "{}", server.program.stderr());
        assert_eq!((certificate(&server, &authority).await, get(admin, "/.well-known/jwks.json")), before);
    }
    assert_eq!((reloads(admin, "reloaded"), reloads(admin, "failed")), (None, Some(2.0)));
}

#[tokio::test]
async fn old_access_tokens_are_valid_while_their_public_key_is_in_the_file() {
    let (_, url) = database().await;
    let file = KeyFile::new();
    let mut server = Server::on_database(&url, &["--signing-keys", file.path()]);
    let client = IdentityServiceClient::new(server.connect().await);
    let secret = quire(&["keys", "bootstrap", "--database-url", &url]).output().unwrap().stdout;
    let secret = String::from_utf8(secret).unwrap().trim().to_owned();
    let begin = async || {
        let request = CreateSessionRequest { secret: secret.clone(), ..Default::default() };
        client.clone().create_session(request).await.unwrap().into_inner().credentials.unwrap().access_token
    };
    let code = async |token: &str| {
        let mut request = Request::new(ListApiKeysRequest::default());
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        client.clone().list_api_keys(request).await.map_or_else(|status| status.code(), |_| Code::Ok)
    };

    let (old, next) = (begin().await, KeyFile::new());
    write_secret(file.path(), &(next.pem.clone() + &file.public()));
    reload(&server, RELOADED).await;
    let new = begin().await;
    assert_eq!((code(&old).await, code(&new).await), (Code::Ok, Code::Ok));
    write_secret(file.path(), &next.pem);
    reload(&server, RELOADED).await;
    assert_eq!((code(&old).await, code(&new).await), (Code::Unauthenticated, Code::Ok));
}

/// A new key of page tokens.
fn new_token_key() -> String {
    format!("new:{}A=", "B".repeat(42))
}

/// Rotates the keys of page tokens in this file.
async fn rotate_token_keys(server: &Server, file: &str, client: &Client) {
    for number in 0..20 {
        make(client, &format!("prompt-{number}")).await.unwrap();
    }
    let token = list(client, "").await.unwrap().1.next_page_token;
    let old = fs::read_to_string(file).unwrap();
    write_secret(file, &format!("{},{}", new_token_key(), old.trim()));
    reload(server, RELOADED).await;
    assert!(list(client, &token).await.is_ok());
    let newer = list(client, "").await.unwrap().1.next_page_token;
    fs::remove_file(file).unwrap();
    reload(server, FAILED).await;
    write_secret(file, &new_token_key());
    reload(server, RELOADED).await;
    assert!(list(client, &newer).await.is_ok());
    assert_eq!(list(client, &token).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn page_tokens_are_valid_while_their_key_is_in_the_file() {
    let data_dir = DataDir::new();
    let mut server = Server::on_data_dir(&data_dir, &[]);
    let client = Client::new(server.connect().await);
    rotate_token_keys(&server, data_dir.file("token-keys").to_str().unwrap(), &client).await;

    let ((_, url), file, address) = (database().await, KeyFile::with(TOKEN_KEYS), free_address());
    let listen = address.to_string();
    let command = quire(&["serve", "--listen", &listen, "--database-url", &url, "--token-keys-file", file.path()]);
    let mut server = Server { program: Program::start(command), address };
    let client = Client::new(server.connect().await);
    rotate_token_keys(&server, file.path(), &client).await;
}
