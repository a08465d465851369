//! Rows and records on standard output.

mod fields;
mod json;
mod record;
mod separated;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage};
use serde_json::{Map, Value};

use self::{
    fields::{Column, choose, columns, default_columns, fields, keep},
    json::{Document, Lines, Record},
    separated::{Csv, Tabs},
    table::Table,
};
use crate::{
    error::Error,
    terminal::{Terminal, shown},
};

/// How rows are printed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Choice {
    /// The format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    /// The fields to print, in this order, as in `id,operation.type`
    #[arg(long, value_delimiter = ',')]
    columns: Vec<String>,
}

/// A format of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns that fit on the terminal. If standard output is not a terminal: tab-separated values, nothing cut
    #[default]
    Table,
    /// A table with every field, nothing cut
    Wide,
    /// One document
    Json,
    /// A JSON object on each line
    Ndjson,
    /// Comma-separated values with a header
    Csv,
}

impl Format {
    fn is_table(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// On a terminal: without characters that could control it. The values in a table have none already, but it has styles.
    fn harmless(self, out: Vec<u8>, terminal: Option<Terminal>) -> Vec<u8> {
        if self.is_table() || terminal.is_none() {
            return out;
        }
        shown(&String::from_utf8_lossy(&out)).into_owned().into_bytes()
    }
}

/// The rows of a list on standard output, written page by page.
pub(crate) struct Output {
    rows_name: String,
    layout: Box<dyn Layout + Send>,
    format: Format,
    terminal: Option<Terminal>,
    has_rows: bool,
}

impl Output {
    /// `rows_name` is the field of the response that has the rows, as in `jobs`, and `row` is the message of a row.
    ///
    /// # Errors
    ///
    /// A chosen column does not exist.
    pub(crate) fn new(rows_name: &str, row: &MessageDescriptor, choice: &Choice) -> Result<Self, Error> {
        Self::on(Terminal::stdout(), rows_name, row, choice)
    }

    fn on(
        terminal: Option<Terminal>,
        rows_name: &str,
        row: &MessageDescriptor,
        choice: &Choice,
    ) -> Result<Self, Error> {
        let layout = choice.layout(rows_name, row, terminal)?;
        Ok(Self { rows_name: rows_name.to_owned(), layout, format: choice.output, terminal, has_rows: false })
    }

    /// Prints lines above a table. If standard output is not a terminal, they go to standard error.
    pub(crate) fn heading(&mut self, lines: &[String]) -> Result<(), Error> {
        let lines: String = lines.iter().map(|line| format!("{}\n", shown(line))).collect();
        match (self.format.is_table(), self.terminal) {
            (true, Some(_)) => print(format!("{lines}\n").as_bytes()),
            (true, None) => {
                eprint!("{lines}");
                Ok(())
            }
            (false, _) => Ok(()),
        }
    }

    /// Prints the rows of a page.
    pub(crate) fn rows(&mut self, rows: &[DynamicMessage]) -> Result<(), Error> {
        print(&self.page(rows)?)
    }

    fn page(&mut self, rows: &[DynamicMessage]) -> Result<Vec<u8>, Error> {
        self.has_rows |= !rows.is_empty();
        self.written(|layout, out| layout.rows(rows, out))
    }

    /// Ends the document. These members stand after the rows of a JSON document, and nowhere else.
    pub(crate) fn finish(mut self, members: Map<String, Value>) -> Result<(), Error> {
        print(&self.end(&members)?)?;
        if self.format.is_table() && self.terminal.is_some() && !self.has_rows {
            eprintln!("no {}", self.rows_name.replace('_', " "));
        }
        Ok(())
    }

    fn end(&mut self, members: &Map<String, Value>) -> Result<Vec<u8>, Error> {
        self.written(|layout, out| layout.finish(members, out))
    }

    fn written(
        &mut self,
        write: impl FnOnce(&mut dyn Layout, &mut Vec<u8>) -> io::Result<()>,
    ) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        write(self.layout.as_mut(), &mut out).map_err(Error::Stdout)?;
        Ok(self.format.harmless(out, self.terminal))
    }

    /// Prints the record that a `get` returns.
    ///
    /// # Errors
    ///
    /// A chosen column does not exist.
    pub(crate) fn one(record: &DynamicMessage, choice: &Choice) -> Result<(), Error> {
        print(&choice.one(record, Terminal::stdout())?)
    }
}

impl Choice {
    pub(crate) fn format(&self) -> Format {
        self.output
    }

    fn layout(
        &self,
        rows_name: &str,
        row: &MessageDescriptor,
        terminal: Option<Terminal>,
    ) -> Result<Box<dyn Layout + Send>, Error> {
        let (fields, columns) = self.fields(row)?;
        let by_default =
            || if self.columns.is_empty() { default_columns(row, columns.clone()) } else { columns.clone() };
        Ok(match (self.output, terminal) {
            (Format::Table, Some(terminal)) => Box::new(Table::new(by_default(), terminal, false)),
            (Format::Wide, Some(terminal)) => Box::new(Table::new(columns, terminal, true)),
            (Format::Table, None) => Box::new(Tabs::new(by_default())),
            (Format::Wide, None) => Box::new(Tabs::new(columns)),
            (Format::Json, _) => Box::new(Document::new(fields, rows_name)),
            (Format::Ndjson, _) => Box::new(Lines { fields }),
            (Format::Csv, _) => Box::new(Csv::new(columns)),
        })
    }

    fn one(&self, record: &DynamicMessage, terminal: Option<Terminal>) -> Result<Vec<u8>, Error> {
        let (fields, columns) = self.fields(&record.descriptor())?;
        let rows = std::slice::from_ref(record);
        let mut out = Vec::new();
        match self.output {
            Format::Table | Format::Wide => record::write(&columns, record, terminal, &mut out),
            Format::Json => json::write_pretty(&Record { fields: &fields, message: record }, &mut out),
            Format::Ndjson => Lines { fields }.rows(rows, &mut out),
            Format::Csv => Csv::new(columns).rows(rows, &mut out),
        }
        .map_err(Error::Stdout)?;
        Ok(self.output.harmless(out, terminal))
    }

    /// The chosen fields and columns, or all.
    fn fields(&self, message: &MessageDescriptor) -> Result<(Vec<fields::Field>, Vec<Column>), Error> {
        let fields = fields(message);
        let all = columns(&fields);
        if self.columns.is_empty() {
            return Ok((fields, all));
        }
        let chosen = choose(&all, &self.columns).map_err(|name| Error::Column {
            name: name.to_owned(),
            columns: all.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        Ok((keep(fields, &chosen), chosen))
    }
}

/// How rows stand in a format.
trait Layout {
    /// Appends the rows of a page.
    fn rows(&mut self, rows: &[DynamicMessage], out: &mut Vec<u8>) -> io::Result<()>;

    /// Appends what stands after the rows.
    fn finish(&mut self, _members: &Map<String, Value>, _out: &mut Vec<u8>) -> io::Result<()> {
        Ok(())
    }
}

/// The fields of a message in JSON.
pub(crate) fn json(message: &DynamicMessage) -> Map<String, Value> {
    let fields = fields(&message.descriptor());
    match serde_json::to_value(Record { fields: &fields, message }) {
        Ok(Value::Object(members)) => members,
        // Only a message of google.protobuf that is not valid.
        Ok(_) | Err(_) => Map::new(),
    }
}

/// Writes to standard output.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Error::Stdout)
}
