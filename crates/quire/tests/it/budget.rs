//! The memory that calls in flight hold.
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use quire_proto::prompts::v1::{CreatePromptVersionRequest, ListPromptVersionsRequest, PromptVersion};
use sqlx::{ConnectOptions, Executor, PgConnection};
use tokio::{net::TcpStream, task::JoinSet};
use tonic::{Code, Status, body::Body, codegen::http};

use crate::support::{
    Client, Server, admin::get, database, eventually, free_address, in_workspace, make, named, within,
};

/// A version of about this size.
fn version(prompt_id: &str, content: char, bytes: usize) -> CreatePromptVersionRequest {
    let content = content.to_string().repeat(bytes);
    let version = PromptVersion { prompt_id: prompt_id.to_owned(), content, ..Default::default() };
    CreatePromptVersionRequest { version: Some(version) }
}

fn reached(address: SocketAddr, limit: &str) -> bool {
    get(address, "/metrics").1.contains(&format!("limits_reached_total{{limit=\"{limit}\"}}"))
}

#[tokio::test]
async fn messages_that_take_too_much_are_refused() {
    let (_, url) = database().await;
    let admin = free_address();
    let arguments = ["--tenant-memory", "1", "--admin-listen", &admin.to_string()];
    let mut server = Server::on_database(&url, &arguments);
    let channel = server.connect().await;
    let mut client = Client::new(channel.clone());
    let id = make(&client, "any").await.unwrap();
    assert_too_much(&client.create_prompt_version(version(&id, 'a', 1 << 20)).await.unwrap_err());
    assert!(reached(admin, "tenant_memory"));
    // What was refused is not held any more, and the other workspaces never were.
    client.create_prompt_version(version(&id, 'a', 900 << 10)).await.unwrap();
    in_workspace(&channel, "other").create_prompt(named("any")).await.unwrap();
}

#[tokio::test]
async fn calls_that_wait_are_bounded() {
    let (options, url) = database().await;
    let mut server = Server::on_database(&url, &["--tenant-memory", "1", "--lock-timeout", "1h"]);
    let channel = server.connect().await;
    let client = Client::new(channel.clone());
    let id = make(&client, "any").await.unwrap();
    let mut lock: PgConnection = options.connect().await.unwrap();
    lock.execute(sqlx::raw_sql("begin; select from prompts for update")).await.unwrap();
    let mut adding: JoinSet<_> = (0..80)
        .map(|_| {
            let (mut client, version) = (client.clone(), version(&id, 'a', 1));
            async move { client.create_prompt_version(version).await }
        })
        .collect();
    // Before a caller of this workspace is refused because it has waited too long for a connection.
    assert_too_much(&within("one was refused", adding.join_next()).await.unwrap().unwrap().unwrap_err());
    in_workspace(&channel, "other").create_prompt(named("any")).await.unwrap();
}

#[tokio::test]
async fn answers_that_nobody_reads_are_bounded() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &["--connection-memory", "3"]);
    let mut client = Client::new(server.connect().await);
    let id = make(&client, "any").await.unwrap();
    client.create_prompt_version(version(&id, 'a', 1 << 20)).await.unwrap();
    let mut reader = Reader::connect(server.address).await;
    let mut unread = Vec::new();
    let refused = loop {
        let answer = reader.list_versions(&id).await;
        if let Some(status) = Status::from_header_map(answer.headers()) {
            break status;
        }
        unread.push(answer);
        assert!(unread.len() < 20, "none was refused");
    };
    assert_too_much(&refused);
    // Other connections are served, and this one again when its answers were read.
    client.create_prompt_version(version(&id, 'b', 1 << 20)).await.unwrap();
    drop(unread);
    eventually("it was served", async || {
        Status::from_header_map(reader.list_versions(&id).await.headers()).is_none().then_some(())
    })
    .await;
}

fn assert_too_much(status: &Status) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().starts_with("too many bytes are in flight"), "{status:?}");
}

/// A connection whose answers are not read.
struct Reader(http2::SendRequest<Body>);

impl Reader {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn list_versions(&mut self, prompt_id: &str) -> http::Response<Incoming> {
        let request = ListPromptVersionsRequest { prompt_id: prompt_id.to_owned(), ..Default::default() };
        let message = request.encode_to_vec();
        let frame = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
        let request = http::Request::post("/prompts.v1.PromptService/ListPromptVersions")
            .header("content-type", "application/grpc")
            .body(Body::new(Full::new(frame.into())));
        self.0.send_request(request.unwrap()).await.unwrap()
    }
}
