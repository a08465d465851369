//! What callers do to hurt others. Each attack runs until it is aborted.

use std::{
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use http_body_util::StreamBody;
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use quire_proto::{
    identity::v1::CreateSessionRequest,
    jobs::v1::{AppendJobEventsRequest, JobEvent, JobEventKind, ListJobsRequest},
    memory::v1::RecallMemoriesRequest,
    meter::v1::SummarizeUsageRequest,
    pagination::v1::{PageRequest, TotalCount},
    prompts::v1::{GetPromptRequest, ListPromptVersionsRequest, Prompt, UpdatePromptRequest},
};
use tokio::net::TcpStream;
use tonic::codegen::http;

use crate::{load::JOB, server::Target};

pub type Attack = fn(Target) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// All attacks, in order.
pub const ATTACKS: &[(&str, Attack)] = &[
    ("recall", |target| Box::pin(callers(target, 16, RECALL, recall))),
    ("summarize", |target| Box::pin(callers(target, 16, SUMMARIZE, summarize))),
    ("totals", |target| Box::pin(callers(target, 16, LIST_JOBS, totals))),
    ("events", |target| Box::pin(callers(target, 16, APPEND, events))),
    ("one record", |target| Box::pin(callers(target, 100, UPDATE, update))),
    ("empty elements", |target| Box::pin(callers(target, 4, APPEND, |_| [0x0a, 0].repeat((8 << 20) - 8)))),
    ("long messages", |target| Box::pin(callers(target, 100, GET, |_| long_message()))),
    ("unread answers", |target| Box::pin(unread_answers(target))),
    ("half messages", |target| Box::pin(half_messages(target))),
    ("reflection streams", |target| Box::pin(open_streams(target, REFLECTION))),
    ("health streams", |target| Box::pin(open_streams(target, WATCH))),
    ("silent connections", |target| Box::pin(silent(target, Vec::new()))),
    ("idle connections", |target| Box::pin(silent(target, PREFACE.concat()))),
    ("forged secrets", |target| Box::pin(callers(target, 64, CREATE_SESSION, forged))),
];

const RECALL: &str = "/memory.v1.MemoryService/RecallMemories";
const SUMMARIZE: &str = "/meter.v1.MeterService/SummarizeUsage";
const LIST_JOBS: &str = "/jobs.v1.JobService/ListJobs";
const APPEND: &str = "/jobs.v1.JobService/AppendJobEvents";
const UPDATE: &str = "/prompts.v1.PromptService/UpdatePrompt";
const GET: &str = "/prompts.v1.PromptService/GetPrompt";
const LIST_VERSIONS: &str = "/prompts.v1.PromptService/ListPromptVersions";
const CREATE_SESSION: &str = "/identity.v1.IdentityService/CreateSession";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The beginning of an HTTP/2 connection: the preface and empty settings (RFC 9113, section 3.4).
const PREFACE: [&[u8]; 2] = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0, 0, 0, 4, 0, 0, 0, 0, 0]];
const LARGE_PROMPT: &str = "01890000-0000-7000-8000-000000000002";

/// How many events were sent.
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// Nothing: for the victim alone.
pub fn nothing(_: Target) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(std::future::pending())
}

fn recall(_: usize) -> Vec<u8> {
    let query =
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda omicron sigma tau upsilon omega".to_owned();
    RecallMemoriesRequest { query, ..Default::default() }.encode_to_vec()
}

fn summarize(_: usize) -> Vec<u8> {
    let [start_time, end_time] = [0, 4_000_000_000].map(|seconds| Some(prost_types::Timestamp { seconds, nanos: 0 }));
    SummarizeUsageRequest { start_time, end_time, group_by: (1..=7).collect(), ..Default::default() }.encode_to_vec()
}

fn totals(call: usize) -> Vec<u8> {
    let total = [TotalCount::Exact, TotalCount::Capped, TotalCount::Estimated][call % 3];
    let page = Some(PageRequest { total_count: total.into(), ..Default::default() });
    ListJobsRequest { page, policy_type: Some("none".to_owned()), ..Default::default() }.encode_to_vec()
}

fn events(_: usize) -> Vec<u8> {
    let event = |place: usize| JobEvent {
        id: format!("new {}", EVENTS.fetch_add(1, Ordering::Relaxed)),
        job_id: JOB.to_owned(),
        kind: JobEventKind::Started.into(),
        host: format!("host {}", place % 4_000),
        ..Default::default()
    };
    AppendJobEventsRequest { events: (0..100).map(event).collect() }.encode_to_vec()
}

fn update(call: usize) -> Vec<u8> {
    let prompt = Prompt { id: LARGE_PROMPT.to_owned(), surface: call.to_string(), ..Default::default() };
    UpdatePromptRequest { prompt: Some(prompt), ..Default::default() }.encode_to_vec()
}

