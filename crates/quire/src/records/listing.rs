use std::mem;

use client::{Client, lists::List};
use pagination::Walk;
use platform::{Import, Service};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions, Value};
use quire_proto::resources::is_output_only;

use super::{describe, method, rows};
use crate::{error::Error, resources::list};

/// How the bool fields of a list's request begin that ask for more in each row.
const WITH: &str = "with_";

/// The list of an [`Import`], whose rows become the lines that the import reads.
pub(crate) struct Listing {
    list: &'static List,
    request: DynamicMessage,
    /// The message of a line.
    line: MessageDescriptor,
    /// What a line consists of. The row itself is the last part.
    parts: Vec<Part>,
}

/// A message in a line.
struct Part {
    /// The field of the row that holds it; `None` for the row itself.
    from: Option<FieldDescriptor>,
    /// The field of the line that holds it; `None` if it is the line itself.
    to: Option<FieldDescriptor>,
    /// The fields that are omitted, because the service sets them.
    omitted: Vec<FieldDescriptor>,
}

impl Listing {
    /// # Errors
    ///
    /// [`Error::Descriptors`] when the descriptors do not fit the import.
    pub(crate) fn new(service: &Service, import: &Import) -> Result<Self, Error> {
        let described = describe(service)?;
        let method_name = format!("{}.{}", service.grpc_name, import.list_method);
        let list = list(&method_name).ok_or_else(|| Error::Descriptors(format!("{method_name} is no list")))?;
        let (_, line) = rows(&method(&described, import.batch_method)?.input())?;
        let parts = parts(&list.row, &line);
        if !parts.iter().any(|part| part.from.is_none()) {
            return Err(Error::Descriptors(format!("{} does not hold {}", line.full_name(), list.row.full_name())));
        }
        Ok(Self { list, request: request(list.method.input.clone(), import.order)?, line, parts })
    }

    /// Walks through the whole list.
    pub(crate) fn walk(&self, client: Client) -> Walk<DynamicMessage> {
        self.list.walk(client, self.request.clone())
    }

    /// Writes the row as a line: protobuf's JSON with the proto's field names, sorted by name. The same row is always the
    /// same line.
    pub(crate) fn write(&self, mut row: DynamicMessage, lines: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let mut line = DynamicMessage::new(self.line.clone());
        for Part { from, to, omitted } in &self.parts {
            let part = match from {
                Some(field) => row.take_field(field),
                None => Some(Value::Message(mem::replace(&mut row, DynamicMessage::new(self.list.row.clone())))),
            };
            let Some(Value::Message(mut part)) = part else { continue };
            omitted.iter().for_each(|field| part.clear_field(field));
            match to {
                Some(field) => line.set_field(field, Value::Message(part)),
                None => line = part,
            }
        }
        let options = SerializeOptions::new().use_proto_field_name(true);
        let mut line = line.serialize_with_options(serde_json::value::Serializer, &options)?;
        line.sort_all_objects();
        serde_json::to_writer(&mut *lines, &line)?;
        lines.push(b'\n');
        Ok(())
    }

    /// What a line does not hold, in sentences for people.
    pub(crate) fn not_exported(&self) -> String {
        let mut names = Vec::new();
        let mut sentences = vec![String::new()];
        for Part { from, to, omitted } in &self.parts {
            match (from, to) {
                (Some(from), Some(to)) => sentences.push(format!(
                    "A copy begins with `{}` as its `{}`; earlier ones are not exported",
                    from.name(),
                    to.name()
                )),
                (None, _) | (_, None) => names.extend(omitted.iter().map(FieldDescriptor::name)),
            }
        }
        names.retain(|name| !self.parts.iter().any(|part| part.from.as_ref().is_some_and(|from| from.name() == *name)));
        format!("What the service sets is not exported: {}{}", names.join(", "), sentences.join(". "))
    }
}

/// The request of the whole list in this order, with everything in each row that can be asked for.
fn request(message: MessageDescriptor, order: &str) -> Result<DynamicMessage, Error> {
    let mut request = DynamicMessage::new(message.clone());
    let by = message.get_field_by_name("order_by");
    let by = by.ok_or_else(|| Error::Descriptors(format!("no order_by in {}", message.full_name())))?;
    request.set_field(&by, Value::String(order.to_owned()));
    for field in message.fields().filter(|field| field.kind() == Kind::Bool && field.name().starts_with(WITH)) {
        request.set_field(&field, Value::Bool(true));
    }
    Ok(request)
}

/// What a line with this message consists of: the row, and messages that the row holds.
fn parts(row: &MessageDescriptor, line: &MessageDescriptor) -> Vec<Part> {
    if row == line {
        return vec![Part { from: None, to: None, omitted: output_only(row) }];
    }
    let held = |message: &MessageDescriptor| {
        row.fields().find(|field| !field.is_list() && field.kind().as_message() == Some(message))
    };
    let mut parts: Vec<_> = line
        .fields()
        .filter_map(|to| {
            let message = to.kind().as_message()?.clone();
            let from = if message == *row { None } else { Some(held(&message)?) };
            Some(Part { from, to: Some(to), omitted: output_only(&message) })
        })
        .collect();
    parts.sort_by_key(|part| part.from.is_none());
    parts
}

fn output_only(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    message.fields().filter(is_output_only).collect()
}
