//! What one client does with its connections does not hurt the others.
use std::time::Duration;

use crate::support::{
    HealthClient, Server,
    admin::{reached, serve},
    frames::{self, CHECK, Frames, WATCH},
    health, within,
};
use futures_util::{StreamExt, stream};
use quire_proto::{pagination::v1::PageRequest, prompts::v1::ListPromptsRequest};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus::Serving};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

const LIST: &str = "/prompts.v1.PromptService/ListPrompts";
/// A window that does not limit anything.
const WIDE: u32 = i32::MAX as u32;

/// A page of all samples.
fn large_page() -> ListPromptsRequest {
    let page = PageRequest { page_size: 200, ..Default::default() };
    ListPromptsRequest { page: Some(page), ..Default::default() }
}

#[tokio::test]
async fn a_client_that_makes_no_call_is_disconnected_at_every_stage() {
    let (mut server, admin) = serve(&["--connection-timeout", "200ms"]).await;
    let channel = server.connect().await;
    let headers = frames::headers(CHECK);
    let settings = frames::frame(frames::SETTINGS, 0, 0, &[]);
    let unfinished = frames::frame(frames::HEADERS, 0, 1, &headers);
    let stages: [&[&[u8]]; 5] = [
        &[],
        &[&frames::PREFACE[..10]],
        &[frames::PREFACE, &settings],
        &[frames::PREFACE, &settings, &unfinished],
        &[frames::PREFACE, &settings, &unfinished[..20]],
    ];
    for stage in stages {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&stage.concat()).await.unwrap();
        frames::closed(stream).await;
    }
    for begin in ["", "GET /healthz HTTP/1.1\r\nHo"] {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        frames::closed(stream).await;
    }
    assert!(reached(admin, "connection_timeout") >= 7.0);
    assert_eq!(health(&channel, "").await, Serving, "a client with calls stays connected");
}

#[tokio::test]
async fn an_idle_client_is_asked_to_disconnect() {
    let (server, admin) = serve(&["--idle-timeout", "200ms"]).await;
    let mut frames = Frames::connect(server.address, WIDE).await;
    frames.call(1, CHECK, &HealthCheckRequest::default()).await;
    assert!(frames.closed().await.contains(&frames::GOAWAY));
    assert!(reached(admin, "idle_timeout") >= 1.0);

    // A request that never arrives is no call.
    let mut frames = Frames::connect(server.address, WIDE).await;
    frames.call(1, CHECK, &HealthCheckRequest::default()).await;
    frames.send(frames::HEADERS, 0, 3, &frames::headers(CHECK)).await;
    frames.closed().await;

    let mut stream = TcpStream::connect(admin).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET").await.unwrap();
    frames::closed(stream).await;
}

#[tokio::test]
async fn an_old_connection_answers_the_calls_in_flight() {
    let (server, admin) = serve(&["--connection-age", "500ms"]).await;
    let mut frames = Frames::connect(server.address, WIDE).await;
    frames.call(1, WATCH, &HealthCheckRequest::default()).await;
    frames.next_of(frames::GOAWAY).await.expect("the client is asked to disconnect");
    // The client may have made this call before it heard of it.
    frames.call(3, CHECK, &HealthCheckRequest::default()).await;
    while frames.next_of(frames::HEADERS).await.expect("the call is answered").stream != 3 {}
    frames.send(frames::RST_STREAM, 0, 1, &8_u32.to_be_bytes()).await;
    while frames.next_of(frames::PING).await.is_some() {}
    assert!(reached(admin, "connection_age") >= 1.0);
}

#[tokio::test]
async fn streams_have_a_maximum_age() {
    let (mut server, admin) = serve(&["--stream-age", "200ms"]).await;
    let channel = server.connect().await;
    let request = HealthCheckRequest { service: "prompts.v1.PromptService".to_owned() };
    let watch = HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
    let told: Vec<_> = within("the stream ended", watch.collect::<Vec<_>>()).await;
    assert_eq!(told[0].as_ref().unwrap().status(), Serving);
    assert_eq!(told[1].as_ref().unwrap_err().code(), Code::Unavailable);
    assert_eq!(reached(admin, "stream_age"), 1.0);

    let mut reflection = ServerReflectionClient::new(channel.clone());
    let mut answers = reflection.server_reflection_info(stream::pending()).await.unwrap().into_inner();
    let end = within("the stream ended", answers.message()).await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
}

