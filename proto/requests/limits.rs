use prost::encoding::{encoded_len_varint, key_len};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// The smallest maximum size of a request in bytes: 64 KiB.
pub const MIN_REQUEST_BYTES: usize = 64 << 10;
/// The largest maximum size of a request in bytes: 16 MiB, enough for a batch of a thousand ordinary texts.
pub const MAX_REQUEST_BYTES: usize = 16 << 20;

const DEFAULT_MAX_BYTES: usize = 4_096;
const DEFAULT_MAX_ELEMENTS: usize = 64;
/// The maximum length of a number, and of the length of a message.
const VARINT_BYTES: usize = 10;

/// The maximum length in bytes of a string or bytes field, of each of its elements, or of each key and value of a map.
pub fn max_bytes(field: &FieldDescriptor) -> usize {
    option(field, "limits.v1.max_bytes").unwrap_or(DEFAULT_MAX_BYTES)
}

/// The maximum number of elements of a repeated field, or of entries of a map.
pub fn max_elements(field: &FieldDescriptor) -> usize {
    option(field, "limits.v1.max_elements").unwrap_or(DEFAULT_MAX_ELEMENTS)
}

fn option(field: &FieldDescriptor, name: &str) -> Option<usize> {
    let extension = field.parent_pool().get_extension_by_name(name)?;
    let options = field.options();
    if !options.has_extension(&extension) {
        return None;
    }
    options.get_extension(&extension).as_u32()?.try_into().ok()
}

/// The size of a message whose fields are at their limits. It ends, because no request contains its own type.
pub(super) fn message_bytes(message: &MessageDescriptor) -> usize {
    let fields = message.fields().map(|field| {
        let value = match field.kind() {
            // The limits of a map apply to the fields of its entries.
            Kind::Message(entry) if field.is_map() => {
                let parts = entry.fields().map(|part| part_bytes(&part, max_bytes(&field)));
                parts.fold(VARINT_BYTES, usize::saturating_add)
            }
            _ => value_bytes(&field, max_bytes(&field)),
        };
        let elements = if field.is_list() || field.is_map() { max_elements(&field) } else { 1 };
        key_len(field.number()).saturating_add(value).saturating_mul(elements)
    });
    fields.fold(0, usize::saturating_add)
}

fn part_bytes(part: &FieldDescriptor, most: usize) -> usize {
    key_len(part.number()).saturating_add(value_bytes(part, most))
}

fn value_bytes(field: &FieldDescriptor, most: usize) -> usize {
    match field.kind() {
        Kind::String | Kind::Bytes => encoded_len_varint(most as u64).saturating_add(most),
        Kind::Message(message) => VARINT_BYTES.saturating_add(message_bytes(&message)),
        Kind::Double
        | Kind::Float
        | Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64
        | Kind::Bool
        | Kind::Enum(_) => VARINT_BYTES,
    }
}
