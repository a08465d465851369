//! What a request may cost: for every method of the contract, the largest request and the one with the most elements.
#![expect(clippy::wildcard_enum_match_arm, reason = "requests have no other types of fields")]

use std::sync::LazyLock;

use crate::support::{
    Server,
    admin::{self, metric},
    database, free_address,
    raw::Raw,
    within,
};
use prost::encoding::{self, WireType};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use quire_proto::{
    memory::v1::{BatchStoreMemoriesRequest, Memory, MemoryScope, StoreMemoryRequest, memory_service_client},
    requests::{MAX_REQUEST_BYTES, MIN_REQUEST_BYTES, SPARE_ELEMENTS, max_elements, max_request_bytes},
};
use tokio_stream::StreamExt;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{Service, http},
};
use tonic_types::StatusExt;

/// How much memory a call may take besides its message.
pub const MEMORY_BYTES: usize = 64 << 20;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(quire_proto::FILE_DESCRIPTOR_SET).unwrap());

fn methods() -> Vec<MethodDescriptor> {
    POOL.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn path_of(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Calls a method, and returns the error. The body begins with the prefix of the message.
async fn refusal(connection: &Raw, address: &str, path: &str, body: axum::body::Body) -> Option<Status> {
    let request = http::Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(body))
        .unwrap();
    let response = within("the call was answered", connection.clone().call(request)).await.unwrap();
    Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok)
}

fn prefix(length: usize) -> Vec<u8> {
    [&[0], u32::try_from(length).unwrap().to_be_bytes().as_slice()].concat()
}

fn framed(message: &[u8]) -> axum::body::Body {
    [prefix(message.len()).as_slice(), message].concat().into()
}

