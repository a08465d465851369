#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod contract;
mod formats;
mod read_back;
mod tables;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Deserializer, Map, Value};

use super::{Choice, Format, Output, Terminal};
use crate::error::Error;

/// A message with every kind of value.
fn kinds() -> MessageDescriptor {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/output/tests");
    let descriptors = protox::compile(["kinds.proto"], [folder]).unwrap();
    DescriptorPool::from_file_descriptor_set(descriptors).unwrap().get_message_by_name("kinds.v1.Kinds").unwrap()
}

/// A message of the contract, as in `jobs.v1.Job`.
fn message(name: &str) -> MessageDescriptor {
    contract().get_message_by_name(name).unwrap()
}

fn contract() -> DescriptorPool {
    DescriptorPool::decode(quire_proto::FILE_DESCRIPTOR_SET).unwrap()
}

/// A message from protobuf's JSON.
fn from_json(message: &MessageDescriptor, json: &Value) -> DynamicMessage {
    let text = json.to_string();
    DynamicMessage::deserialize(message.clone(), &mut Deserializer::from_str(&text)).unwrap()
}

fn choice(output: Format, columns: &[&str]) -> Choice {
    Choice { output, columns: columns.iter().map(|&name| name.to_owned()).collect() }
}

/// 2026-10-01T12:00:00Z.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_856_000)
}

fn terminal(width: usize) -> Option<Terminal> {
    Some(Terminal { width, has_styles: false, now: now() })
}

/// What is printed of these pages.
fn printed(choice: &Choice, terminal: Option<Terminal>, row: &MessageDescriptor, pages: &[Vec<Value>]) -> String {
    let mut output = Output::on(terminal, "rows", row, choice).unwrap();
    let mut out = Vec::new();
    for page in pages {
        let rows: Vec<_> = page.iter().map(|json| from_json(row, json)).collect();
        out.extend(output.page(&rows).unwrap());
    }
    out.extend(output.end(&Map::from_iter([("page".to_owned(), Value::Object(Map::new()))])).unwrap());
    String::from_utf8(out).unwrap()
}

/// The time so long ago, as protobuf's JSON.
fn ago(seconds: u64) -> String {
    prost_types::Timestamp::from(now() - Duration::from_secs(seconds)).to_string()
}

/// The message of the error for columns that do not exist.
fn refusal(row: &MessageDescriptor, columns: &[&str]) -> String {
    match Output::on(None, "rows", row, &choice(Format::Table, columns)) {
        Err(error @ Error::Column { .. }) => {
            assert_eq!(error.exit_status(), 2);
            error.to_string()
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("they exist"),
    }
}
