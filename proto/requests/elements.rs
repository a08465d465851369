use std::collections::HashMap;

use prost::{
    DecodeError,
    bytes::Buf,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{ERROR_DOMAIN, limits::max_elements};

/// How many elements a request can have in excess of the limits of its fields, in all. The service refuses them too, and
/// its error names everything that is wrong with the request.
pub const SPARE_ELEMENTS: usize = 256;

/// Why a request is refused before it is decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// The bytes are not a message.
    Malformed(DecodeError),
    /// A field has too many elements.
    TooMany {
        /// The path of the field, as in `requests[3].memory.tags`.
        field: String,
        /// The maximum number of elements.
        most: usize,
        /// Whether the elements are entries of a map.
        is_map: bool,
    },
    /// No method of the contract has this request.
    Unknown,
}

impl Refusal {
    /// Adds the message around the field to the path.
    fn inside(self, message: impl FnOnce() -> String) -> Self {
        match self {
            Self::TooMany { field, most, is_map } => {
                Self::TooMany { field: format!("{}.{field}", message()), most, is_map }
            }
            Self::Malformed(_) | Self::Unknown => self,
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(_) => {
                let details = ErrorDetails::with_error_info("MESSAGE_MALFORMED", ERROR_DOMAIN, HashMap::new());
                Self::with_error_details(Code::InvalidArgument, "the message cannot be decoded", details)
            }
            Refusal::TooMany { field, most, is_map } => {
                let description = match is_map {
                    true => format!("must have at most {most} entries"),
                    false => format!("must be at most {most}"),
                };
                let message = format!("{field}: {description}");
                let details = ErrorDetails::with_bad_request_violation(field, description);
                Self::with_error_details(Code::InvalidArgument, message, details)
            }
            Refusal::Unknown => Self::internal("the request is not in the contract"),
        }
    }
}

/// The repeated fields of a message and of the messages in it, down to its repeated messages, which have their own.
///
/// A message field that is not repeated can still occur many times. The decoder then merges the messages, so their
/// repeated fields are counted together.
#[derive(Debug)]
pub(super) struct Elements {
    fields: Vec<Field>,
    /// How many counts `fields` have.
    counts: usize,
}

/// A field that is repeated or contains repeated fields.
#[derive(Debug)]
struct Field {
    number: u32,
    name: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A message that is not repeated.
    Message(Vec<Field>),
    /// A repeated field.
    Repeated { count: usize, most: usize, is_map: bool, element: Element },
}

#[derive(Debug)]
enum Element {
    /// A message with repeated fields.
    Message(Elements),
    /// A number of variable length. Many can be packed into one value.
    Varint,
    /// A number with this length. Many can be packed into one value.
    Fixed(usize),
    /// A text, or a message without repeated fields.
    Other,
}

impl Elements {
    /// The repeated fields of a request, which must not contain its own type.
    pub(super) fn of(message: &MessageDescriptor) -> Self {
        let mut counts = 0;
        Self { fields: fields_of(message, &mut counts), counts }
    }

    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), Refusal> {
        self.count(bytes, &mut { SPARE_ELEMENTS })
    }

    fn count(&self, bytes: &[u8], spare: &mut usize) -> Result<(), Refusal> {
        count(&self.fields, bytes, &mut vec![0; self.counts], spare)
    }
}

fn fields_of(message: &MessageDescriptor, counts: &mut usize) -> Vec<Field> {
    let fields = message.fields().filter_map(|field| {
        let content = if field.is_list() || field.is_map() {
            let count = *counts;
            *counts += 1;
            let element = Element::of(&field);
            Content::Repeated { count, most: max_elements(&field), is_map: field.is_map(), element }
        } else {
            let fields = fields_of(field.kind().as_message()?, counts);
            if fields.is_empty() {
                return None;
            }
            Content::Message(fields)
        };
        Some(Field { number: field.number(), name: field.name().to_owned(), content })
    });
    fields.collect()
}

impl Element {
    fn of(field: &FieldDescriptor) -> Self {
        match field.kind() {
            Kind::Message(message) => {
                let elements = Elements::of(&message);
                if elements.fields.is_empty() { Self::Other } else { Self::Message(elements) }
            }
            Kind::String | Kind::Bytes => Self::Other,
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Self::Fixed(8),
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Self::Fixed(4),
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Bool
            | Kind::Enum(_) => Self::Varint,
        }
    }

    /// The number of elements in a value with a length.
    fn number_in(&self, value: &[u8]) -> usize {
        match self {
            Self::Message(_) | Self::Other => 1,
            // The last byte of each number is below 128.
            Self::Varint => value.iter().filter(|byte| **byte < 0x80).count(),
            Self::Fixed(bytes) => value.len() / bytes,
        }
    }
}

/// Counts the elements in the fields of a message.
fn count(fields: &[Field], mut bytes: &[u8], counts: &mut [usize], spare: &mut usize) -> Result<(), Refusal> {
    while bytes.has_remaining() {
        let (number, wire_type) = decode_key(&mut bytes)?;
        let value = if wire_type == WireType::LengthDelimited {
            Some(value(&mut bytes)?)
        } else {
            // One number, unless the decoder refuses it.
            skip_field(wire_type, number, &mut bytes, DecodeContext::default())?;
            None
        };
        if let Some(field) = fields.iter().find(|field| field.number == number) {
            field.count(value, counts, spare)?;
        }
    }
    Ok(())
}

fn value<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let mut start = *bytes;
    let length = decode_varint(&mut start)?;
    let value = usize::try_from(length).ok().and_then(|length| start.split_at_checked(length));
    let Some((value, rest)) = value else {
        // Returns the decoder's error.
        skip_field(WireType::LengthDelimited, 1, bytes, DecodeContext::default())?;
        return Ok(&[]);
    };
    *bytes = rest;
    Ok(value)
}

impl Field {
    /// Counts a value of the field. It is `None` if it has no length.
    fn count(&self, value: Option<&[u8]>, counts: &mut [usize], spare: &mut usize) -> Result<(), Refusal> {
        match &self.content {
            Content::Message(fields) => count(fields, value.unwrap_or_default(), counts, spare)
                .map_err(|refusal| refusal.inside(|| self.name.clone())),
            Content::Repeated { count, most, is_map, element } => {
                let Some(count) = counts.get_mut(*count) else { return Err(Refusal::Unknown) };
                let (place, added) = (*count, value.map_or(1, |value| element.number_in(value)));
                *count += added;
                let excess = count.saturating_sub(*most).min(added);
                *spare = spare.checked_sub(excess).ok_or_else(|| Refusal::TooMany {
                    field: self.name.clone(),
                    most: *most,
                    is_map: *is_map,
                })?;
                match (element, value) {
                    (Element::Message(elements), Some(value)) => elements
                        .count(value, spare)
                        .map_err(|refusal| refusal.inside(|| format!("{}[{place}]", self.name))),
                    _ => Ok(()),
                }
            }
        }
    }
}
