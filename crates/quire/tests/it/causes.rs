//! Messages about connections and files name the cause.
use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::Command,
};

use nix::sys::signal::Signal;
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};

use crate::support::{
    KeyFile, Server,
    admin::{get, metric},
    authority::{Authority, import_from, listens, refusal},
    database, eventually, free_address, quire, write_secret,
};
use platform::testing::TOKEN_KEYS;

/// Checks what a client says about a server.
async fn says(server: &str, arguments: &[&str], cause: &str) {
    let message = refusal(import_from(server, arguments)).await;
    let expected = format!("quire: cannot reach a server at {server}: {cause}");
    assert!(message.starts_with(&expected), "{arguments:?}\n{message}\n{expected}");
}

/// A server that uses TLS, with these arguments besides.
async fn server(authority: &Authority, arguments: &[&str]) -> Server {
    let (_, url) = database().await;
    authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    let [pem, key] = ["server.pem", "server.key"].map(|name| authority.file(name));
    let mut server = Server::on_database(&url, &[&["--tls-cert", &pem, "--tls-key", &key], arguments].concat());
    listens(&mut server).await;
    server
}

/// Replaces the certificate of a server.
async fn reload(server: &Server) {
    let reloads = || server.program.stderr().matches("reloaded the certificates").count();
    let before = reloads();
    server.program.signal(Signal::SIGHUP);
    eventually("the server reloaded", async || (reloads() > before).then_some(())).await;
}

#[tokio::test]
async fn a_client_says_why_it_cannot_reach_a_server() {
    let (authority, admin) = (Authority::called("a"), free_address());
    let [stranger, namesake] = ["b", "a"].map(Authority::called);
    let mut server = server(&authority, &["--admin-listen", &admin.to_string()]).await;
    let (plain, secure) = (format!("http://{}", server.address), format!("https://{}", server.address));
    let [ca, stranger, namesake] = [&authority, &stranger, &namesake].map(|authority| authority.file("ca.pem"));
    let untrusted = "no authority that is trusted here has signed its certificate: name its authority with --tls-ca";
    says(&secure, &["--tls-ca", &stranger], untrusted).await;
    says(&secure, &["--tls-ca", &namesake], untrusted).await;
    says(&plain, &[], "it uses TLS: write its address with https://").await;
    eventually("the server logged it", async || {
        server.program.stderr().contains("a client does not use TLS").then_some(())
    })
    .await;
    says(&format!("http://{admin}"), &[], "it does not speak gRPC (").await;
    says(&format!("https://{admin}"), &["--tls-ca", &ca], "it does not use TLS: write its address with http://").await;
    let secure_admin = free_address();
    let arguments = ["--admin-listen", &secure_admin.to_string(), "--admin-tls"];
    let _other = self::server(&authority, &arguments).await;
    let not_grpc = "it does not speak gRPC (is it an admin port?)";
    says(&format!("https://{secure_admin}"), &["--tls-ca", &ca], not_grpc).await;
    says(&format!("http://{}", free_address()), &[], "start it, or name another with --server (").await;
    says("https://host.invalid:50051", &["--tls-ca", &ca], "the host host.invalid is not known (").await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    says(&format!("http://{}", silent.local_addr().unwrap()), &[], "it does not answer").await;

    authority.sign_for("server", "elsewhere.example", |_| {});
    reload(&server).await;
    let name = "its certificate is not for 127.0.0.1, but for: elsewhere.example";
    says(&secure, &["--tls-ca", &ca], name).await;
    authority.sign_for("server", "127.0.0.1", |params| params.not_before = date_time_ymd(3000, 1, 1));
    reload(&server).await;
    says(&secure, &["--tls-ca", &ca], "its certificate is not valid before 3000-01-01T00:00:00Z").await;
    assert!(server.program.stderr().contains("a certificate is not valid yet"), "{}", server.program.stderr());
    authority.sign_for("server", "127.0.0.1", |params| params.not_after = date_time_ymd(2020, 1, 1));
    reload(&server).await;
    says(&secure, &["--tls-ca", &ca], "its certificate has expired at 2020-01-01T00:00:00Z").await;
    assert!(server.program.stderr().contains("a certificate has expired"), "{}", server.program.stderr());
    let expire_time = metric(&get(admin, "/metrics").1, "tls_certificate_expire_time_seconds", &[]);
    assert_eq!(expire_time, Some(1_577_836_800.0));
    assert_eq!(server.program.stop().await, Some(0));
}

