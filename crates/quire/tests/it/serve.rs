//! `quire serve` and `quire migrate`: normal operation and shutdown.
use std::{collections::BTreeSet, fs, net::TcpStream, os::unix::fs::PermissionsExt};

use crate::support::{
    Client, DataDir, HealthClient, Server, database, eventually, health, list, make, names, postgres::hold_up_writes,
    quire, within,
};
use futures_util::stream;
use nix::sys::signal::Signal;
use quire_proto::prompts::v1::GetPromptRequest;
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

const SERVICE: &str = "prompts.v1.PromptService";

#[tokio::test]
async fn a_data_directory_survives_a_restart() {
    let data_dir = DataDir::new();
    let mut server = Server::on_data_dir(&data_dir, &["--sample"]);
    let client = server.client().await;
    let samples = names(&client).await;
    assert_eq!(samples.iter().collect::<BTreeSet<_>>().len(), 40);
    let (_, first_page) = list(&client, "").await.unwrap();
    let second_page = list(&client, &first_page.next_page_token).await.unwrap();

    let keys = fs::read_to_string(data_dir.file("token-keys")).unwrap();
    assert_eq!(fs::metadata(data_dir.file("token-keys")).unwrap().permissions().mode() & 0o7777, 0o600);
    // The sixth line is the first TCP address that Postgres listens on.
    let postgres = fs::read_to_string(data_dir.file("postgres/postmaster.pid")).unwrap();
    assert_eq!(postgres.lines().nth(5), Some(""), "{postgres}");

    assert!(data_dir.is_in_use());
    assert_eq!(server.program.stop().await, Some(0));
    assert!(!data_dir.is_in_use());
    // Postgres was shut down, not killed.
    assert!(!data_dir.file("postgres/postmaster.pid").exists());

    let mut server = Server::on_data_dir(&data_dir, &["--sample"]);
    let client = server.client().await;
    assert_eq!(names(&client).await, samples);
    // A token from before the restart is valid. Each token has a new nonce, so the tokens are not compared.
    let (names, page) = list(&client, &first_page.next_page_token).await.unwrap();
    assert_eq!((names, page.total_count), (second_page.0, second_page.1.total_count));
    assert_eq!(fs::read_to_string(data_dir.file("token-keys")).unwrap(), keys);
}

/// Some servers of a fleet write the previous version of tokens, as during an upgrade or a rollback.
#[tokio::test]
async fn a_walk_continues_at_servers_that_write_other_versions_of_tokens() {
    let (_, url) = database().await;
    let mut servers = [
        Server::on_database(&url, &["--token-version", "2", "--sample"]),
        Server::on_database(&url, &["--token-version", "3"]),
        Server::on_database(&url, &[]),
    ];
    let mut clients = Vec::new();
    for server in &mut servers {
        clients.push(server.client().await);
    }
    let expected = names(&clients[0]).await;
    let (mut walked, mut token, mut versions) = (Vec::new(), String::new(), BTreeSet::new());
    for client in clients.iter().cycle() {
        let (names, page) = list(client, &token).await.unwrap();
        walked.extend(names);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        versions.insert(token[..2].to_owned());
    }
    assert_eq!((walked, expected.len()), (expected, 40));
    // The version and the length of the key's id, in base64url.
    assert_eq!(versions.iter().collect::<Vec<_>>(), ["Ag", "Aw"]);
}

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    let data_dir = DataDir::new();
    let mut server = Server::on_data_dir(&data_dir, &[]);
    let client = server.client().await;
    assert!(names(&client).await.is_empty(), "samples are loaded only if requested");
    let id = make(&client, "kept").await.unwrap();
    server.program.kill();

    let mut server = Server::on_data_dir(&data_dir, &[]);
    let answer = server.client().await.get_prompt(GetPromptRequest { id }).await.unwrap();
    assert_eq!(answer.into_inner().prompt.unwrap().name, "kept");
}

#[tokio::test]
async fn a_server_can_be_stopped_while_it_starts() {
    let data_dir = DataDir::new();
    let mut server = Server::on_data_dir(&data_dir, &[]);
    // The log is created just before the database.
    eventually("Postgres was about to start", async || data_dir.file("postgres.log").exists().then_some(())).await;
    assert_eq!(server.program.stop().await, Some(0));
    assert!(!data_dir.is_in_use());

    let mut server = Server::on_data_dir(&data_dir, &[]);
    server.connect().await;
}

#[tokio::test]
async fn the_service_is_healthy() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let channel = server.connect().await;
    assert_eq!(health(&channel, SERVICE).await, ServingStatus::Serving);
    server.program.signal(Signal::SIGINT);
    assert_eq!(server.program.exit_code().await, Some(0));
}

