//! Rows as protobuf, written directly from the bytes of Postgres's binary format.

mod field;
mod json;
mod numeric;
mod scalar;
mod time;

use field::Conversion;
use pagination::MAX_TOKEN_LENGTH;
use prost::encoding::{WireType, encode_key};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use scalar::insert_length;
use sqlx::{
    Column, Row, ValueRef,
    postgres::{PgColumn, PgRow, PgTypeInfo},
};

/// Why a value cannot be written to its field.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("its length does not match its type")]
    Length,
    #[error("it is not UTF-8")]
    Utf8,
    #[error("it is not a number in Postgres's format")]
    Number,
    #[error("{0} is negative, and the field is unsigned")]
    Negative(i64),
    #[error("it is outside the range of the field's type")]
    Time,
    #[error("it has months, which have no fixed length")]
    Months,
    #[error("an array for a repeated field must not contain nulls")]
    Null,
    #[error("an array for a repeated field must have one dimension")]
    Dimensions,
    #[error("it is not a JSON object of strings, numbers or booleans: {0}")]
    Json(serde_json::Error),
    #[error("a value of the JSON object does not have the type of the map's values")]
    MapValue,
}

/// Why a row cannot be written: the column, and what is wrong with its value.
#[derive(Debug)]
pub(crate) struct RowFault(pub(crate) String);

/// What a list declares about its message besides columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exceptions {
    /// Fields without a column.
    pub(crate) unfilled: &'static [&'static str],
    /// Nested messages that are present even if all their columns are null.
    pub(crate) always_there: &'static [&'static str],
}

/// How a row becomes a message. The columns are in the order of their field numbers, as protobuf encoders write fields.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    columns: Vec<(String, PgTypeInfo)>,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
struct Node {
    number: u32,
    kind: NodeKind,
}

#[derive(Debug, Clone)]
enum NodeKind {
    /// The position of the column in the row, and its conversion.
    Column(usize, Conversion),
    Nested {
        key: Vec<u8>,
        nodes: Vec<Node>,
        is_always_there: bool,
    },
}