#[tokio::test]
async fn a_client_says_why_its_certificate_is_refused() {
    let (authority, clients, stranger) = (Authority::called("a"), Authority::called("b"), Authority::called("b"));
    authority.sign("client", ExtendedKeyUsagePurpose::ClientAuth);
    stranger.sign("client", ExtendedKeyUsagePurpose::ClientAuth);
    clients.sign_for("client", "127.0.0.1", |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let server = server(&authority, &["--tls-client-ca", &clients.file("ca.pem")]).await;
    let (secure, ca) = (format!("https://{}", server.address), authority.file("ca.pem"));
    let required = "it requires a certificate: name one with --tls-cert and --tls-key";
    says(&secure, &["--tls-ca", &ca], required).await;
    for (of, alert) in [(&stranger, "DecryptError"), (&authority, "UnknownCA"), (&clients, "CertificateExpired")] {
        let [pem, key] = ["client.pem", "client.key"].map(|name| of.file(name));
        let refused = format!("it refuses the certificate of --tls-cert ({alert})");
        says(&secure, &["--tls-ca", &ca, "--tls-cert", &pem, "--tls-key", &key], &refused).await;
    }
}

/// The error of a command that must fail, after `quire: `.
fn error(mut command: Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    stderr.trim_end().strip_prefix("quire: ").unwrap().to_owned()
}

fn serve(arguments: &[&str]) -> Command {
    let mut command = quire(&["serve", "--listen", &free_address().to_string()]);
    command.args(arguments);
    command
}

#[test]
fn a_bad_tls_file_is_named_with_the_cause() {
    let authority = Authority::new();
    for name in ["one", "two"] {
        authority.sign(name, ExtendedKeyUsagePurpose::ServerAuth);
    }
    let texts = ["one.pem", "one.key"].map(|name| fs::read_to_string(authority.file(name)).unwrap());
    let encrypted = texts[1].replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let half = &texts[0][..texts[0].len() / 2];
    let garbage = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    for (name, text) in [("empty", ""), ("encrypted", &encrypted), ("half", half), ("garbage", garbage)] {
        write_secret(authority.file(name), text);
    }
    fs::write(authority.file("one.der"), pem::parse(&texts[0]).unwrap().contents()).unwrap();
    fs::create_dir(authority.file("folder")).unwrap();
    let mismatch = format!("is not the key of the certificate in {}", authority.file("one.pem"));
    let encrypted = "has an encrypted key: decrypt it with `openssl pkey`";
    let garbage = "has a certificate that is not valid X.509, at place 1";
    for (certificate, key, is_bad, cause) in [
        ("one.key", "one.key", "one.key", "has no CERTIFICATE, but: PRIVATE KEY"),
        ("empty", "one.key", "empty", "has no PEM block"),
        ("half", "one.key", "half", "is not complete PEM"),
        ("garbage", "one.key", "garbage", garbage),
        ("missing", "one.key", "missing", "No such file or directory"),
        ("one.pem", "encrypted", "encrypted", encrypted),
        ("one.pem", "two.key", "two.key", &mismatch),
        ("one.pem", "empty", "empty", "has no PEM block"),
        ("one.der", "one.key", "one.der", "it is not a text file, such as PEM"),
        ("one.pem", "folder", "folder", "Is a directory"),
    ] {
        let [certificate, key, bad] = [certificate, key, is_bad].map(|name| authority.file(name));
        let files = ["--tls-cert", &certificate, "--tls-key", &key];
        let client =
            import_from("https://127.0.0.1:1", &[&files[..], &["--tls-ca", &authority.file("ca.pem")]].concat());
        for message in [error(serve(&files)), error(client)] {
            assert!(message.contains(&bad) && message.contains(cause), "{certificate} {key}: {message}");
        }
    }
    let [pem, key] = ["one.pem", "one.key"].map(|name| authority.file(name));
    for (ca, cause) in [("one.key", "has no CERTIFICATE, but: PRIVATE KEY"), ("garbage", garbage)] {
        let ca = authority.file(ca);
        let server = serve(&["--tls-cert", &pem, "--tls-key", &key, "--tls-client-ca", &ca]);
        for message in [error(server), error(import_from("https://127.0.0.1:1", &["--tls-ca", &ca]))] {
            assert_eq!(message, format!("{ca} {cause}"));
        }
    }
}

#[test]
fn secrets_that_others_can_read_are_refused() {
    let (authority, keys, tokens) = (Authority::new(), KeyFile::new(), KeyFile::with(TOKEN_KEYS));
    authority.sign("one", ExtendedKeyUsagePurpose::ServerAuth);
    let [ca, pem, key] = ["ca.pem", "one.pem", "one.key"].map(|name| authority.file(name));
    let public = KeyFile::with(&keys.public());
    // A bad URL follows, so that a command whose files are accepted ends too.
    let refused_later = ["--database-url", "nothing"];
    let is_root = nix::unistd::geteuid().is_root();
    for (mode, is_accepted) in [
        (0o600, true),
        (0o400, true),
        (0o640, is_root),
        (0o440, is_root),
        (0o604, false),
        (0o644, false),
        (0o660, false),
    ] {
        for path in [key.as_str(), keys.path(), tokens.path(), public.path()] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let wanted = if is_root { "0640" } else { "0600" };
        let refusal = |path: &str| {
            format!("others can read {path}, which is secret (its mode is {mode:04o}): run `chmod {wanted} {path}`")
        };
        let client = import_from("https://127.0.0.1:1", &["--tls-ca", &ca, "--tls-cert", &pem, "--tls-key", &key]);
        for (path, message) in [
            (key.as_str(), error(serve(&[&["--tls-cert", &pem, "--tls-key", &key], &refused_later[..]].concat()))),
            (keys.path(), error(serve(&[&["--signing-keys", keys.path()], &refused_later[..]].concat()))),
            (tokens.path(), error(serve(&[&["--token-keys-file", tokens.path()], &refused_later[..]].concat()))),
            (&key, error(client)),
        ] {
            assert_eq!(message != refusal(path), is_accepted, "{mode:o}: {message}");
        }
        let message = error(serve(&[&["--signing-keys", public.path()], &refused_later[..]].concat()));
        assert!(!message.contains("others can read"), "public keys are no secret: {message}");
    }
}