/// The answers of one version of the reflection service: the services that it lists, and the number of files that
/// describe the prompt service.
macro_rules! reflection {
    ($version:ident, $channel:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let ask = [MessageRequest::ListServices(String::new()), MessageRequest::FileContainingSymbol(SERVICE.into())]
            .map(|ask| ServerReflectionRequest { host: String::new(), message_request: Some(ask) });
        let mut client = ServerReflectionClient::new($channel.clone());
        let mut answers = client.server_reflection_info(stream::iter(ask)).await.unwrap().into_inner();
        let mut answer = async || answers.message().await.unwrap().unwrap().message_response.unwrap();
        let MessageResponse::ListServicesResponse(services) = answer().await else { panic!("no list") };
        let MessageResponse::FileDescriptorResponse(files) = answer().await else { panic!("no file") };
        let services: BTreeSet<_> = services.service.into_iter().map(|service| service.name).collect();
        (services, files.file_descriptor_proto.len())
    }};
}

#[tokio::test]
async fn reflection_describes_the_service_in_both_versions() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let channel = server.connect().await;
    for (services, files) in [reflection!(v1, channel), reflection!(v1alpha, channel)] {
        assert!(services.contains(SERVICE), "{services:?}");
        assert!(services.contains("grpc.health.v1.Health"), "{services:?}");
        assert_eq!(files, 1);
    }
}

#[tokio::test]
async fn servers_that_start_concurrently_share_a_database() {
    let (_, url) = database().await;
    let mut servers = [(); 3].map(|()| Server::on_database(&url, &["--sample"]));
    let mut clients = Vec::new();
    for server in &mut servers {
        clients.push(server.client().await);
    }
    let samples = names(&clients[0]).await;
    assert_eq!(samples.len(), 40);
    let (_, page) = list(&clients[0], "").await.unwrap();
    for client in &clients[1..] {
        assert_eq!(names(client).await, samples);
        let (names, _) = list(client, &page.next_page_token).await.unwrap();
        assert_eq!(names, samples[15..30]);
    }
}

/// Waits until this many calls wait to write prompts.
async fn wait_until_held_up(database: &PgConnectOptions, calls: i64) {
    let mut connection: PgConnection = database.connect().await.unwrap();
    let sql = "select count(*) from pg_locks where not granted and relation = 'prompts'::regclass";
    eventually("the calls waited for the lock", async || {
        let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        (waiting == calls).then_some(())
    })
    .await;
}

#[tokio::test]
async fn three_servers_that_load_samples_concurrently_load_them_once() {
    let (database, url) = database().await;
    database::migrate(&database).await.unwrap();
    let lock = hold_up_writes(&database).await;
    let mut servers = [(); 3].map(|()| Server::on_database(&url, &["--sample"]));
    // Each server has seen that no prompts exist yet.
    wait_until_held_up(&database, 3).await;
    drop(lock);
    for server in &mut servers {
        assert_eq!(names(&server.client().await).await.len(), 40);
    }
}

#[tokio::test]
async fn a_call_in_flight_is_finished_before_the_end() {
    let (database, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let channel = server.connect().await;
    let mut watch = HealthClient::new(channel.clone());
    let mut watch = watch.watch(HealthCheckRequest { service: SERVICE.into() }).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let lock = hold_up_writes(&database).await;
    let client = Client::new(channel);
    let call = tokio::spawn(async move { make(&client, "slow").await });
    wait_until_held_up(&database, 1).await;
    server.program.signal(Signal::SIGTERM);
    let told = within("health told", watch.message()).await;
    assert_eq!(told.unwrap().unwrap().status(), ServingStatus::NotServing);
    drop(watch);
    let address = server.address;
    eventually("new connections were refused", async || TcpStream::connect(address).is_err().then_some(())).await;
    assert!(server.program.is_running() && !call.is_finished());

    drop(lock);
    within("the call was answered", call).await.unwrap().unwrap();
    assert_eq!(server.program.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_call_that_takes_too_long_does_not_prevent_the_end() {
    let (database, url) = database().await;
    let mut server = Server::on_database(&url, &["--drain-timeout", "1s"]);
    let client = server.client().await;
    let _lock = hold_up_writes(&database).await;
    let call = tokio::spawn(async move { make(&client, "stuck").await });
    wait_until_held_up(&database, 1).await;
    assert_eq!(server.program.stop().await, Some(0));
    within("the call failed", call).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_database_is_migrated_once() {
    let (database, url) = database().await;
    let migrations = async || {
        let output = quire(&["migrate", "--database-url", &url]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut connection: PgConnection = database.connect().await.unwrap();
        let sql = "select version, installed_on::text from _sqlx_migrations order by version";
        sqlx::query_as::<_, (i64, String)>(sql).fetch_all(&mut connection).await.unwrap()
    };
    let first = migrations().await;
    assert!(!first.is_empty());
    assert_eq!(migrations().await, first);
    // The schema is the one that the server needs.
    let mut server = Server::on_database(&url, &[]);
    make(&server.client().await, "any").await.unwrap();
}