fn long_message() -> Vec<u8> {
    GetPromptRequest { id: "a".repeat((16 << 20) - 16) }.encode_to_vec()
}

fn forged(call: usize) -> Vec<u8> {
    let secret = format!("quire-key_victim_{}_{}", uuid::Uuid::from_u128(call as u128).simple(), "A".repeat(43));
    CreateSessionRequest { secret, ..Default::default() }.encode_to_vec()
}

/// This many callers of one method, each with one call in flight, on a few connections.
async fn callers(target: Target, count: usize, path: &'static str, message: fn(usize) -> Vec<u8>) {
    let caller = async |place: usize| {
        let mut connection = None;
        for call in 0.. {
            let sender = match connection.take() {
                Some(sender) => Some(sender),
                None => connect(&target, 1 << 20).await,
            };
            if let Some(mut sender) = sender
                && let Some(answer) = send(&target, &mut sender, path, framed(&message(place + count * call))).await
            {
                let mut body = http_body_util::BodyExt::into_data_stream(answer.into_body());
                while let Some(Ok(_)) = body.next().await {}
                connection = Some(sender);
            } else {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    join_all((0..count).map(caller)).await;
}

/// Five connections of 100 calls each, whose answers of 3 MiB nobody reads.
async fn unread_answers(target: Target) {
    let request = ListPromptVersionsRequest { prompt_id: LARGE_PROMPT.to_owned(), ..Default::default() };
    let message = framed(&request.encode_to_vec());
    let connection = async || {
        let Some(sender) = connect(&target, 0).await else { return };
        let call = async || {
            let answer = send(&target, &mut sender.clone(), LIST_VERSIONS, message.clone()).await;
            std::future::pending::<()>().await;
            drop(answer);
        };
        join_all((0..100).map(|_| call())).await;
    };
    join_all((0..5).map(|_| connection())).await;
}

/// 200 connections of 100 calls without a credential, whose messages of 64 KiB lack one byte.
async fn half_messages(target: Target) {
    let message = [&[0, 0, 0, 0xff, 0xff][..], &vec![b'a'; 0xffff - 1]].concat();
    hold_calls(&target, CREATE_SESSION, message).await;
}

/// 200 connections of 100 streams.
async fn open_streams(target: Target, path: &'static str) {
    hold_calls(&target, path, framed(&[])).await;
}

/// 200 connections of 100 calls each, whose messages do not end.
async fn hold_calls(target: &Target, path: &'static str, message: Vec<u8>) {
    let connection = async || loop {
        if let Some(sender) = connect(target, 1 << 20).await {
            let call = async || {
                let body = stream::iter([message.clone()]).chain(stream::pending());
                let answer = request(target, path, body);
                let answer = sender.clone().send_request(answer).await;
                tokio::time::sleep(Duration::from_secs(1_000)).await;
                drop(answer);
            };
            tokio::select! {
                _ = join_all((0..100).map(|_| call())) => {}
                () = sender_closed(&sender) => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    join_all((0..200).map(|_| connection())).await;
}

async fn sender_closed(sender: &Sender) {
    while !sender.is_closed() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// 2,000 connections that say this and then nothing.
async fn silent(target: Target, words: Vec<u8>) {
    let connection = async || loop {
        if let Ok(mut stream) = TcpStream::connect(target.address).await {
            let (mut read, mut write) = stream.split();
            if tokio::io::AsyncWriteExt::write_all(&mut write, &words).await.is_ok() {
                let mut sink = tokio::io::sink();
                let _: std::io::Result<u64> = tokio::io::copy(&mut read, &mut sink).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    join_all((0..2_000).map(|_| connection())).await;
}

type BodyStream = Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>> + Send>>;
type Sender = http2::SendRequest<StreamBody<BodyStream>>;

/// A connection on which each answer has a window of this many bytes.
async fn connect(target: &Target, window: u32) -> Option<Sender> {
    let stream = TcpStream::connect(target.address).await.ok()?;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window).initial_connection_window_size(1 << 20);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

fn request(
    target: &Target,
    path: &str,
    body: impl futures_util::Stream<Item = Vec<u8>> + Send + 'static,
) -> http::Request<StreamBody<BodyStream>> {
    let body: BodyStream = Box::pin(body.map(|data| Ok(Frame::data(data.into()))));
    let request = http::Request::post(format!("http://{}{path}", target.address));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    request.header("authorization", &target.bearer).body(StreamBody::new(body)).unwrap()
}

async fn send(target: &Target, sender: &mut Sender, path: &str, message: Vec<u8>) -> Option<http::Response<Incoming>> {
    sender.send_request(request(target, path, stream::iter([message]))).await.ok()
}
