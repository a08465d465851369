//! The fields of a request, by their paths.

use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};

/// One step into a message: a field, and for a repeated field the place of the element.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    field: FieldDescriptor,
    place: Option<usize>,
}

/// Where a field is in a request, as in `requests[3].prompt.name`.
#[derive(Debug, Clone, PartialEq)]
pub struct Path(Vec<Step>);

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, Step { field, place }) in self.0.iter().enumerate() {
            write!(formatter, "{}{}", if depth == 0 { "" } else { "." }, field.name())?;
            if let Some(place) = place {
                write!(formatter, "[{place}]")?;
            }
        }
        Ok(())
    }
}

impl Path {
    fn with(&self, field: &FieldDescriptor, place: Option<usize>) -> Self {
        let step = Step { field: field.clone(), place };
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// The field that the path leads to.
    pub fn field(&self) -> &FieldDescriptor {
        &self.0.last().unwrap().field
    }

    /// The field, as in `Prompt.name`.
    pub fn key(&self) -> String {
        format!("{}.{}", self.field().parent_message().name(), self.field().name())
    }

    /// The place of the element of a batch that the path leads into.
    pub fn element(&self) -> Option<usize> {
        self.0[0].place
    }

    /// Whether the path leads into a message that the request has.
    pub fn is_nested(&self) -> bool {
        self.0.len() > 1
    }

    /// Whether the path leads into this message of the request.
    pub fn is_in(&self, field: &FieldDescriptor) -> bool {
        self.is_nested() && self.0[0].field == *field
    }

    /// The value in a message; the field's default when it is not given.
    pub fn get(&self, message: &DynamicMessage) -> Value {
        get(&self.0, message)
    }

    /// Sets the value in a message, or clears it.
    pub fn set(&self, message: &mut DynamicMessage, value: Option<Value>) {
        let [step, rest @ ..] = self.0.as_slice() else { return };
        if !rest.is_empty() {
            let inner = match (message.get_field_mut(&step.field), step.place) {
                (Value::List(values), Some(place)) => &mut values[place],
                (value, _) => value,
            };
            Self(rest.to_vec()).set(inner.as_message_mut().unwrap(), value);
        } else if let Some(value) = value {
            message.set_field(&step.field, value);
        } else {
            message.clear_field(&step.field);
        }
    }
}

fn get(steps: &[Step], message: &DynamicMessage) -> Value {
    let [step, rest @ ..] = steps else { return Value::Message(message.clone()) };
    let value = message.get_field(&step.field);
    let value = match (value.as_ref(), step.place) {
        (Value::List(values), Some(place)) => &values[place],
        (value, _) => value,
    };
    match value {
        Value::Message(message) if !rest.is_empty() => get(rest, message),
        value => value.clone(),
    }
}

/// A field of a request that is no message with fields of its own.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// Where it is.
    pub path: Path,
    /// Whether the request gives it.
    pub is_given: bool,
}

/// Every leaf of a message, also those that are not given. The field `page` has rules of its own and is left out.
pub fn leaves(message: &DynamicMessage) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    add_leaves(&mut leaves, &Path(Vec::new()), message);
    leaves
}

fn add_leaves(leaves: &mut Vec<Leaf>, above: &Path, message: &DynamicMessage) {
    for field in message.descriptor().fields().filter(|field| !is_page(field)) {
        let value = message.get_field(&field);
        let is_given = message.has_field(&field);
        match value.as_ref() {
            Value::Message(inner) if is_given && has_fields(&inner.descriptor()) => {
                add_leaves(leaves, &above.with(&field, None), inner);
            }
            Value::List(values) if matches!(values.first(), Some(Value::Message(_))) => {
                for (place, inner) in values.iter().enumerate() {
                    add_leaves(leaves, &above.with(&field, Some(place)), inner.as_message().unwrap());
                }
            }
            _ => leaves.push(Leaf { path: above.with(&field, None), is_given }),
        }
    }
}

/// Whether a field is that of a list's request for a page.
pub fn is_page(field: &FieldDescriptor) -> bool {
    message_of(field).is_some_and(|message| message.full_name() == "pagination.v1.PageRequest")
}

/// Whether the fields of a message are looked at one by one: those of times, durations and masks are not.
pub fn has_fields(message: &MessageDescriptor) -> bool {
    message.package_name() != "google.protobuf"
}

/// The message that a field, or each of its elements, is.
pub fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    if let Kind::Message(message) = field.kind() { Some(message).filter(|_| !field.is_map()) } else { None }
}