/// A client that takes no answer: the window is 0, or is smaller than the answer.
#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answers_is_disconnected() {
    let (server, admin) = serve(&["--sample", "--stall-timeout", "300ms"]).await;
    for window in [0, 1, 1_000] {
        let mut frames = Frames::connect(server.address, window).await;
        for stream in [1, 3, 5] {
            frames.call(stream, LIST, &large_page()).await;
        }
        frames.closed().await;
    }
    assert!(reached(admin, "stall_timeout") >= 3.0);
}

#[tokio::test]
async fn a_stalled_answer_does_not_end_the_others_of_its_connection() {
    let (server, _) = serve(&["--sample", "--stall-timeout", "2s"]).await;
    let mut frames = Frames::connect(server.address, 0).await;
    frames.call(1, LIST, &large_page()).await;
    let watch = HealthCheckRequest::default();
    frames.call(3, WATCH, &watch).await;
    frames.enlarge(3, 1_000).await;
    for stream in (5..).step_by(2) {
        frames.call(stream, CHECK, &watch).await;
        frames.enlarge(stream, 1_000).await;
        let ended = loop {
            let frame = frames.next().await.expect("the connection stays open");
            assert_ne!(frame.kind, frames::GOAWAY);
            if frame.kind == frames::RST_STREAM {
                break frame.stream == 1;
            }
            if frame.stream == stream && frame.flags & frames::END_STREAM != 0 {
                break false;
            }
        };
        if ended {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A client that does not even read.
#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let (server, admin) = serve(&["--stall-timeout", "300ms"]).await;
    for (place, needs_reply) in
        [frames::frame(frames::PING, 0, 0, &[0; 8]), frames::frame(frames::SETTINGS, 0, 0, &[])].iter().enumerate()
    {
        let mut frames = Frames::connect(server.address, WIDE).await;
        // More replies than the buffers of the sockets hold.
        let many = needs_reply.repeat(1_000);
        let write = async { while frames.0.write_all(&many).await.is_ok() {} };
        within("it was disconnected", write).await;
        assert_eq!(reached(admin, "stall_timeout"), place as f64 + 1.0);
    }
}

/// Errors in frames, to which the server must reply, although nobody reads the replies.
#[tokio::test]
async fn replies_that_nobody_reads_need_little_memory() {
    let (server, admin) = serve(&["--stall-timeout", "3s"]).await;
    let before = memory(&server);
    let mut frames = Frames::connect(server.address, WIDE).await;
    // Data of a stream that has ended is an error. These streams have ended, because a later one has begun.
    frames.call(999_999_999, CHECK, &HealthCheckRequest::default()).await;
    let mut stream = 1;
    let mut write = async || {
        let data = (0..10_000).flat_map(|place| frames::frame(frames::DATA, 0, stream + 2 * place, &[0]));
        let data: Vec<u8> = data.collect();
        stream += 20_000;
        frames.0.write_all(&data).await
    };
    within("it was disconnected", async { while write().await.is_ok() {} }).await;
    let used = memory(&server) - before;
    assert!(used < 64 << 20, "{} MiB", used >> 20);
    assert_eq!(reached(admin, "stall_timeout"), 1.0);
}

/// The most memory that the server has used, in bytes.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

/// Headers that never end.
#[tokio::test]
async fn headers_have_a_maximum_size() {
    let (server, _) = serve(&[]).await;
    let mut frames = Frames::connect(server.address, WIDE).await;
    frames.send(frames::HEADERS, 0, 1, &frames::headers(CHECK)).await;
    let more = frames::frame(frames::CONTINUATION, 0, 1, &frames::headers(CHECK)).repeat(100);
    within("it was disconnected", async { while frames.0.write_all(&more).await.is_ok() {} }).await;
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_their_connection() {
    let (mut server, _) = serve(&[]).await;
    let mut frames = Frames::connect(server.address, WIDE).await;
    let reset = |stream| {
        let headers = frames::frame(frames::HEADERS, frames::END_HEADERS, stream, &frames::headers(CHECK));
        [headers, frames::frame(frames::RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let resets: Vec<u8> = (0..10_000).flat_map(|call| reset(2 * call + 1)).collect();
    // The server may close the connection earlier.
    let _ = frames.0.write_all(&resets).await;
    frames.closed().await;
    assert_eq!(health(&server.connect().await, "").await, Serving);
}
