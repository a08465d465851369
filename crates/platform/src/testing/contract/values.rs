//! Test values for fields, by type.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use super::{
    method::is_list_of_values,
    paths::{has_fields, message_of},
    wrong::Trials,
};

/// A number of a field's type, if it fits.
pub fn number(kind: &Kind, value: f64) -> Option<Value> {
    match kind {
        Kind::Double => Some(Value::F64(value)),
        Kind::Float => Some(Value::F32(value as f32)),
        Kind::Int32 => (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value).then_some(Value::I32(value as i32)),
        Kind::Int64 => (-9.2e18..=9.2e18).contains(&value).then_some(Value::I64(value as i64)),
        kind => panic!("the kit has no numbers of the type {kind:?}"),
    }
}

/// A text.
pub fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// Invalid orders.
pub fn order(trials: &mut Trials) {
    for wrong in ["nonsense", "id; drop", "create_time desc, id", "\0", "NAME"] {
        trials.wrong(format!("{wrong:?}"), text(wrong), "must be one of");
    }
}

/// Invalid ids.
pub fn id(trials: &mut Trials) {
    let id = "01934f6e-8a3b-7c21-9d55-0242ac120002";
    let bare = id.replace('-', "");
    let others = ["x".to_owned(), "\0".to_owned(), format!(" {id}"), format!("{id}\n"), format!("{id}\0")];
    let forms = [bare, format!("{{{id}}}"), format!("urn:uuid:{id}"), id[..35].to_owned(), id.replace("01", "g1")];
    for wrong in others.into_iter().chain(forms) {
        trials.wrong(format!("{wrong:?}"), text(&wrong), "must be a UUID");
    }
}

/// Words such as tags: at most 32, each of 1 to 64 bytes, without duplicates.
pub fn words(trials: &mut Trials) {
    let words = |words: &[String]| Value::List(words.iter().map(|word| text(word)).collect());
    let of = |word: &str| words(&["a".to_owned(), word.to_owned()]);
    let numbered = |count: usize| (0..count).map(|number| format!("{number:064}")).collect::<Vec<_>>();
    trials.wrong("33", words(&numbered(33)), "must be at most 32");
    trials.wrong("200 that are empty", words(&vec![String::new(); 200]), "must be at most 32");
    trials.wrong_at("[1]", "one twice", of("a"), "must not be given twice");
    trials.wrong_at("[1]", "one that is empty", of(""), "must have 1 to 64 bytes");
    trials.wrong_at("[1]", "one of 65 bytes", of(&"é".repeat(32).replacen('é', "xyz", 1)), "must have 1 to 64 bytes");
    trials.wrong_at("[1]", "one with NUL", of("a\0"), "must not contain NUL");
    trials.right("32 of 64 bytes", words(&numbered(32)));
    trials.right("in the order given", words(&["z".to_owned(), "a".to_owned(), "日本語 ,\"{}".to_owned()]));
}

/// Metadata: at most 64 entries, with limits for each entry and for the total size.
pub fn metadata(trials: &mut Trials) {
    let map = |entries: Vec<(String, String)>| {
        let entries = entries.into_iter().map(|(key, value)| (MapKey::String(key), Value::String(value)));
        Value::Map(HashMap::from_iter(entries))
    };
    let one = |key: &str, value: &str| map(vec![(key.to_owned(), value.to_owned())]);
    let sized = |count: usize, bytes: usize| (0..count).map(|key| (format!("{key:02}"), "x".repeat(bytes))).collect();
    trials.wrong("65 entries", map(sized(65, 0)), "must have at most 64 entries");
    trials.wrong(
        "300 entries with NUL",
        map((0..300).map(|key| (format!("\0{key}"), "\0".into())).collect()),
        "at most",
    );
    trials.wrong("an empty key", one("", "x"), "a key must have 1 to 64 bytes");
    trials.wrong("a key of 65 bytes", one(&"k".repeat(65), "x"), "a key must have 1 to 64 bytes");
    trials.wrong("a key of 10,000 bytes", one(&"k".repeat(10_000), "x"), "a key must have 1 to 64 bytes");
    trials.wrong("a value of 1,025 bytes", one("key", &"x".repeat(1_025)), "a value must have at most 1024 bytes");
    trials.wrong("NUL in a key", one("a\0", "x"), "must not contain NUL");
    trials.wrong("NUL in a value", one("key", "a\0b"), "must not contain NUL");
    let mut most: Vec<(String, String)> = sized(62, 111);
    most.extend([("k".repeat(64), "v".repeat(1_024)), ("rest".into(), "v".repeat(94))]);
    trials.right("64 entries of 8 KiB", map(most.clone()));
    most[0].1.push('x');
    trials.wrong("a byte too much in all", map(most), "must have at most 8192 bytes in all");
    trials.right("an odd entry", one("é \"{}", "日本語 \u{1}"));
    trials.right("an empty value", one("key", ""));
}

