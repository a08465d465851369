//! The fields of a request, by their paths.

use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};

/// One step into a message: a field, and for a repeated field the index of the element.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    field: FieldDescriptor,
    place: Option<usize>,
}

/// The path of a field in a request, as in `requests[3].prompt.name`.
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

    /// The index of the batch's element that contains the field.
    pub fn element(&self) -> Option<usize> {
        self.0[0].place
    }

    /// Whether the field is in a message inside the request.
    pub fn is_nested(&self) -> bool {
        self.0.len() > 1
    }

    /// Whether the field is in this message of the request.
    pub fn is_in(&self, field: &FieldDescriptor) -> bool {
        self.is_nested() && self.0[0].field == *field
    }

    /// The value in a message, or the field's default if it is omitted.
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

/// A field of a request that is not itself a message with fields.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// Where it is.
    pub path: Path,
    /// Whether the request contains it.
    pub is_given: bool,
}

/// All leaves of a message, including omitted ones. The field `page` has its own rules, and is excluded.
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

/// Whether a field is the `page` of a list's request.
pub fn is_page(field: &FieldDescriptor) -> bool {
    message_of(field).is_some_and(|message| message.full_name() == "pagination.v1.PageRequest")
}

/// Whether the fields of a message are leaves. Times, durations and masks are leaves themselves.
pub fn has_fields(message: &MessageDescriptor) -> bool {
    message.package_name() != "google.protobuf"
}

/// The message type of a field or of its elements.
pub fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    if let Kind::Message(message) = field.kind() { Some(message).filter(|_| !field.is_map()) } else { None }
}
