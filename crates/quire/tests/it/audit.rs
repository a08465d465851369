//! The audit log of a server: who did what, without secrets, and within bounds.
use std::{collections::BTreeMap, future::Future, os::unix::fs::PermissionsExt, path::Path, process::Output};

use crate::support::{
    Client, KeyFile, Server, admin, database, eventually, free_address, postgres::wait_for_locked, quire, within,
};
use insta::assert_snapshot;
use quire_proto::{
    identity::v1::{
        ApiKey, CreateApiKeyRequest, CreateSessionRequest, Credentials, ListApiKeysRequest, RefreshSessionRequest,
        RevokeApiKeyRequest, RevokeSessionRequest, RevokeSessionsRequest,
        identity_service_client::IdentityServiceClient,
    },
    prompts::v1::ListPromptsRequest,
};
use serde_json::Value;
use sqlx::{ConnectOptions, Executor, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use uuid::Uuid;

/// A user agent that claims to be the end of a line.
const USER_AGENT: &str = r#"evil/1.0 "}\n{"event":"login""#;

/// A server with authentication that audits to a file.
struct Audited {
    server: Server,
    channel: Channel,
    admin_key: String,
    signing_keys: KeyFile,
    directory: TempDir,
    options: PgConnectOptions,
}

impl Audited {
    async fn start(arguments: &[&str]) -> Self {
        let (options, url) = database().await;
        let bootstrap = ["keys", "bootstrap", "--workspace", "acme", "--database-url", &url];
        let admin_key = written(quire(&bootstrap)).await;
        let (signing_keys, directory) = (KeyFile::new(), TempDir::new().unwrap());
        let file = directory.path().join("audit.log");
        let common = ["--signing-keys", signing_keys.path(), "--audit-log", file.to_str().unwrap()];
        let mut server = Server::on_database(&url, &[&common, arguments].concat());
        server.connect().await;
        let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        let channel = endpoint.user_agent(USER_AGENT).unwrap().connect().await.unwrap();
        Self { server, channel, admin_key, signing_keys, directory, options }
    }

    fn identity(&self) -> IdentityServiceClient<Channel> {
        IdentityServiceClient::new(self.channel.clone())
    }

    async fn login(&self, secret: &str) -> Result<Credentials, Status> {
        let request = CreateSessionRequest { secret: secret.to_owned(), scopes: Vec::new() };
        Ok(self.identity().create_session(request).await?.into_inner().credentials.unwrap())
    }

    /// The lines, once the server has stopped.
    async fn lines(&mut self) -> Vec<Value> {
        assert_eq!(self.server.program.stop().await, Some(0));
        lines(&self.text())
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("audit.log")).unwrap()
    }
}

