//! Calls that break a rule of gRPC or a limit on their size. No client sees UNKNOWN, INTERNAL or OUT_OF_RANGE, and the
//! metrics have the codes that the clients see.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
};

use prost::Message;
use quire_proto::requests::max_request_bytes;
use tonic::{Code, body::Body, codegen::http::Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request::MessageRequest};
use tonic_types::StatusExt;

use crate::support::{
    Server,
    admin::{self, metric},
    database, eventually,
    frames::{CHECK, DATA, END_HEADERS, Frames, HEADERS, RST_STREAM, WATCH, headers},
    free_address,
    raw::{Raw, framed, request},
};

const LIST: &str = "/prompts.v1.PromptService/ListPrompts";
const REFLECT: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

pub fn gzip(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::bufread::GzEncoder::new(message, flate2::Compression::best()).read_to_end(&mut out).unwrap();
    out
}

/// With many small blocks, as a client that flushes writes them.
pub fn zstd(message: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    for part in message.chunks(50_000) {
        encoder.write_all(part).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
}

/// A valid message of the method.
fn message(path: &str) -> Vec<u8> {
    if REFLECT.contains(&path) {
        let message_request = Some(MessageRequest::ListServices(String::new()));
        return ServerReflectionRequest { host: "x".to_owned(), message_request }.encode_to_vec();
    }
    Vec::new()
}

type Change = Box<dyn Fn(&mut Request<Body>)>;

/// A change of the headers of a valid call, and the code of its answer.
fn changes() -> Vec<(&'static str, Change, Code)> {
    use Code::{InvalidArgument, Ok, Unimplemented};
    let header = |name: &'static str, value: &'static str| -> Change {
        Box::new(move |request| drop(request.headers_mut().insert(name, value.parse().unwrap())))
    };
    let long = |bytes: usize| -> Change {
        Box::new(move |request| drop(request.headers_mut().insert("x-long", "x".repeat(bytes).parse().unwrap())))
    };
    let query = |bytes: usize| -> Change {
        Box::new(move |request| {
            *request.uri_mut() = format!("{}?{}", request.uri(), "x".repeat(bytes)).parse().unwrap()
        })
    };
    vec![
        ("unchanged", Box::new(|_| {}), Ok),
        ("without te", Box::new(|request| drop(request.headers_mut().remove("te"))), Ok),
        ("with parameters", header("content-type", "application/grpc+proto; charset=utf-8"), Ok),
        ("identity", header("grpc-encoding", "identity"), Ok),
        ("almost too long", long(15 << 10), Ok),
        ("no type", Box::new(|request| drop(request.headers_mut().remove("content-type"))), InvalidArgument),
        ("text", header("content-type", "text/plain"), InvalidArgument),
        ("web", header("content-type", "application/grpc-web"), InvalidArgument),
        ("json", header("content-type", "application/grpc+json"), InvalidArgument),
        ("put", Box::new(|request| *request.method_mut() = "PUT".parse().unwrap()), InvalidArgument),
        ("no unit", header("grpc-timeout", "1"), InvalidArgument),
        ("empty timeout", header("grpc-timeout", ""), InvalidArgument),
        ("negative timeout", header("grpc-timeout", "-1S"), InvalidArgument),
        ("timeout with too many digits", header("grpc-timeout", "123456789S"), InvalidArgument),
        ("unknown encoding", header("grpc-encoding", "br"), Unimplemented),
        ("long header", long(17 << 10), InvalidArgument),
        ("very long header", long(200 << 10), InvalidArgument),
        ("long path", query(17 << 10), InvalidArgument),
        ("very long path", query(60 << 10), InvalidArgument),
        (
            "many headers",
            Box::new(|request| {
                for place in 0..2_000 {
                    request.headers_mut().append("x-many", place.into());
                }
            }),
            InvalidArgument,
        ),
    ]
}

/// Bodies of a method, with their encoding, and the code of the answer.
fn bodies(path: &str) -> Vec<(&'static str, &'static str, Vec<u8>, Code)> {
    use Code::{InvalidArgument, Ok};
    let is_stream = REFLECT.contains(&path);
    let (valid, most) = (message(path), max_request_bytes(path).unwrap_or(64 << 10));
    // A text that is not UTF-8, in a field that each of these requests has.
    let not_utf8 = if path == LIST { b"\x12\x01\xff" } else { b"\x0a\x01\xff" };
    let of_stream = if is_stream { Ok } else { InvalidArgument };
    let cut = |message: Vec<u8>| message[..message.len() - 3].to_vec();
    let bomb = vec![0; most + 1];
    vec![
        ("gzip", "gzip", framed(1, &gzip(&valid)), Ok),
        ("zstd", "zstd", framed(1, &zstd(&valid)), Ok),
        ("announced but not used", "gzip", framed(0, &valid), Ok),
        ("nothing", "identity", Vec::new(), of_stream),
        ("two messages", "identity", framed(0, &valid).repeat(2), of_stream),
        ("part of a prefix", "identity", vec![0, 0, 0], InvalidArgument),
        ("part of a message", "identity", cut(framed(0, b"long enough")), InvalidArgument),
        ("no message", "identity", framed(0, b"\xff"), InvalidArgument),
        ("wrong wire type", "identity", framed(0, b"\x0b"), InvalidArgument),
        ("length beyond the end", "identity", framed(0, b"\x12\xff\xff\x03"), InvalidArgument),
        ("not UTF-8", "identity", framed(0, not_utf8), InvalidArgument),
        ("not UTF-8, compressed", "gzip", framed(1, &gzip(not_utf8)), InvalidArgument),
        ("unknown flag", "identity", framed(2, &valid), InvalidArgument),
        ("compressed without encoding", "identity", framed(1, &gzip(&valid)), InvalidArgument),
        ("not gzip", "gzip", framed(1, b"x"), InvalidArgument),
        ("part of gzip", "gzip", framed(1, &cut(gzip(b"text"))), InvalidArgument),
        ("more than gzip", "gzip", framed(1, &[gzip(&valid), vec![0]].concat()), InvalidArgument),
        ("not zstd", "zstd", framed(1, b"x"), InvalidArgument),
        ("part of zstd", "zstd", framed(1, &cut(zstd(b"text"))), InvalidArgument),
        ("too large", "identity", framed(0, &bomb), InvalidArgument),
        ("too large after gzip", "gzip", framed(1, &gzip(&bomb)), InvalidArgument),
        ("too large after zstd", "zstd", framed(1, &zstd(&bomb)), InvalidArgument),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_calls_are_invalid_and_counted_so() {
    let (_, url) = database().await;
    let admin_address = free_address();
    let mut server = Server::on_database(&url, &["--admin-listen", &admin_address.to_string()]);
    server.connect().await;
    let connection = Raw::connect(server.address).await;
    let mut codes = BTreeMap::new();
    for path in [LIST, CHECK, REFLECT[0], REFLECT[1]] {
        let mut calls = Vec::new();
        for (what, change, code) in changes() {
            let mut request = request(server.address, path, framed(0, &message(path)));
            change(&mut request);
            calls.push((what, request, code));
        }
        for (what, encoding, body, code) in bodies(path) {
            let mut request = request(server.address, path, body);
            request.headers_mut().insert("grpc-encoding", encoding.parse().unwrap());
            calls.push((what, request, code));
        }
        for (what, request, code) in calls {
            let answer = connection.answered(request).await;
            assert_eq!(answer.status.code(), code, "{path} {what}: {:?}", answer.status);
            let reason = answer.status.get_details_error_info().map(|info| info.domain);
            assert_eq!(reason.as_deref(), (code == Code::InvalidArgument).then_some("quire"), "{path} {what}");
            if path == LIST {
                *codes.entry(format!("{code:?}").replace("Ok", "OK")).or_insert(0.0) += 1.0;
            }
        }
    }
    let (_, metrics) = admin::get(admin_address, "/metrics");
    for (code, count) in codes {
        let labels = ["grpc_method=\"ListPrompts\"", &format!("grpc_code=\"{code}\"")];
        assert_eq!(metric(&metrics, "grpc_server_handled_total", &labels), Some(count), "{code}");
    }
    let text = metrics.as_str();
    assert!(!["Unknown", "Internal", "OutOfRange"].iter().any(|code| text.contains(code)), "{text}");
}

#[tokio::test]
async fn other_clients_than_those_of_grpc_see_an_http_error() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    server.connect().await;
    let connection = Raw::connect(server.address).await;
    for path in [LIST, CHECK, REFLECT[0], REFLECT[1]] {
        let mut request = request(server.address, path, "{}");
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        assert_eq!(connection.answered(request).await.head.status, 415, "{path}");
    }
    for path in ["/", "/x", "/no.Service/Method", "/prompts.v1.PromptService/No", "/grpc.health.v1.Health/No"] {
        let answer = connection.answered(request(server.address, path, framed(0, b""))).await;
        assert_eq!(answer.status.code(), Code::Unimplemented, "{path}");
    }
}

/// The message never arrives completely: the caller has cancelled the call, whatever it says.
#[tokio::test]
async fn calls_that_are_reset_are_counted_as_cancelled() {
    const NO_ERROR: u32 = 0;
    const INTERNAL_ERROR: u32 = 2;
    const CANCEL: u32 = 8;
    let (_, url) = database().await;
    let admin_address = free_address();
    let mut server = Server::on_database(&url, &["--admin-listen", &admin_address.to_string()]);
    server.connect().await;
    let mut frames = Frames::connect(server.address, 1 << 16).await;
    let mut stream = 1;
    for path in [LIST, WATCH] {
        for reason in [NO_ERROR, INTERNAL_ERROR, CANCEL] {
            frames.send(HEADERS, END_HEADERS, stream, &headers(path)).await;
            frames.send(DATA, 0, stream, &[0, 0, 0, 0, 9, 1]).await;
            // When a later call is answered, this one has begun.
            frames.call(stream + 2, CHECK, &HealthCheckRequest::default()).await;
            frames.next_of(HEADERS).await.unwrap();
            frames.send(RST_STREAM, 0, stream, &reason.to_be_bytes()).await;
            stream += 4;
        }
    }
    eventually("all were counted", async || {
        let (_, metrics) = admin::get(admin_address, "/metrics");
        assert!(!metrics.contains("Internal") && !metrics.contains("Unknown"), "{metrics}");
        let labels = ["grpc_method=\"ListPrompts\"", "grpc_code=\"Cancelled\""];
        metric(&metrics, "grpc_server_handled_total", &labels).filter(|count| *count >= 3.0)
    })
    .await;
}
