//! The fields of a message: how their values are written, and which a table shows.

use std::{borrow::Cow, collections::BTreeMap};

use client::lists::enum_word;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

/// A field, with everything that does not depend on the message.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) form: Form,
    descriptor: FieldDescriptor,
    has_presence: bool,
}

/// How a value is written: an element, if the field is repeated, and the value of an entry, if it is a map.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// A scalar, or a message that has protobuf's JSON.
    Plain,
    /// The names of an enum, in lower case and without the enum's prefix.
    Enum(BTreeMap<i32, String>),
    Timestamp,
    Duration,
    Message(Vec<Field>),
}

/// The fields of a message, in the order of their numbers.
pub(super) fn fields(message: &MessageDescriptor) -> Vec<Field> {
    fields_within(message, &[])
}

fn fields_within(message: &MessageDescriptor, outer: &[MessageDescriptor]) -> Vec<Field> {
    let outer = [outer, std::slice::from_ref(message)].concat();
    message.fields().map(|descriptor| Field::new(descriptor, &outer)).collect()
}

impl Field {
    fn new(descriptor: FieldDescriptor, outer: &[MessageDescriptor]) -> Self {
        let entry = if descriptor.is_map() { descriptor.kind().as_message().cloned() } else { None };
        let kind = entry.map_or_else(|| descriptor.kind(), |entry| entry.map_entry_value_field().kind());
        Self {
            name: descriptor.name().to_owned(),
            form: Form::new(&kind, outer),
            has_presence: descriptor.supports_presence(),
            descriptor,
        }
    }

    /// Its value, or the default. `None` if it can be unset and is.
    pub(super) fn value<'a>(&self, message: &'a DynamicMessage) -> Option<Cow<'a, Value>> {
        let is_unset = self.has_presence && !message.has_field(&self.descriptor);
        (!is_unset).then(|| message.get_field(&self.descriptor))
    }

    /// Whether it is one message with fields of its own.
    fn inner(&self) -> Option<&[Field]> {
        match &self.form {
            Form::Message(fields) if !self.is_repeated() => Some(fields),
            Form::Message(_) | Form::Plain | Form::Enum(_) | Form::Timestamp | Form::Duration => None,
        }
    }

    pub(super) fn is_repeated(&self) -> bool {
        self.descriptor.is_list() || self.descriptor.is_map()
    }

    /// The message of its elements, if it is a list of messages with fields of their own.
    pub(super) fn row(&self) -> Option<MessageDescriptor> {
        let is_list = self.descriptor.is_list() && matches!(self.form, Form::Message(_));
        if is_list { self.descriptor.kind().as_message().cloned() } else { None }
    }

    /// Whether its values are numbers, which are aligned to the right.
    pub(super) fn is_number(&self) -> bool {
        let kind = self.descriptor.kind();
        let is_other = matches!(kind, Kind::Bool | Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Enum(_));
        !is_other && !self.is_repeated()
    }

    /// Whether a table may cut its values: texts and names, but no numbers and times, which would look like others.
    pub(super) fn is_text(&self) -> bool {
        self.is_repeated() || matches!(self.descriptor.kind(), Kind::String | Kind::Bytes | Kind::Enum(_))
    }
}

impl Form {
    fn new(kind: &Kind, outer: &[MessageDescriptor]) -> Self {
        if let Some(descriptor) = kind.as_enum() {
            return Self::Enum(descriptor.values().map(|value| (value.number(), enum_word(&value))).collect());
        }
        let Some(message) = kind.as_message() else { return Self::Plain };
        match message.full_name() {
            "google.protobuf.Timestamp" => Self::Timestamp,
            "google.protobuf.Duration" => Self::Duration,
            name if name.starts_with("google.protobuf.") || outer.contains(message) => Self::Plain,
            _ => Self::Message(fields_within(message, outer)),
        }
    }
}

/// A column of a table: a field, or a field of a nested message.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// As in `operation.type`.
    pub(super) name: String,
    pub(super) field: Field,
    /// The fields that lead to the nested message.
    outer: Vec<FieldDescriptor>,
}

impl Column {
    /// Its value, or the default. `None` if it can be unset and is, or a message around it.
    pub(super) fn value<'a>(&self, mut message: &'a DynamicMessage) -> Option<Cow<'a, Value>> {
        for field in &self.outer {
            let Cow::Borrowed(Value::Message(inner)) = message.get_field(field) else { return None };
            message = inner;
        }
        self.field.value(message)
    }

    /// Whether it has this name, or is part of the message with this name.
    fn is_of(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// All columns.
pub(super) fn columns(fields: &[Field]) -> Vec<Column> {
    let column = |field: &Field| match field.inner() {
        Some(inner) => {
            let mut columns = columns(inner);
            for column in &mut columns {
                column.name = format!("{}.{}", field.name, column.name);
                column.outer.insert(0, field.descriptor.clone());
            }
            columns
        }
        None => vec![Column { name: field.name.clone(), field: field.clone(), outer: Vec::new() }],
    };
    fields.iter().flat_map(column).collect()
}

/// The columns with these names, in this order. The name of a message means all its fields.
///
/// # Errors
///
/// The name that no column has.
pub(super) fn choose<'a>(columns: &[Column], names: &'a [String]) -> Result<Vec<Column>, &'a str> {
    let mut chosen = Vec::new();
    for name in names {
        let before = chosen.len();
        chosen.extend(columns.iter().filter(|column| column.is_of(name)).cloned());
        if chosen.len() == before {
            return Err(name);
        }
    }
    Ok(chosen)
}

/// The columns that a table shows by default: those in the option `resources.v1.columns` of the message, or all that are
/// not repeated.
pub(super) fn default_columns(message: &MessageDescriptor, columns: Vec<Column>) -> Vec<Column> {
    let names = column_names(message);
    match choose(&columns, &names) {
        Ok(chosen) if !chosen.is_empty() => chosen,
        // A test of the contract shows that the columns in the options exist.
        Ok(_) | Err(_) => columns.into_iter().filter(|column| !column.field.is_repeated()).collect(),
    }
}

/// The option `resources.v1.columns` of the message.
pub(super) fn column_names(message: &MessageDescriptor) -> Vec<String> {
    let Some(option) = message.parent_pool().get_extension_by_name("resources.v1.columns") else { return Vec::new() };
    let options = message.options();
    let names = options.get_extension(&option);
    let names = names.as_list().unwrap_or_default().iter().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

/// Keeps the fields of these columns, in their order.
pub(super) fn keep(fields: Vec<Field>, columns: &[Column]) -> Vec<Field> {
    keep_below(fields, "", columns)
}

fn keep_below(fields: Vec<Field>, outer: &str, columns: &[Column]) -> Vec<Field> {
    let mut kept = Vec::new();
    for mut field in fields {
        let name = format!("{outer}{}", field.name);
        let Some(place) = columns.iter().position(|column| column.is_of(&name)) else { continue };
        if field.inner().is_some()
            && let Form::Message(inner) = field.form
        {
            field.form = Form::Message(keep_below(inner, &format!("{name}."), columns));
        }
        kept.push((place, field));
    }
    kept.sort_by_key(|(place, _)| *place);
    kept.into_iter().map(|(_, field)| field).collect()
}
