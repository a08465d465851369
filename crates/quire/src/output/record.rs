//! One record, a field on each line.

use std::{io, io::Write};

use prost_reflect::{DynamicMessage, Value};

use super::{
    Layout,
    fields::{self, Column, Form, default_columns},
    json::timestamp,
    table::Table,
    text::{ago, whole},
};
use crate::terminal::{Terminal, shown};

/// Writes the fields that are set. A text with several lines begins on a line of its own. On a terminal, a list of messages
/// is a table.
pub(super) fn write(
    columns: &[Column],
    record: &DynamicMessage,
    terminal: Option<Terminal>,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    for column in columns {
        let Some(value) = column.value(record) else { continue };
        let (name, form) = (&column.name, &column.field.form);
        if let (Some(terminal), Some(row), Value::List(rows)) = (terminal, column.field.row(), value.as_ref())
            && !rows.is_empty()
        {
            writeln!(out, "{name}:")?;
            let rows: Vec<_> = rows.iter().filter_map(Value::as_message).cloned().collect();
            let columns = default_columns(&row, fields::columns(&fields::fields(&row)));
            Table::new(columns, terminal, false).rows(&rows, out)?;
            continue;
        }
        let text = whole(form, &value);
        let text = if terminal.is_some() { shown(&text) } else { text };
        match (form, value.as_message(), terminal) {
            (Form::Timestamp, Some(time), Some(terminal)) => {
                writeln!(out, "{name}: {text} ({})", ago(timestamp(time), terminal.now))?;
            }
            _ if text.is_empty() => writeln!(out, "{name}:")?,
            _ if text.contains('\n') => writeln!(out, "{name}:\n{}", text.strip_suffix('\n').unwrap_or(&text))?,
            _ => writeln!(out, "{name}: {text}")?,
        }
    }
    Ok(())
}
