//! Converts one value from Postgres's binary format to protobuf's.

use std::sync::Arc;

use prost::encoding::{WireType, encode_varint, encoded_len_varint};
use prost_reflect::{EnumDescriptor, Kind};
use sqlx::{
    TypeInfo,
    postgres::{PgTypeInfo, PgTypeKind},
};
use uuid::{Uuid, fmt::Hyphenated};

use super::{Fault, numeric, time};

/// How one value of a column becomes one value of a field.
#[derive(Debug, Clone)]
pub(super) enum Scalar {
    Bool,
    Integer(Integer),
    Unsigned(Integer),
    /// float4 to float. Like float8 to double, it only reverses the bytes.
    Float,
    Double,
    FloatToDouble,
    Text,
    Bytes,
    Uuid,
    Numeric,
    Enum(Arc<[(String, i32)]>),
    Timestamp,
    Duration,
}

/// How protobuf encodes an integer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Integer {
    Varint,
    ZigZag,
    Fixed32,
    Fixed64,
}

/// Types whose binary format is text.
const TEXTS: [&str; 5] = ["TEXT", "VARCHAR", "CHAR", "NAME", "CITEXT"];

impl Scalar {
    /// The conversion between these types, if there is one.
    pub(super) fn between(from: &PgTypeInfo, to: &Kind) -> Option<Self> {
        let name = from.name().to_ascii_uppercase();
        let is_text = TEXTS.contains(&name.as_str()) || matches!(from.kind(), PgTypeKind::Enum(_));
        Some(match (name.as_str(), to) {
            ("BOOL", Kind::Bool) => Self::Bool,
            ("INT2" | "INT4", Kind::Int32) | ("INT2" | "INT4" | "INT8", Kind::Int64) => Self::Integer(Integer::Varint),
            ("INT2" | "INT4", Kind::Sint32) | ("INT2" | "INT4" | "INT8", Kind::Sint64) => {
                Self::Integer(Integer::ZigZag)
            }
            ("INT2" | "INT4", Kind::Sfixed32) => Self::Integer(Integer::Fixed32),
            ("INT2" | "INT4" | "INT8", Kind::Sfixed64) => Self::Integer(Integer::Fixed64),
            ("INT2" | "INT4", Kind::Uint32) | ("INT2" | "INT4" | "INT8", Kind::Uint64) => {
                Self::Unsigned(Integer::Varint)
            }
            ("INT2" | "INT4", Kind::Fixed32) => Self::Unsigned(Integer::Fixed32),
            ("INT2" | "INT4" | "INT8", Kind::Fixed64) => Self::Unsigned(Integer::Fixed64),
            ("FLOAT4", Kind::Float) => Self::Float,
            ("FLOAT4", Kind::Double) => Self::FloatToDouble,
            ("FLOAT8", Kind::Double) => Self::Double,
            ("BYTEA", Kind::Bytes) => Self::Bytes,
            ("UUID", Kind::String) => Self::Uuid,
            ("NUMERIC", Kind::String) => Self::Numeric,
            ("TIMESTAMPTZ", Kind::Message(message)) if message.full_name() == "google.protobuf.Timestamp" => {
                Self::Timestamp
            }
            ("INTERVAL", Kind::Message(message)) if message.full_name() == "google.protobuf.Duration" => Self::Duration,
            (_, Kind::String) if is_text => Self::Text,
            (_, Kind::Enum(to)) if is_text => Self::Enum(words(to)),
            _ => return None,
        })
    }

