use prost::encoding::key_len;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// The smallest maximum size of a request in bytes: 64 KiB.
pub const MIN_REQUEST_BYTES: usize = 64 << 10;
/// The largest maximum size of a request in bytes: 16 MiB, enough for a batch of a thousand ordinary texts.
pub const MAX_REQUEST_BYTES: usize = 16 << 20;

const DEFAULT_MAX_BYTES: usize = 4_096;
const DEFAULT_MAX_ELEMENTS: usize = 64;
/// The maximum size of a number, and of a length.
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
    fields_bytes(message, None)
}

/// The size of the fields. `most` is the limit of a map, which applies to the texts in its entries.
fn fields_bytes(message: &MessageDescriptor, most: Option<usize>) -> usize {
    let sizes = message.fields().map(|field| {
        let most = most.unwrap_or_else(|| max_bytes(&field));
        let value = match field.kind() {
            Kind::String | Kind::Bytes => most,
            Kind::Message(message) => fields_bytes(&message, field.is_map().then_some(most)),
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
            | Kind::Enum(_) => 0,
        };
        let elements = if field.is_list() || field.is_map() { max_elements(&field) } else { 1 };
        value.saturating_add(key_len(field.number()) + VARINT_BYTES).saturating_mul(elements)
    });
    sizes.fold(0, usize::saturating_add)
}