/// Each line as JSON.
fn lines(text: &str) -> Vec<Value> {
    assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn written(mut command: std::process::Command) -> String {
    let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A request with an access token.
fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn code<T>(answer: Result<T, Status>) -> Code {
    answer.err().map_or(Code::Ok, |status| status.code())
}

async fn ok<T>(answer: impl Future<Output = Result<Response<T>, Status>>) -> T {
    answer.await.unwrap().into_inner()
}

fn key(subject: &str, scopes: &[&str]) -> CreateApiKeyRequest {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let api_key = ApiKey { name: "n".to_owned(), subject: subject.to_owned(), scopes, ..Default::default() };
    CreateApiKeyRequest { api_key: Some(api_key), ..Default::default() }
}

/// Replaces each id by the number of its first appearance, and each time by nothing.
fn readable(lines: &[Value]) -> String {
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    let mut numbered = |value: &mut Value| {
        if let Some(text) = value.as_str()
            && Uuid::try_parse(text).is_ok()
        {
            let next = ids.len() + 1;
            *value = format!("id {}", ids.entry(text.to_owned()).or_insert(next)).into();
        }
    };
    let mut readable = Vec::new();
    for line in lines {
        let mut line = line.clone();
        let fields = line.as_object_mut().unwrap();
        assert!(fields.remove("time").is_some_and(|time| time.as_str().unwrap().ends_with('Z')));
        assert_eq!(fields.remove("address").unwrap(), "127.0.0.1");
        assert!(fields.remove("user_agent").unwrap().as_str().unwrap().starts_with(USER_AGENT));
        fields.values_mut().for_each(&mut numbered);
        if let Some(target) = fields.get_mut("target") {
            target.as_object_mut().unwrap().values_mut().for_each(&mut numbered);
        }
        readable.push(line.to_string());
    }
    readable.join("\n")
}

#[tokio::test]
async fn the_log_says_who_did_what() {
    let mut audited = Audited::start(&[]).await;
    let mut identity = audited.identity();
    let admin = audited.login(&audited.admin_key).await.unwrap();
    let refresh = |token: &str| RefreshSessionRequest { refresh_token: token.to_owned() };
    let refreshed = ok(identity.refresh_session(refresh(&admin.refresh_token))).await.credentials.unwrap();
    let token = refreshed.access_token.as_str();

    let subject = "eve\r\n{\"event\":\"login\"}\u{2028}\u{1b}[2J";
    let made = ok(identity.create_api_key(with_token(key(subject, &["prompts:read"]), token))).await;
    let eve = audited.login(&made.secret).await.unwrap();
    let beyond = key("eve", &["no:scope"]);
    assert_eq!(code(identity.create_api_key(with_token(beyond, token)).await), Code::PermissionDenied);
    assert_eq!(
        code(identity.list_api_keys(with_token(ListApiKeysRequest::default(), &eve.access_token)).await),
        Code::PermissionDenied
    );
    let mut prompts = Client::new(audited.channel.clone());
    assert_eq!(code(prompts.list_prompts(ListPromptsRequest::default()).await), Code::Unauthenticated);
    let forged = format!("{}x", eve.access_token);
    assert_eq!(
        code(prompts.list_prompts(with_token(ListPromptsRequest::default(), &forged)).await),
        Code::Unauthenticated
    );
    let list = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut reflection = ServerReflectionClient::new(audited.channel.clone());
    let asked = reflection.server_reflection_info(tokio_stream::once(list)).await;
    assert_eq!(code(asked), Code::Unauthenticated);

    let end = RevokeSessionsRequest { subject: subject.to_owned() };
    ok(identity.revoke_sessions(with_token(end, token))).await;
    let id = made.api_key.unwrap().id;
    ok(identity.revoke_api_key(with_token(RevokeApiKeyRequest { id: id.clone(), ..Default::default() }, token))).await;
    let unknown = RevokeSessionRequest { id: Uuid::from_u128(7).to_string() };
    assert_eq!(code(identity.revoke_session(with_token(unknown, token)).await), Code::NotFound);
    assert_eq!(code(audited.login(&made.secret).await), Code::Unauthenticated);
    assert_eq!(code(audited.login("wrong").await), Code::Unauthenticated);

    let lines = audited.lines().await;
    assert_snapshot!(readable(&lines));
    let text = audited.text();
    let secrets =
        [&audited.admin_key, &made.secret, &admin.refresh_token, &refreshed.refresh_token, &eve.refresh_token];
    let secrets = secrets.map(|secret| secret.splitn(4, '_').last().unwrap().to_owned());
    let tokens = [&admin.access_token, &refreshed.access_token, &eve.access_token, &forged];
    let parts = tokens.iter().flat_map(|token| token.split('.').map(str::to_owned));
    for secret in secrets.into_iter().chain(parts) {
        assert!(secret.len() >= 40 && !text.contains(&secret) && !text.contains(&secret[..20]), "{secret}");
    }
    assert!(!text.contains("PRIVATE KEY") && !audited.signing_keys.pem.is_empty());
    let mode = std::fs::metadata(audited.directory.path().join("audit.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A flood is counted, and everything that has an effect is still logged.
#[tokio::test]
async fn refused_calls_cannot_flood_the_log() {
    const CALLS: usize = 2_000;
    let mut audited = Audited::start(&["--sessions-per-minute", "1000"]).await;
    let wrong = format!("quire-key_acme_{}_{}", Uuid::from_u128(5).simple(), "A".repeat(43));
    let mut prompts = Client::new(audited.channel.clone());
    for _ in 0..CALLS / 2 {
        assert_ne!(code(audited.login(&wrong).await), Code::Ok);
        assert_eq!(code(prompts.list_prompts(ListPromptsRequest::default()).await), Code::Unauthenticated);
    }
    let admin = audited.login(&audited.admin_key).await.unwrap();
    let made =
        ok(audited.identity().create_api_key(with_token(key("eve", &["prompts:read"]), &admin.access_token))).await;
    let eve =
        ok(audited.identity().create_session(CreateSessionRequest { secret: made.secret, scopes: Vec::new() })).await;
    let (session_id, eve) = (eve.session.unwrap().id, eve.credentials.unwrap());
    // One who is known is logged even while others flood the log, and cannot flood it either.
    for _ in 0..100 {
        let request = with_token(key("x", &["no:scope"]), &admin.access_token);
        assert_eq!(code(audited.identity().create_api_key(request).await), Code::PermissionDenied);
    }
    let mut sessions = 2;
    while sessions < 50 {
        audited.login(&audited.admin_key).await.unwrap();
        sessions += 1;
    }
    // A session that ends itself again and again ends only once.
    for _ in 0..100 {
        let request = RevokeSessionRequest { id: session_id.clone() };
        ok(audited.identity().revoke_session(with_token(request, &eve.access_token))).await;
    }
    let lines = audited.lines().await;
    let of = |event: &str, code: &str| {
        let those = lines.iter().filter(|line| line["event"] == event && line["code"] == code);
        those.map(|line| line["suppressed_count"].as_u64().unwrap_or(1)).collect::<Vec<_>>()
    };
    assert_eq!(of("login", "OK").len(), sessions);
    // The key, the end of the session, and five and the sum of those without effect.
    assert_eq!(of("change", "OK").iter().sum::<u64>(), 1 + 100);
    assert_eq!(of("change", "OK").len(), 1 + 1 + 6);
    assert_eq!(of("denial", "PERMISSION_DENIED").iter().sum::<u64>(), 100);
    assert_eq!(of("denial", "PERMISSION_DENIED").len(), 6);
    let refused: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "refusal" || (line["event"] == "login" && line["code"] != "OK"))
        .collect();
    let told: u64 = refused.iter().map(|line| line["suppressed_count"].as_u64().unwrap_or(1)).sum();
    assert_eq!((told, refused.len()), (CALLS as u64, 6));
    // Nor can it flood the ordinary log.
    let log = audited.server.program.stderr();
    assert!(log.lines().count() < 50, "{log}");
}

/// A call that is abandoned may still have its effect.
#[tokio::test]
async fn abandoned_changes_are_logged_with_their_target() {
    let audited = Audited::start(&["--lock-timeout", "1h", "--statement-timeout", "1h"]).await;
    let admin = audited.login(&audited.admin_key).await.unwrap();
    let mut lock: PgConnection = audited.options.connect().await.unwrap();
    lock.execute(sqlx::raw_sql("begin; lock table api_keys in exclusive mode")).await.unwrap();
    let mut identity = audited.identity();
    let request = with_token(key("late", &["prompts:read"]), &admin.access_token);
    let call = tokio::spawn(async move { identity.create_api_key(request).await });
    wait_for_locked(&audited.options, 1).await;
    call.abort();
    let line = eventually("the call was logged", async || lines(&audited.text()).into_iter().nth(1)).await;
    assert_eq!((&line["event"], &line["code"]), (&"change".into(), &"CANCELLED".into()), "{line}");
    assert!(line["target"]["api_key_id"].is_string() && line["target"]["subject"] == "late", "{line}");
}

/// Calls go on, and the metric and the log tell.
#[tokio::test]
async fn a_full_disk_fails_no_call() {
    let (_, url) = database().await;
    let admin = free_address();
    let address = admin.to_string();
    let mut server = Server::on_database(&url, &["--admin-listen", &address, "--audit-log", "/dev/full"]);
    let mut identity = IdentityServiceClient::new(server.connect().await);
    for number in 0..3 {
        ok(identity.create_api_key(key(&format!("s{number}"), &["prompts:read"]))).await;
    }
    eventually("the lines were lost", async || {
        let text = admin::get(admin, "/metrics").1;
        (admin::metric(&text, "audit_lines_lost_total", &[])? >= 3.0).then_some(())
    })
    .await;
    let log = server.program.stderr();
    assert_eq!(log.matches("cannot write the audit log").count(), 1, "{log}");
}

#[tokio::test]
async fn without_a_file_the_lines_are_in_the_log() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let mut identity = IdentityServiceClient::new(server.connect().await);
    ok(identity.create_api_key(key("ada", &["prompts:read"]))).await;
    server.program.stop().await;
    let log = server.program.stderr();
    let line = log.lines().find_map(|line| line.split_once("INFO audit: ")).unwrap().1;
    assert_eq!(lines(line)[0]["target"]["subject"], "ada");
}

#[tokio::test]
async fn a_file_belongs_to_one_server() {
    let audited = Audited::start(&[]).await;
    let (_, url) = database().await;
    let file = audited.directory.path().join("audit.log");
    let mut second = Server::on_database(&url, &["--audit-log", file.to_str().unwrap()]);
    assert_eq!(within("the server ended", second.program.exit_code()).await, Some(1));
    let stderr = second.program.stderr();
    assert!(stderr.ends_with("audit.log: another process writes to it\n"), "{stderr}");
    assert!(!Path::new(&format!("{}.1", file.display())).exists());
}
