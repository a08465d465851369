//! Compressed requests and answers.

use quire_proto::{
    prompts::v1::{
        CreatePromptVersionRequest, ListPromptVersionsRequest, PromptVersion,
        prompt_service_client::PromptServiceClient,
    },
    requests::MAX_REQUEST_BYTES,
};
use tonic::{Code, codec::CompressionEncoding};

use crate::{
    malformed::{gzip, zstd},
    requests::{MEMORY_BYTES, memory},
    support::{
        Client, Server, database,
        frames::CHECK,
        make,
        raw::{Raw, framed, request},
    },
};

/// What the calls of a workspace may hold, by default.
const TENANT_BYTES: usize = 128 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_compress_are_understood() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let channel = server.connect().await;
    let id = make(&Client::new(channel.clone()), "any").await.unwrap();
    for (encoding, text) in [(CompressionEncoding::Gzip, "a"), (CompressionEncoding::Zstd, "b")] {
        let client = PromptServiceClient::new(channel.clone());
        let mut client = client.send_compressed(encoding).accept_compressed(encoding);
        let version = PromptVersion { prompt_id: id.clone(), content: text.repeat(1 << 20), ..Default::default() };
        client.create_prompt_version(CreatePromptVersionRequest { version: Some(version) }).await.unwrap();
        let request = ListPromptVersionsRequest { prompt_id: id.clone(), ..Default::default() };
        let listed = client.list_prompt_versions(request).await.unwrap();
        assert!(listed.metadata().contains_key("grpc-encoding"));
        assert_eq!(listed.into_inner().versions[0].content, text.repeat(1 << 20));
    }
}

/// Large messages of an answer are compressed, with the first encoding that the client accepts.
#[tokio::test]
async fn answers_are_compressed_when_asked() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let client = server.client().await;
    make(&client, &"x".repeat(200)).await.unwrap();
    for place in 0..20 {
        make(&client, &format!("{place}")).await.unwrap();
    }
    let connection = Raw::connect(server.address).await;
    // ListServices is short; a file is long.
    let file = [b"\x1a\x1e".as_slice(), b"pagination/v1/pagination.proto"].concat();
    for (path, message, is_large) in [
        ("/prompts.v1.PromptService/ListPrompts", Vec::new(), true),
        (CHECK, Vec::new(), false),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", file.clone(), true),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", file, true),
    ] {
        let mut plain = None;
        for (accepted, encoding) in [
            (None, None),
            (Some("identity"), None),
            (Some("br, deflate"), None),
            (Some("deflate, gzip"), Some("gzip")),
            (Some("zstd,gzip"), Some("zstd")),
        ] {
            let mut request = request(server.address, path, framed(0, &message));
            if let Some(accepted) = accepted {
                request.headers_mut().insert("grpc-accept-encoding", accepted.parse().unwrap());
            }
            let answer = connection.answered(request).await;
            assert_eq!(answer.status.code(), Code::Ok, "{path} {:?}", answer.status);
            let named = answer.head.headers.get("grpc-encoding").map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(named.as_deref(), encoding, "{path} {accepted:?}");
            assert_eq!(answer.body[0] == 1, is_large && encoding.is_some(), "{path} {accepted:?}");
            let message = match encoding {
                Some("gzip") if is_large => gunzip(&answer.body[5..]),
                Some(_) if is_large => zstd::stream::decode_all(&answer.body[5..]).unwrap(),
                _ => answer.body[5..].to_vec(),
            };
            assert_eq!(*plain.get_or_insert(message.clone()), message, "{path} {accepted:?}");
        }
    }
}

fn gunzip(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    std::io::copy(&mut flate2::bufread::GzDecoder::new(message), &mut out).unwrap();
    out
}

/// A message that would become far larger than its method's limit does not become so.
#[tokio::test]
async fn decompressing_stops_at_the_limit() {
    let message = zstd(&vec![0; 16 * MAX_REQUEST_BYTES]);
    let (_, url) = database().await;
    let mut server = Server::without_spare_memory(&url);
    server.connect().await;
    let connection = Raw::connect(server.address).await;
    let before = memory(&server, "VmRSS:");
    for _ in 0..4 {
        let path = "/memory.v1.MemoryService/BatchStoreMemories";
        let mut request = request(server.address, path, framed(1, &message));
        request.headers_mut().insert("grpc-encoding", "zstd".parse().unwrap());
        let status = connection.answered(request).await.status;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let used = memory(&server, "VmHWM:") - before;
    assert!(used <= MAX_REQUEST_BYTES + MEMORY_BYTES, "{} MiB", used >> 20);
}

/// Many messages that become large at once take at most three times the memory that they are charged for: tonic copies
/// each into a buffer that grows.
#[tokio::test(flavor = "multi_thread")]
async fn decompressing_takes_what_is_charged() {
    let unknown_field = 0x7a;
    let message = gzip(&[&[unknown_field, 0xf0, 0xff, 0xff, 0x01], vec![0; (4 << 20) - 16].as_slice()].concat());
    let (_, url) = database().await;
    let mut server = Server::without_spare_memory(&url);
    server.connect().await;
    let (address, before) = (server.address, memory(&server, "VmRSS:"));
    let calls = (0..50).map(|_| {
        let message = message.clone();
        tokio::spawn(async move {
            let connection = Raw::connect(address).await;
            let mut request = request(address, "/memory.v1.MemoryService/BatchStoreMemories", framed(1, &message));
            request.headers_mut().insert("grpc-encoding", "gzip".parse().unwrap());
            connection.answered(request).await.status
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let status = call.await.unwrap();
        assert!(matches!(status.code(), Code::InvalidArgument | Code::ResourceExhausted), "{status:?}");
    }
    let used = memory(&server, "VmHWM:") - before;
    assert!(used <= 3 * TENANT_BYTES + MEMORY_BYTES, "{} MiB", used >> 20);
}

/// A few bytes that become many are charged as many.
#[tokio::test]
async fn what_a_message_becomes_is_charged() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &["--tenant-memory", "1"]);
    server.connect().await;
    let connection = Raw::connect(server.address).await;
    let zeros = vec![0; 4 << 20];
    for (encoding, message) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros))] {
        let path = "/prompts.v1.PromptService/BatchCreatePrompts";
        assert!(message.len() < 64 << 10);
        let mut request = request(server.address, path, framed(1, &message));
        request.headers_mut().insert("grpc-encoding", encoding.parse().unwrap());
        let status = connection.answered(request).await.status;
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    }
}
