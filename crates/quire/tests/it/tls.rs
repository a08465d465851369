//! TLS and mutual TLS, from files.
use crate::support::{
    KeyFile, Server,
    authority::{Authority, connect, import, import_from, listens, refusal, shake_hands, succeeds},
    database,
    frames::{self, Frames},
    free_address, quire, raw,
};
use quire_proto::identity::v1::{CreateSessionRequest, identity_service_client::IdentityServiceClient};
use rcgen::ExtendedKeyUsagePurpose;
use std::process::Command;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Code, codegen::http::Uri};

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
    assert_eq!(
        refused,
        format!("quire: cannot reach a server at {plain}: it uses TLS: write its address with https://")
    );
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

#[tokio::test]
async fn the_admin_port_uses_tls_and_requires_no_certificate() {
    let (_, url) = database().await;
    let (authority, admin) = (Authority::new(), free_address());
    authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    let [pem, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| authority.file(name));
    let admin_text = admin.to_string();
    let arguments = ["--admin-listen", &admin_text, "--admin-tls", "--tls-cert", &pem, "--tls-key", &key];
    let mut server = Server::on_database(&url, &[&arguments[..], &["--tls-client-ca", &ca]].concat());
    listens(&mut server).await;
    let mut stream = authority.shake_hands(b"http/1.1", admin).await;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
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
