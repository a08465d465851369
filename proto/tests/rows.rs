//! Random rows of any message, by its descriptor.

use std::fmt::Debug;

use proptest::{collection::vec, prelude::*};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MapKey, MessageDescriptor, Value};

/// The message of a response's rows, by the response's full name.
fn row_of(response: &str) -> MessageDescriptor {
    let pool = DescriptorPool::decode(quire_proto::FILE_DESCRIPTOR_SET).unwrap();
    let rows = pool.get_message_by_name(response).unwrap().get_field(1).unwrap();
    rows.kind().as_message().unwrap().clone()
}

/// Up to 20 rows, each with any of its fields set.
pub fn rows<M: Message + Default + Debug>(response: &str) -> impl Strategy<Value = Vec<M>> + use<M> {
    let row = row_of(response);
    vec(vec(any::<u16>(), 0..40), 0..20).prop_map(move |seeds| {
        seeds
            .into_iter()
            .map(|numbers| M::decode(&*filled(&row, &mut numbers.into_iter(), 0).encode_to_vec()).unwrap())
            .collect()
    })
}

/// A message with fields that are derived from the numbers. Fields after the last number are omitted.
fn filled(of: &MessageDescriptor, numbers: &mut impl Iterator<Item = u16>, depth: u32) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields() {
        let Some(number) = numbers.next() else { break };
        if number.is_multiple_of(4) {
            continue;
        }
        let kind = field.kind();
        let value = match () {
            () if field.is_map() => map(number),
            () if field.is_list() => {
                Value::List((0..number % 3).map(|_| value(&kind, number, numbers, depth)).collect())
            }
            () => value(&kind, number, numbers, depth),
        };
        message.set_field(&field, value);
    }
    message
}

fn map(number: u16) -> Value {
    let entries = (0..number % 5).map(|key| (MapKey::String(key.to_string()), Value::String(number.to_string())));
    Value::Map(entries.collect())
}

fn value(kind: &Kind, number: u16, numbers: &mut impl Iterator<Item = u16>, depth: u32) -> Value {
    match kind {
        Kind::String => Value::String("é".repeat(usize::from(number % 300))),
        Kind::Bytes => Value::Bytes(vec![0; usize::from(number % 300)].into()),
        Kind::Message(of) if depth < 3 => Value::Message(filled(of, numbers, depth + 1)),
        Kind::Enum(of) => Value::EnumNumber(i32::from(number) % of.values().len() as i32),
        Kind::Bool => Value::Bool(number.is_multiple_of(2)),
        Kind::Int32 => Value::I32(-i32::from(number)),
        Kind::Int64 => Value::I64(-i64::from(number) << 40),
        Kind::Double => Value::F64(f64::from(number) / 7.0),
        Kind::Float => Value::F32(f32::from(number) / 7.0),
        Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64
        | Kind::Message(_) => Value::default_value(kind),
    }
}