fn put(field: &FieldDescriptor, value: &[u8], out: &mut Vec<u8>) {
    encoding::encode_key(field.number(), WireType::LengthDelimited, out);
    encoding::encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn is_repeated(field: &FieldDescriptor) -> bool {
    field.is_list() || field.is_map()
}

/// The repeated fields of a message and of the messages in it, each with the fields that lead to it.
fn repeated(message: &MessageDescriptor) -> Vec<Vec<FieldDescriptor>> {
    let mut all = Vec::new();
    for field in message.fields() {
        if is_repeated(&field) {
            all.push(vec![field.clone()]);
        }
        if let Kind::Message(inner) = field.kind() {
            all.extend(repeated(&inner).into_iter().map(|rest| [vec![field.clone()], rest].concat()));
        }
    }
    all
}

/// A message of this size with empty elements in one field, and nothing else.
fn full_of_empty(path: &[FieldDescriptor], bytes: usize) -> Vec<u8> {
    let (field, above) = path.split_last().unwrap();
    let budget = bytes - 16 * path.len();
    let mut content = Vec::new();
    match field.kind() {
        Kind::Enum(_) => put(field, &vec![0; budget], &mut content),
        _ => {
            let mut element = Vec::new();
            put(field, &[], &mut element);
            content = element.repeat(budget / element.len());
        }
    }
    above.iter().rev().fold(content, |content, field| {
        let mut message = Vec::new();
        put(field, &content, &mut message);
        message
    })
}

/// The field, as errors name it.
fn name(path: &[FieldDescriptor]) -> String {
    let (field, above) = path.split_last().unwrap();
    let above = above.iter().map(|field| format!("{}{}.", field.name(), if field.is_list() { "[0]" } else { "" }));
    above.collect::<String>() + field.name()
}

/// A message with as many small elements in each field as the limits allow, and in its own field some more.
fn full(message: &MessageDescriptor, spare: usize) -> Vec<u8> {
    let mut encoded = Vec::new();
    for field in message.fields() {
        let count = if is_repeated(&field) { max_elements(&field) + spare } else { 1 };
        for place in 0..count {
            match field.kind() {
                Kind::Message(entry) if field.is_map() => {
                    let mut key = Vec::new();
                    put(&entry.get_field(1).unwrap(), format!("{place:x}").as_bytes(), &mut key);
                    put(&field, &key, &mut encoded);
                }
                Kind::Message(inner) => put(&field, &full(&inner, 0), &mut encoded),
                Kind::String => put(&field, b"x", &mut encoded),
                _ => {}
            }
        }
    }
    encoded
}

/// A value in kilobytes of the process's status.
pub fn memory(server: &Server, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse::<usize>().unwrap() << 10
}

#[tokio::test]
async fn a_request_with_too_many_elements_is_refused_by_field_and_without_memory() {
    let (_, url) = database().await;
    let mut server = Server::without_spare_memory(&url);
    let channel = server.connect().await;
    let (connection, address) = (Raw::connect(server.address).await, server.address.to_string());
    let before = memory(&server, "VmRSS:");
    for method in methods() {
        let (path, input) = (path_of(&method), method.input());
        let most = max_request_bytes(&path).unwrap();
        for fields in repeated(&input) {
            let refused = refusal(&connection, &address, &path, framed(&full_of_empty(&fields, most))).await;
            let status = refused.unwrap_or_else(|| panic!("{path} {}", name(&fields)));
            assert_eq!(status.code(), Code::InvalidArgument, "{path} {} {status:?}", name(&fields));
            let details = status.get_error_details();
            let [violation] = details.bad_request().unwrap().field_violations.as_slice() else { panic!("{status:?}") };
            assert_eq!(violation.field, name(&fields), "{path}");
            assert!(violation.description.contains("at most"), "{}", violation.description);
        }
        // The services refuse some of these messages, but decode them first.
        let largest = full(&input, SPARE_ELEMENTS);
        let refused = refusal(&connection, &address, &path, framed(&largest)).await;
        let is_too_large = refused.is_some_and(|status| status.message().contains("this method accepts at most"));
        assert_eq!(is_too_large, largest.len() > most, "{path}");
    }
    let memory_of = |place: usize| Memory {
        id: format!("01934f6e-8a3b-7c21-9d55-{place:012}"),
        scope: MemoryScope::User.into(),
        content: "tea ".repeat(64 << 10),
        ..Default::default()
    };
    let requests = (0..63).map(|place| StoreMemoryRequest { memory: Some(memory_of(place)) }).collect();
    let request = BatchStoreMemoriesRequest { requests, ..Default::default() };
    let mut memories = memory_service_client::MemoryServiceClient::new(channel);
    within("a large batch was stored", memories.batch_store_memories(request)).await.unwrap();
    let used = memory(&server, "VmHWM:") - before;
    assert!(used <= MAX_REQUEST_BYTES + MEMORY_BYTES, "{} MiB", used >> 20);
}

/// A length is enough: the message never arrives.
#[tokio::test]
async fn a_request_that_is_too_large_is_refused_before_it_arrives() {
    let (_, url) = database().await;
    let admin_address = free_address();
    let mut server = Server::on_database(&url, &["--admin-listen", &admin_address.to_string()]);
    server.connect().await;
    let (connection, address) = (Raw::connect(server.address).await, server.address.to_string());
    for method in methods() {
        let path = path_of(&method);
        let too_large = prefix(max_request_bytes(&path).unwrap() + 1);
        // The length arrives in two parts.
        let parts = [too_large[..3].to_vec(), too_large[3..].to_vec()].map(Ok::<_, std::io::Error>);
        let body = axum::body::Body::from_stream(tokio_stream::iter(parts).chain(tokio_stream::pending()));
        let refused = refusal(&connection, &address, &path, body).await.unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument, "{path}");
    }
    let method = POOL.get_service_by_name("memory.v1.MemoryService").unwrap().methods().next().unwrap();
    let message = full_of_empty(&repeated(&method.input())[0], MIN_REQUEST_BYTES);
    refusal(&connection, &address, &path_of(&method), framed(&message)).await.unwrap();
    let (_, metrics) = admin::get(admin_address, "/metrics");
    for (limit, count) in [("request_bytes", methods().len()), ("request_elements", 1)] {
        let counted = metric(&metrics, "limits_reached_total", &[&format!("limit=\"{limit}\"")]);
        assert_eq!(counted, Some(count as f64), "{limit}");
    }
}

#[tokio::test]
async fn a_call_with_two_messages_is_refused() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    server.connect().await;
    let (connection, address) = (Raw::connect(server.address).await, server.address.to_string());
    let body = [prefix(0), prefix(0)].concat().into();
    let refused = refusal(&connection, &address, "/prompts.v1.PromptService/ListPrompts", body).await.unwrap();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "the call must have one message"));
}
