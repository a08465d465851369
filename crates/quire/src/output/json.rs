//! Rows as JSON.

use std::{fmt::Display, io};

use base64::{display::Base64Display, prelude::BASE64_STANDARD};
use prost_reflect::{DynamicMessage, MapKey, Value};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Map;

use super::{
    Layout,
    fields::{Field, Form},
};

/// A message. Fields that can be unset and are, are left out.
pub(super) struct Record<'a> {
    pub(super) fields: &'a [Field],
    pub(super) message: &'a DynamicMessage,
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        for field in self.fields {
            if let Some(value) = field.value(self.message) {
                members.serialize_entry(&field.name, &Json { form: &field.form, value: &value })?;
            }
        }
        members.end()
    }
}

/// A value.
#[derive(Clone, Copy)]
pub(super) struct Json<'a> {
    pub(super) form: &'a Form,
    pub(super) value: &'a Value,
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I32(value) => serializer.serialize_i32(*value),
            Value::I64(value) => serializer.serialize_i64(*value),
            Value::U32(value) => serializer.serialize_u32(*value),
            Value::U64(value) => serializer.serialize_u64(*value),
            Value::F32(value) if value.is_finite() => serializer.serialize_f32(*value),
            Value::F64(value) if value.is_finite() => serializer.serialize_f64(*value),
            Value::F32(value) => serializer.serialize_str(not_finite((*value).into())),
            Value::F64(value) => serializer.serialize_str(not_finite(*value)),
            Value::String(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.collect_str(&base64(value)),
            Value::EnumNumber(number) => match self.form.word(*number) {
                Some(word) => serializer.serialize_str(word),
                None => serializer.serialize_i32(*number),
            },
            Value::Message(message) => match self.form {
                Form::Message(fields) => Record { fields, message }.serialize(serializer),
                Form::Timestamp => serializer.collect_str(&timestamp(message)),
                Form::Duration => serializer.collect_str(&duration(message)),
                Form::Plain | Form::Enum(_) => message.serialize(serializer),
            },
            Value::List(elements) => serializer.collect_seq(elements.iter().map(|value| Json { value, ..*self })),
            Value::Map(_) => serializer
                .collect_map(entries(self.value).into_iter().map(|(key, value)| (key, Json { value, ..*self }))),
        }
    }
}

impl Form {
    /// The name of an enum's value, if it is known.
    pub(super) fn word(&self, number: i32) -> Option<&str> {
        if let Self::Enum(words) = self { words.get(&number).map(String::as_str) } else { None }
    }
}

/// The entries of a map by key, because those of a hash map have no order.
pub(super) fn entries(map: &Value) -> Vec<(String, &Value)> {
    let mut entries: Vec<_> = map.as_map().into_iter().flatten().map(|(key, value)| (key_text(key), value)).collect();
    entries.sort_by(|(left, _), (right, _)| left.cmp(right));
    entries
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

/// As protobuf's JSON writes it.
fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

pub(super) fn base64(bytes: &[u8]) -> impl Display {
    Base64Display::new(bytes, &BASE64_STANDARD)
}

/// A message of the type `google.protobuf.Timestamp`.
pub(super) fn timestamp(message: &DynamicMessage) -> prost_types::Timestamp {
    let (seconds, nanos) = seconds_and_nanos(message);
    prost_types::Timestamp { seconds, nanos }
}

/// A message of the type `google.protobuf.Duration`.
pub(super) fn duration(message: &DynamicMessage) -> prost_types::Duration {
    let (seconds, nanos) = seconds_and_nanos(message);
    prost_types::Duration { seconds, nanos }
}

fn seconds_and_nanos(message: &DynamicMessage) -> (i64, i32) {
    let seconds = message.get_field_by_number(1).and_then(|value| value.as_i64());
    let nanos = message.get_field_by_number(2).and_then(|value| value.as_i32());
    (seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// Writes a record for people.
pub(super) fn write_pretty(record: &Record<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, record)?;
    out.push(b'\n');
    Ok(())
}

/// A row on each line.
pub(super) struct Lines {
    pub(super) fields: Vec<Field>,
}

impl Layout for Lines {
    fn rows(&mut self, rows: &[DynamicMessage], out: &mut Vec<u8>) -> io::Result<()> {
        for message in rows {
            serde_json::to_writer(&mut *out, &Record { fields: &self.fields, message })?;
            out.push(b'\n');
        }
        Ok(())
    }
}

/// One document: an object with the rows, each on a line.
pub(super) struct Document {
    fields: Vec<Field>,
    rows_name: String,
    is_begun: bool,
}

impl Document {
    pub(super) fn new(fields: Vec<Field>, rows_name: &str) -> Self {
        Self { fields, rows_name: rows_name.to_owned(), is_begun: false }
    }

    fn begin(&self, out: &mut Vec<u8>) -> io::Result<()> {
        out.extend_from_slice(b"{\n  ");
        serde_json::to_writer(&mut *out, &self.rows_name)?;
        out.extend_from_slice(b": [");
        Ok(())
    }
}

impl Layout for Document {
    fn rows(&mut self, rows: &[DynamicMessage], out: &mut Vec<u8>) -> io::Result<()> {
        for message in rows {
            if self.is_begun {
                out.push(b',');
            } else {
                self.begin(out)?;
                self.is_begun = true;
            }
            out.extend_from_slice(b"\n    ");
            serde_json::to_writer(&mut *out, &Record { fields: &self.fields, message })?;
        }
        Ok(())
    }

    fn finish(&mut self, members: &Map<String, serde_json::Value>, out: &mut Vec<u8>) -> io::Result<()> {
        if self.is_begun {
            out.extend_from_slice(b"\n  ");
        } else {
            self.begin(out)?;
        }
        out.push(b']');
        for (name, value) in members {
            out.extend_from_slice(b",\n  ");
            serde_json::to_writer(&mut *out, name)?;
            out.extend_from_slice(b": ");
            serde_json::to_writer(&mut *out, value)?;
        }
        out.extend_from_slice(b"\n}\n");
        Ok(())
    }
}