    /// Appends the value, with its length if it has one. Returns whether it is the type's default, which protobuf
    /// omits.
    pub(super) fn put(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, Fault> {
        match self {
            Self::Bool => {
                let [value] = array(bytes)?;
                Ok(put_varint(u64::from(value != 0), out))
            }
            Self::Integer(form) => Ok(form.put(integer(bytes)?, out)),
            Self::Unsigned(form) => match integer(bytes)? {
                negative @ ..0 => Err(Fault::Negative(negative)),
                value => Ok(form.put(value, out)),
            },
            Self::Float => {
                let value = f32::from_be_bytes(array(bytes)?);
                out.extend_from_slice(&value.to_le_bytes());
                Ok(value == 0.0)
            }
            Self::Double => Ok(put_double(f64::from_be_bytes(array(bytes)?), out)),
            Self::FloatToDouble => Ok(put_double(f64::from(f32::from_be_bytes(array(bytes)?)), out)),
            Self::Text => Ok(put_bytes(text(bytes)?.as_bytes(), out)),
            Self::Bytes => Ok(put_bytes(bytes, out)),
            Self::Uuid => {
                let mut buffer = Uuid::encode_buffer();
                let uuid = Hyphenated::from_uuid(Uuid::from_bytes(array(bytes)?)).encode_lower(&mut buffer);
                Ok(put_bytes(uuid.as_bytes(), out))
            }
            Self::Numeric => Ok(put_bytes(numeric::text(bytes)?.as_bytes(), out)),
            Self::Enum(words) => {
                let word = text(bytes)?;
                // An unknown word, as a later release may write, becomes 0, the unspecified value.
                let number = words.iter().find(|(known, _)| known == word).map_or(0, |(_, number)| *number);
                Ok(Integer::Varint.put(number.into(), out))
            }
            Self::Timestamp => time::put_timestamp(array(bytes)?, out),
            Self::Duration => time::put_duration(bytes, out),
        }
    }

    /// The wire type of the values in protobuf.
    pub(super) fn wire_type(&self) -> WireType {
        match self {
            Self::Text | Self::Bytes | Self::Uuid | Self::Numeric | Self::Timestamp | Self::Duration => {
                WireType::LengthDelimited
            }
            Self::Bool | Self::Enum(_) | Self::Integer(Integer::Varint | Integer::ZigZag) => WireType::Varint,
            Self::Unsigned(Integer::Varint | Integer::ZigZag) => WireType::Varint,
            Self::Float | Self::Integer(Integer::Fixed32) | Self::Unsigned(Integer::Fixed32) => WireType::ThirtyTwoBit,
            Self::Double | Self::FloatToDouble | Self::Integer(Integer::Fixed64) | Self::Unsigned(Integer::Fixed64) => {
                WireType::SixtyFourBit
            }
        }
    }
}

impl Integer {
    /// `Fixed32` is chosen only for columns of at most four bytes.
    fn put(self, value: i64, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Varint => encode_varint(value as u64, out),
            Self::ZigZag => encode_varint(((value << 1) ^ (value >> 63)) as u64, out),
            Self::Fixed32 => out.extend_from_slice(&(value as i32).to_le_bytes()),
            Self::Fixed64 => out.extend_from_slice(&value.to_le_bytes()),
        }
        value == 0
    }
}

/// What a column holds for each value of an enum: its name in lower case, without the enum's prefix.
fn words(of: &EnumDescriptor) -> Arc<[(String, i32)]> {
    let prefix = screaming_snake(of.name());
    let word = |name: &str| name.strip_prefix(&prefix).unwrap_or(name).to_ascii_lowercase();
    of.values().map(|value| (word(value.name()), value.number())).collect()
}

/// `JOB_STATUS_` for `JobStatus`, the prefix of enum values in [AIP-126](https://google.aip.dev/126) and buf's linter.
fn screaming_snake(name: &str) -> String {
    let mut snake = String::new();
    let mut before = None;
    for (place, char) in name.char_indices() {
        let next_is_lower =
            name.get(place + 1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        let begins_word = before.is_some_and(|c: char| !c.is_ascii_uppercase() && c != '_')
            || before.is_some_and(|c: char| c.is_ascii_uppercase()) && next_is_lower;
        if char.is_ascii_uppercase() && begins_word {
            snake.push('_');
        }
        snake.push(char.to_ascii_uppercase());
        before = Some(char);
    }
    snake.push('_');
    snake
}

/// Appends the bytes after their length. Returns whether there are none.
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
    bytes.is_empty()
}

/// Inserts at `begin` the length of everything that was appended since.
pub(super) fn insert_length(out: &mut Vec<u8>, begin: usize) {
    let length = out.len().saturating_sub(begin);
    let width = encoded_len_varint(length as u64);
    out.resize(out.len() + width, 0);
    out.copy_within(begin..begin + length, begin + width);
    if let Some(mut place) = out.get_mut(begin..begin + width) {
        encode_varint(length as u64, &mut place);
    }
}

pub(super) fn put_varint(value: u64, out: &mut Vec<u8>) -> bool {
    encode_varint(value, out);
    value == 0
}

pub(super) fn put_double(value: f64, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&value.to_le_bytes());
    value == 0.0
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_: std::str::Utf8Error| Fault::Utf8)
}

/// An int2, int4 or int8.
fn integer(bytes: &[u8]) -> Result<i64, Fault> {
    match bytes.len() {
        2 => Ok(i16::from_be_bytes(array(bytes)?).into()),
        4 => Ok(i32::from_be_bytes(array(bytes)?).into()),
        8 => Ok(i64::from_be_bytes(array(bytes)?)),
        _ => Err(Fault::Length),
    }
}

pub(super) fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Fault> {
    bytes.try_into().map_err(|_: std::array::TryFromSliceError| Fault::Length)
}