/// Times and masks.
pub fn messages(trials: &mut Trials, message: &MessageDescriptor) {
    match message.full_name() {
        "google.protobuf.FieldMask" => {
            for path in ["nonsense", "", "id", "etag", "update_time", "metadata.key"] {
                trials.wrong(
                    format!("the path {path:?}"),
                    mask(message, &[path]),
                    "must name fields to change, out of",
                );
            }
        }
        "google.protobuf.Timestamp" => {
            let wrong = [(253_402_300_800, 0), (-62_135_596_801, 0), (i64::MIN, 0), (i64::MAX, 0), (0, -1)];
            for (seconds, nanos) in wrong.into_iter().chain([(0, 1_000_000_000), (0, i32::MAX)]) {
                trials.wrong(format!("{seconds} s and {nanos} ns"), time(message, seconds, nanos), "years 1 to 9999");
            }
        }
        _ => {}
    }
    if has_fields(message) {
        trials.missing = Some("the example does not give it");
    }
}

/// A time or a duration.
pub fn time(message: &MessageDescriptor, seconds: i64, nanos: i32) -> Value {
    let mut value = DynamicMessage::new(message.clone());
    for (name, part) in [("seconds", Value::I64(seconds)), ("nanos", Value::I32(nanos))] {
        // A part that is 0 is omitted, as in an answer.
        if !part.is_default(&Kind::Int64) && !part.is_default(&Kind::Int32) {
            value.set_field_by_name(name, part);
        }
    }
    Value::Message(value)
}

/// A mask of these paths.
pub fn mask(message: &MessageDescriptor, paths: &[&str]) -> Value {
    let mut value = DynamicMessage::new(message.clone());
    value.set_field_by_name("paths", Value::List(paths.iter().map(|path| text(path)).collect()));
    Value::Message(value)
}

/// An invalid value for a field that a method does not read. `number` is the value of numeric fields.
pub fn garbage(field: &FieldDescriptor, number: i32) -> Option<Value> {
    let value = match field.kind() {
        _ if field.is_map() => Value::Map(HashMap::from([(MapKey::String("\0".to_owned()), text("\0"))])),
        Kind::String => text("\0 garbage"),
        Kind::Bytes => Value::Bytes(bytes::Bytes::from_static(b"garbage")),
        Kind::Enum(_) => Value::EnumNumber(99),
        Kind::Int32 => Value::I32(number),
        Kind::Int64 => Value::I64(number.into()),
        Kind::Bool => Value::Bool(true),
        Kind::Double => Value::F64(f64::NAN),
        Kind::Message(message) if !has_fields(&message) => time(&message, -i64::MAX, -7),
        Kind::Message(message) if !field.is_list() => {
            let mut value = DynamicMessage::new(message.clone());
            for field in message.fields() {
                value.set_field(&field, garbage(&field, number)?);
            }
            Value::Message(value)
        }
        _ => return None,
    };
    debug_assert!(message_of(field).is_none() || !field.is_list());
    Some(if is_list_of_values(field) { Value::List(vec![value.clone(), value]) } else { value })
}
