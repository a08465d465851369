//! Rows as tab-separated and as comma-separated values.

use std::{borrow::Cow, io};

use prost_reflect::DynamicMessage;
use serde_json::Map;

use super::{
    Layout,
    fields::Column,
    text::{escaped, whole},
};

/// A header and then the rows, with tabs between the values.
pub(super) struct Tabs {
    columns: Vec<Column>,
    has_header: bool,
}

impl Tabs {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { columns, has_header: false }
    }

    fn header(&mut self, out: &mut Vec<u8>) {
        if !self.has_header {
            write_line(self.columns.iter().map(|column| column.name.as_str().into()), out);
            self.has_header = true;
        }
    }
}

impl Layout for Tabs {
    fn rows(&mut self, rows: &[DynamicMessage], out: &mut Vec<u8>) -> io::Result<()> {
        self.header(out);
        for message in rows {
            let value = |column: &Column| {
                let value = column.value(message);
                let text = value.as_deref().map(|value| whole(&column.field.form, value)).unwrap_or_default();
                escaped(&text).into_owned().into()
            };
            write_line(self.columns.iter().map(value), out);
        }
        Ok(())
    }

    fn finish(&mut self, _: &Map<String, serde_json::Value>, out: &mut Vec<u8>) -> io::Result<()> {
        self.header(out);
        Ok(())
    }
}

fn write_line<'a>(values: impl Iterator<Item = Cow<'a, str>>, out: &mut Vec<u8>) {
    for (place, value) in values.enumerate() {
        if place > 0 {
            out.push(b'\t');
        }
        out.extend_from_slice(value.as_bytes());
    }
    out.push(b'\n');
}

/// A header and then the rows, quoted as in [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180). Lines end as a shell's tools
/// expect, with a line feed alone.
pub(super) struct Csv {
    columns: Vec<Column>,
    has_header: bool,
}

impl Csv {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { columns, has_header: false }
    }
}

impl Layout for Csv {
    fn rows(&mut self, rows: &[DynamicMessage], out: &mut Vec<u8>) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        if !self.has_header {
            csv.write_record(self.columns.iter().map(|column| column.name.as_str()))?;
            self.has_header = true;
        }
        for message in rows {
            for column in &self.columns {
                let value = column.value(message);
                let text = value.as_deref().map(|value| whole(&column.field.form, value)).unwrap_or_default();
                csv.write_field(text.as_bytes())?;
            }
            csv.write_record(None::<&[u8]>)?;
        }
        csv.flush()
    }

    fn finish(&mut self, _: &Map<String, serde_json::Value>, out: &mut Vec<u8>) -> io::Result<()> {
        if self.has_header { Ok(()) } else { self.rows(&[], out) }
    }
}
