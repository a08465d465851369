//! One field: a single value, a repeated field or a map.

use prost::encoding::{WireType, encode_key};
use prost_reflect::{FieldDescriptor, Kind};
use sqlx::{
    TypeInfo,
    postgres::{PgTypeInfo, PgTypeKind},
};

use super::{
    Fault,
    json::{self, Json},
    scalar::{Scalar, insert_length, put_bytes, put_double, put_varint},
};

/// How a column becomes a field.
#[derive(Debug, Clone)]
pub(super) struct Conversion {
    /// The field's number and wire type, encoded as they stand before each value.
    key: Vec<u8>,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    /// One value. A field without presence omits the default of its type.
    One { scalar: Scalar, has_presence: bool },
    /// An array, with the key before each value.
    Repeated(Scalar),
    /// An array in packed encoding.
    Packed(Scalar),
    /// A JSON object.
    Map(MapValue),
}

/// The type of a map's values.
#[derive(Debug, Clone, Copy)]
enum MapValue {
    String,
    Bool,
    Integer,
    Double,
}

impl Conversion {
    /// The conversion of a column of this type to this field, if there is one.
    pub(super) fn between(from: &PgTypeInfo, to: &FieldDescriptor) -> Option<Self> {
        let kind = to.kind();
        let shape = if to.is_map() {
            Shape::Map(map_value(from, &kind)?)
        } else if to.is_list() {
            let PgTypeKind::Array(element) = from.kind() else { return None };
            let scalar = Scalar::between(element, &kind)?;
            if to.is_packed() { Shape::Packed(scalar) } else { Shape::Repeated(scalar) }
        } else {
            Shape::One { scalar: Scalar::between(from, &kind)?, has_presence: to.supports_presence() }
        };
        let wire_type = match &shape {
            Shape::Packed(_) | Shape::Map(_) => WireType::LengthDelimited,
            Shape::One { scalar, .. } | Shape::Repeated(scalar) => scalar.wire_type(),
        };
        let mut key = Vec::new();
        encode_key(to.number(), wire_type, &mut key);
        Some(Self { key, shape })
    }

    /// Appends the field, or nothing if it has its default value and no presence.
    pub(super) fn put(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let begin = out.len();
        match &self.shape {
            Shape::One { scalar, has_presence } => {
                out.extend_from_slice(&self.key);
                if scalar.put(bytes, out)? && !has_presence {
                    out.truncate(begin);
                }
            }
            Shape::Repeated(scalar) => {
                for value in elements(bytes)? {
                    out.extend_from_slice(&self.key);
                    scalar.put(value?, out)?;
                }
            }
            Shape::Packed(scalar) => {
                out.extend_from_slice(&self.key);
                let values = out.len();
                for value in elements(bytes)? {
                    scalar.put(value?, out)?;
                }
                if out.len() == values { out.truncate(begin) } else { insert_length(out, values) }
            }
            Shape::Map(value) => self.put_map(*value, bytes, out)?,
        }
        Ok(())
    }

    /// Appends the entries in the order of their keys, each as the message `{key = 1, value = 2}`.
    fn put_map(&self, value: MapValue, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let json = match bytes {
            // jsonb begins with the version of its format. JSON text never begins with this byte.
            [1, json @ ..] => json,
            json => json,
        };
        for (name, json) in json::entries(json)? {
            out.extend_from_slice(&self.key);
            let entry = out.len();
            if !name.is_empty() {
                out.push(STRING_KEY);
                put_bytes(name.as_bytes(), out);
            }
            let begin = out.len();
            if value.put(&json, out)? {
                out.truncate(begin);
            }
            insert_length(out, entry);
        }
        Ok(())
    }
}

/// The field key of an entry's key.
const STRING_KEY: u8 = (1 << 3) | WireType::LengthDelimited as u8;
/// The field number of an entry's value.
const VALUE: u32 = 2;

fn map_value(from: &PgTypeInfo, kind: &Kind) -> Option<MapValue> {
    let Kind::Message(entry) = kind else { return None };
    if !matches!(from.name(), "JSON" | "JSONB") || entry.map_entry_key_field().kind() != Kind::String {
        return None;
    }
    match entry.map_entry_value_field().kind() {
        Kind::String => Some(MapValue::String),
        Kind::Bool => Some(MapValue::Bool),
        Kind::Int64 => Some(MapValue::Integer),
        Kind::Double => Some(MapValue::Double),
        Kind::Float
        | Kind::Int32
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64
        | Kind::Bytes
        | Kind::Message(_)
        | Kind::Enum(_) => None,
    }
}

impl MapValue {
    /// Appends the value with its field key. Returns whether it is the type's default.
    fn put(self, json: &Json<'_>, out: &mut Vec<u8>) -> Result<bool, Fault> {
        let wire_type = match self {
            Self::String => WireType::LengthDelimited,
            Self::Bool | Self::Integer => WireType::Varint,
            Self::Double => WireType::SixtyFourBit,
        };
        encode_key(VALUE, wire_type, out);
        let is_default = match self {
            Self::String => json.as_str().map(|text| put_bytes(text.as_bytes(), out)),
            Self::Bool => json.as_bool().map(|value| put_varint(value.into(), out)),
            Self::Integer => json.as_i64().map(|value| put_varint(value as u64, out)),
            Self::Double => json.as_f64().map(|value| put_double(value, out)),
        };
        is_default.ok_or(Fault::MapValue)
    }
}

/// The values of an array of one dimension in Postgres's binary format: number of dimensions, whether it has nulls,
/// element type, then the length and the lowest index of the dimension, then each element after its length, which is -1
/// for a null. All numbers have four bytes.
fn elements(bytes: &[u8]) -> Result<impl Iterator<Item = Result<&[u8], Fault>>, Fault> {
    let (dimensions, rest) = bytes.split_first_chunk().ok_or(Fault::Length)?;
    let rest = match i32::from_be_bytes(*dimensions) {
        0 => &[],
        1 => rest.get(16..).ok_or(Fault::Length)?,
        _ => return Err(Fault::Dimensions),
    };
    let mut rest = Some(rest).filter(|rest| !rest.is_empty());
    Ok(std::iter::from_fn(move || {
        let value = element(rest?);
        rest = value.as_ref().ok().map(|(_, rest)| *rest).filter(|rest| !rest.is_empty());
        Some(value.map(|(value, _)| value))
    }))
}

/// The first element and the rest.
fn element(bytes: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let (length, rest) = bytes.split_first_chunk().ok_or(Fault::Length)?;
    let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_: std::num::TryFromIntError| Fault::Null)?;
    rest.split_at_checked(length).ok_or(Fault::Length)
}