impl Layout {
    /// Matches each column with the field of the same name: `name`, or `"operation.type"` for a field of a nested
    /// message.
    ///
    /// # Errors
    ///
    /// The problems, each with the name of the column or field.
    pub(crate) fn new(
        message: &MessageDescriptor,
        columns: &[PgColumn],
        exceptions: Exceptions,
    ) -> Result<Self, Vec<String>> {
        let mut nodes = Vec::new();
        let mut problems = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            problems.extend(add(&mut nodes, message, column.name(), "", place, column).err());
        }
        if problems.is_empty() {
            check_filled(&nodes, message, "", exceptions.unfilled, &mut problems);
        }
        for name in exceptions.always_there {
            let field = message.get_field_by_name(name);
            let node = field.and_then(|field| nodes.iter_mut().find(|node| node.number == field.number()));
            match node.map(|node| &mut node.kind) {
                Some(NodeKind::Nested { is_always_there, .. }) => *is_always_there = true,
                Some(NodeKind::Column(..)) | None => {
                    problems.push(format!("{name} is not a nested message with columns"));
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        sort(&mut nodes);
        let columns = columns.iter().map(|column| (column.name().to_owned(), column.type_info().clone()));
        Ok(Self { columns: columns.collect(), nodes })
    }

    /// Checks that the row begins with the columns of the layout. All rows of a statement have the same columns.
    pub(crate) fn check(&self, row: &PgRow) -> Result<(), String> {
        let mut found = row.columns().iter();
        for (name, type_info) in &self.columns {
            match found.next() {
                Some(column) if column.name() == name && column.type_info() == type_info => {}
                Some(column) => {
                    let (found, found_type) = (column.name(), column.type_info());
                    return Err(format!("a statement returns {found} {found_type} instead of {name} {type_info}"));
                }
                None => return Err(format!("a statement does not return {name}")),
            }
        }
        Ok(())
    }

    /// Whether some column fills this field, or a part of it, or has it as a part.
    pub(crate) fn has_field(&self, path: &str) -> bool {
        self.columns.iter().any(|(column, _)| is_part(column, path) || is_part(path, column))
    }

    /// The names of the columns that fill these fields.
    pub(crate) fn columns_of(&self, paths: &[String]) -> impl Iterator<Item = String> {
        let is_wanted = |column: &str| paths.iter().any(|path| is_part(column, path) || is_part(path, column));
        self.columns.iter().filter(move |(column, _)| is_wanted(column)).map(|(column, _)| column.clone())
    }

    /// The layout of rows that have only these columns.
    pub(crate) fn masked(&self, columns: &[String]) -> Self {
        let places: Vec<_> =
            self.columns.iter().map(|(name, _)| columns.iter().position(|column| column == name)).collect();
        let kept = self.columns.iter().filter(|(name, _)| columns.contains(name));
        Self { columns: kept.cloned().collect(), nodes: masked(&self.nodes, &places) }
    }

    #[cfg(feature = "conformance")]
    pub(crate) fn is_numeric(&self, name: &str) -> bool {
        use sqlx::TypeInfo;
        self.columns.iter().any(|(column, of)| column == name && matches!(of.name(), "NUMERIC" | "NUMERIC[]"))
    }

    /// Appends the message, without its length.
    pub(crate) fn put(&self, row: &PgRow, out: &mut Vec<u8>) -> Result<(), RowFault> {
        put_all(&self.nodes, row, out).map(|_: bool| ()).map_err(|(place, fault)| {
            let name = self.columns.get(place).map(|(name, _)| name.as_str()).unwrap_or_default();
            RowFault(format!("the value of {name} cannot be written: {fault}"))
        })
    }

    /// Appends the message as a value of the repeated field 1.
    pub(crate) fn put_as_row(&self, row: &PgRow, out: &mut Vec<u8>) -> Result<(), RowFault> {
        encode_key(1, WireType::LengthDelimited, out);
        let begin = out.len();
        self.put(row, out)?;
        insert_length(out, begin);
        Ok(())
    }
}

/// A numeric in Postgres's binary format as decimal text.
pub(crate) fn decimal(bytes: &[u8]) -> Option<String> {
    numeric::text(bytes).ok()
}

impl Layout {
    /// Appends a message that has only the fields of these columns, as a value of the repeated field 1. A value that does
    /// not fit, or is large, is left out.
    pub(crate) fn put_placeholder(&self, row: &PgRow, columns: &[&str], out: &mut Vec<u8>) {
        encode_key(1, WireType::LengthDelimited, out);
        let begin = out.len();
        for Node { kind, .. } in &self.nodes {
            let NodeKind::Column(place, conversion) = kind else { continue };
            let before = out.len();
            let is_key = self.columns.get(*place).is_some_and(|(name, _)| columns.contains(&name.as_str()));
            if is_key && put_column(*place, conversion, row, out).is_err() || out.len() - before > MAX_TOKEN_LENGTH {
                out.truncate(before);
            }
        }
        insert_length(out, begin);
    }
}

#[cfg(feature = "conformance")]
pub(crate) fn convert(from: &PgTypeInfo, to: &FieldDescriptor, bytes: &[u8]) -> Option<Result<Vec<u8>, String>> {
    let conversion = Conversion::between(from, to)?;
    let mut out = Vec::new();
    Some(conversion.put(bytes, &mut out).map(|()| out).map_err(|fault| fault.to_string()))
}

/// Whether a field is the whole, or a field of it.
fn is_part(path: &str, whole: &str) -> bool {
    path.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The nodes of the columns that have a new place.
fn masked(nodes: &[Node], places: &[Option<usize>]) -> Vec<Node> {
    let node = |Node { number, kind }: &Node| {
        let kind = match kind {
            NodeKind::Column(place, conversion) => {
                NodeKind::Column(places.get(*place).copied().flatten()?, conversion.clone())
            }
            NodeKind::Nested { key, nodes, is_always_there } => {
                let nodes = masked(nodes, places);
                if nodes.is_empty() {
                    return None;
                }
                NodeKind::Nested { key: key.clone(), nodes, is_always_there: *is_always_there }
            }
        };
        Some(Node { number: *number, kind })
    };
    nodes.iter().filter_map(node).collect()
}

/// Adds a column for the field that `path` names.
fn add(
    nodes: &mut Vec<Node>,
    message: &MessageDescriptor,
    path: &str,
    parent: &str,
    place: usize,
    column: &PgColumn,
) -> Result<(), String> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message.get_field_by_name(name);
    let field = field.ok_or_else(|| format!("{} has no field {parent}{name} for the column", message.full_name()))?;
    let existing = nodes.iter().position(|node| node.number == field.number());
    let Some(rest) = rest else {
        if existing.is_some() {
            return Err(format!("two columns are called {parent}{name}"));
        }
        let conversion = Conversion::between(column.type_info(), &field);
        let conversion = conversion.ok_or_else(|| no_conversion(&format!("{parent}{name}"), column, &field))?;
        nodes.push(Node { number: field.number(), kind: NodeKind::Column(place, conversion) });
        return Ok(());
    };
    let nested = nested(&field).ok_or_else(|| format!("the field {parent}{name} is not a nested message"))?;
    let at = existing.unwrap_or_else(|| {
        let mut key = Vec::new();
        encode_key(field.number(), WireType::LengthDelimited, &mut key);
        let kind = NodeKind::Nested { key, nodes: Vec::new(), is_always_there: false };
        nodes.push(Node { number: field.number(), kind });
        nodes.len() - 1
    });
    match nodes.get_mut(at).map(|node| &mut node.kind) {
        Some(NodeKind::Nested { nodes, .. }) => add(nodes, &nested, rest, &format!("{parent}{name}."), place, column),
        Some(NodeKind::Column(..)) | None => Err(format!("{parent}{name} and {parent}{path} are both columns")),
    }
}

fn nested(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let Kind::Message(message) = field.kind() else { return None };
    (!field.is_list() && !field.is_map()).then_some(message)
}

fn no_conversion(path: &str, column: &PgColumn, field: &FieldDescriptor) -> String {
    let kind = if field.is_map() {
        "map".to_owned()
    } else {
        format!("{}{:?}", if field.is_list() { "repeated " } else { "" }, field.kind())
    };
    format!("the column {path} is of type {}, which has no conversion to {kind}: cast it in SQL", column.type_info())
}

/// Checks that each field has a column or is declared unfilled.
fn check_filled(
    nodes: &[Node],
    message: &MessageDescriptor,
    parent: &str,
    unfilled: &[&str],
    problems: &mut Vec<String>,
) {
    for field in message.fields() {
        let path = format!("{parent}{}", field.name());
        let is_unfilled = unfilled.contains(&path.as_str());
        match nodes.iter().find(|node| node.number == field.number()).map(|node| &node.kind) {
            Some(_) if is_unfilled => problems.push(format!("the field {path} is declared unfilled but has a column")),
            Some(NodeKind::Nested { nodes, .. }) => {
                if let Some(nested) = nested(&field) {
                    check_filled(nodes, &nested, &format!("{path}."), unfilled, problems);
                }
            }
            Some(NodeKind::Column(..)) => {}
            None if is_unfilled => {}
            None => problems.push(format!("the field {path} of {} has no column", message.full_name())),
        }
    }
}

fn sort(nodes: &mut [Node]) {
    nodes.sort_by_key(|node| node.number);
    for node in nodes {
        if let NodeKind::Nested { nodes, .. } = &mut node.kind {
            sort(nodes);
        }
    }
}

/// Appends fields. Returns whether any of their columns has a value.
fn put_all(nodes: &[Node], row: &PgRow, out: &mut Vec<u8>) -> Result<bool, (usize, Fault)> {
    let mut has_value = false;
    for Node { kind, .. } in nodes {
        has_value |= match kind {
            NodeKind::Column(place, conversion) => put_column(*place, conversion, row, out)?,
            NodeKind::Nested { key, nodes, is_always_there } => {
                let begin = out.len();
                out.extend_from_slice(key);
                let message = out.len();
                let has_value = put_all(nodes, row, out)?;
                if has_value || *is_always_there {
                    insert_length(out, message)
                } else {
                    out.truncate(begin)
                }
                has_value
            }
        };
    }
    Ok(has_value)
}

fn put_column(place: usize, conversion: &Conversion, row: &PgRow, out: &mut Vec<u8>) -> Result<bool, (usize, Fault)> {
    // The layout was checked against the row, so the column exists.
    let value = row.try_get_raw(place).map_err(|_: sqlx::Error| (place, Fault::Length))?;
    if value.is_null() {
        return Ok(false);
    }
    let bytes = value.as_bytes().map_err(|_: sqlx::error::BoxDynError| (place, Fault::Length))?;
    conversion.put(bytes, out).map_err(|fault| (place, fault))?;
    Ok(true)
}
