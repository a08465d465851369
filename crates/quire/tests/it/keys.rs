//! `quire keys`, and the program as a client of a server with authentication.
use std::process::{Command, Output};

use crate::support::{DataDir, KeyFile, Server, database, quire};
use quire_proto::identity::v1::{
    CreateSessionRequest, RefreshSessionRequest, identity_service_client::IdentityServiceClient,
};
use sqlx::ConnectOptions;

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The standard output of a command that must succeed.
async fn written(command: Command) -> String {
    let output = run(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The last line of standard error of a command that must fail.
async fn refusal(command: Command) -> String {
    let output = run(command).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    stderr.lines().last().unwrap().strip_prefix("quire: ").unwrap().to_owned()
}

/// A command that calls a server with an API key.
fn call(server: &Server, secret: &str, arguments: &[&str]) -> Command {
    let mut command = quire(arguments);
    command.env("QUIRE_SERVER", format!("http://{}", server.address)).env("QUIRE_API_KEY", secret);
    command
}

/// The first key of a workspace.
async fn bootstrap(url: &str, workspace: &str) -> String {
    written(quire(&["keys", "bootstrap", "--workspace", workspace, "--database-url", url])).await
}

#[tokio::test]
async fn keys_are_bootstrapped_created_listed_and_revoked() {
    let (_, url) = database().await;
    // The database has no schema yet.
    let admin = bootstrap(&url, "acme").await;
    let keys = KeyFile::new();
    let mut server = Server::on_database(&url, &["--signing-keys", keys.path()]);
    server.connect().await;

    let create = ["keys", "create", "--name", "import", "--subject", "ci", "--scopes", "prompts:write,prompts:read"];
    let importer = written(call(&server, &admin, &create)).await;
    assert!(importer.starts_with("quire-key_acme_"), "{importer}");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../prompts/samples/prompts.ndjson");
    assert!(run(call(&server, &importer, &["prompts", "import", file])).await.status.success());
    let memories = concat!(env!("CARGO_MANIFEST_DIR"), "/../memory/samples/memories.ndjson");
    let denied = run(call(&server, &importer, &["memories", "import", memories])).await;
    let stderr = String::from_utf8(denied.stderr).unwrap();
    assert!(stderr.contains("the scope memory:write is required"), "{stderr}");

    // No key creates a key with more scopes.
    let create = ["keys", "create", "--name", "x", "--subject", "x", "--scopes", "identity:write,prompts:read"];
    let maker = written(call(&server, &admin, &create)).await;
    let create = ["keys", "create", "--name", "y", "--subject", "y", "--scopes", "prompts:write"];
    assert_eq!(
        refusal(call(&server, &maker, &create)).await,
        "the server refused the call: the scope prompts:write is required"
    );

    let list = ["keys", "list", "-o", "ndjson"];
    let keys = async || -> Vec<serde_json::Value> {
        let rows = written(call(&server, &admin, &list)).await;
        rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let listed = keys().await;
    assert_eq!(listed.iter().map(|key| &key["name"]).collect::<Vec<_>>(), ["x", "import", "bootstrap"]);
    let list = written(call(&server, &admin, &["keys", "list", "-o", "wide"])).await;
    assert!(!list.contains(importer.splitn(4, '_').nth(3).unwrap()), "no secret is listed");

    let importer_id = listed[1]["id"].as_str().unwrap();
    assert!(listed[1].get("revoke_time").is_none());
    let revoked = run(call(&server, &admin, &["keys", "revoke", importer_id])).await;
    assert_eq!(
        String::from_utf8(revoked.stderr).unwrap(),
        format!("revoked the api key {importer_id}: revoked_key_count 1, revoked_session_count 0\n")
    );
    assert!(keys().await[1]["revoke_time"].is_string());
    let expected = "cannot create a session: the server does not accept the API key";
    assert_eq!(refusal(call(&server, &importer, &["prompts", "import", file])).await, expected);
    assert_eq!(refusal(call(&server, "x", &["keys", "list"])).await, expected);
    let expected = "the server requires a valid API key: set QUIRE_API_KEY";
    for command in [["keys", "list"], ["prompts", "list"]] {
        assert_eq!(refusal(call(&server, "", &command)).await, expected);
    }
}

#[tokio::test]
async fn bootstrap_works_whether_or_not_the_private_postgres_runs() {
    let data_dir = DataDir::with_long_path();
    let path = data_dir.path().display().to_string();
    let bootstrap = |workspace: &str| quire(&["keys", "bootstrap", "--data-dir", &path, "--workspace", workspace]);
    let before = written(bootstrap("acme")).await;
    assert!(!data_dir.is_in_use());
    let keys = KeyFile::new();
    let mut server = Server::on_data_dir(&data_dir, &["--signing-keys", keys.path()]);
    server.connect().await;
    let meanwhile = written(bootstrap("other")).await;
    for secret in [before, meanwhile] {
        let list = written(call(&server, &secret, &["keys", "list"])).await;
        assert_eq!(list.lines().count(), 2, "a key sees its own workspace: {list}");
    }
    assert_eq!(server.program.stop().await, Some(0));
}

#[tokio::test]
async fn an_expiry_that_is_out_of_range_is_refused() {
    let arguments =
        ["keys", "create", "--name", "x", "--subject", "x", "--scopes", "x", "--expire-in", "500000000000y"];
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    server.connect().await;
    let mut command = quire(&arguments);
    command.env("QUIRE_SERVER", format!("http://{}", server.address));
    assert_eq!(refusal(command).await, "--expire-in is too far in the future");
}

/// Even the most verbose log contains neither an API key nor a token that was created with it.
#[tokio::test]
async fn no_secret_is_logged() {
    let (options, url) = database().await;
    let (admin, keys) = (bootstrap(&url, "acme").await, KeyFile::new());
    let mut server = Server::on_database(&url, &["--signing-keys", keys.path(), "--log", "trace"]);
    let channel = server.connect().await;
    let mut client = IdentityServiceClient::new(channel);
    let request = CreateSessionRequest { secret: admin.clone(), scopes: Vec::new() };
    let first = client.create_session(request).await.unwrap().into_inner().credentials.unwrap();
    let request = RefreshSessionRequest { refresh_token: first.refresh_token.clone() };
    client.refresh_session(request.clone()).await.unwrap();
    let later = "update refresh_uses set use_time = use_time - interval '1 minute'";
    sqlx::query(later).execute(&mut options.connect().await.unwrap()).await.unwrap();
    client.refresh_session(request).await.unwrap_err();
    assert_eq!(server.program.stop().await, Some(0));
    let log = server.program.stderr();
    assert!(log.contains("TRACE") && log.contains("REFRESH_TOKEN_REUSED"), "it logs a lot");
    let secret = |text: &str| text.splitn(4, '_').nth(3).unwrap().to_owned();
    let signature = first.access_token.rsplit('.').next().unwrap().to_owned();
    for secret in [secret(&admin), secret(&first.refresh_token), signature] {
        assert!(!log.contains(&secret));
    }
}

#[tokio::test]
async fn an_invalid_workspace_is_refused() {
    let (_, url) = database().await;
    let output = run(quire(&["keys", "bootstrap", "--workspace", "Acme", "--database-url", &url])).await;
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "quire: the workspace is not valid: it must have 1 to 63 of a-z, 0-9 and -\n");
}
