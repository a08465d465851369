//! A table on a terminal.

use std::{io, io::Write};

use console::{Alignment, Color, Style, measure_text_width, pad_str};
use prost_reflect::{DynamicMessage, Value};

use super::{
    Layout,
    fields::{Column, Form},
    text::{line, short},
};
use crate::terminal::Terminal;

/// The spaces between columns.
const GAP: usize = 2;
/// Texts up to the length of a UUID are shown whole.
const WHOLE_TEXT: usize = 36;
/// The width of a column with longer texts, if there is no room for more.
const CUT_TEXT: usize = 28;
/// The least width of a column that is cut because no more of it fits.
const LEAST_TEXT: usize = 8;
/// The maximum width of a column in a table that is not cut: longer values stand out.
const MOST_WIDE: usize = 64;

/// Columns whose widths follow from the first page, so that rows can be printed as pages arrive.
pub(super) struct Table {
    columns: Vec<Column>,
    terminal: Terminal,
    /// Whether every column is shown whole.
    is_wide: bool,
    /// The widths of the columns that fit, when they are known.
    widths: Option<Vec<usize>>,
}

impl Table {
    pub(super) fn new(columns: Vec<Column>, terminal: Terminal, is_wide: bool) -> Self {
        Self { columns, terminal, is_wide, widths: None }
    }

    fn cell(&self, column: &Column, message: &DynamicMessage) -> Cell {
        let value = column.value(message);
        let form = &column.field.form;
        let text =
            if self.is_wide { line(form, value.as_deref()) } else { short(form, value.as_deref(), self.terminal.now) };
        Cell { text, color: value.and_then(|value| color(form, &value)) }
    }

    /// The widths that the header and these rows want.
    fn wanted(&self, rows: &[Vec<Cell>]) -> Vec<usize> {
        let mut widths: Vec<_> = self.columns.iter().map(|column| measure_text_width(&column.name)).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(&cell.text));
            }
        }
        widths
    }

    /// The widths of the columns that fit on the terminal.
    fn fit(&self, wanted: &[usize]) -> Vec<usize> {
        if self.is_wide {
            return wanted.iter().map(|width| *width.min(&MOST_WIDE)).collect();
        }
        let mut widths = Vec::new();
        let mut left = self.terminal.width;
        for (column, &wanted) in self.columns.iter().zip(wanted) {
            let gap = if widths.is_empty() { 0 } else { GAP };
            let is_text = column.field.is_text();
            let width = if is_text && wanted > WHOLE_TEXT { CUT_TEXT } else { wanted };
            let room = left.saturating_sub(gap);
            if width <= room {
                widths.push(width);
                left = room - width;
            } else {
                if widths.is_empty() || is_text && room >= LEAST_TEXT {
                    widths.push(room.max(1));
                    left = 0;
                }
                break;
            }
        }
        self.spread(left, wanted, &mut widths);
        widths
    }

    /// Gives the space that is left to columns that are cut, and to the last, because the texts of later pages may be longer.
    fn spread(&self, mut left: usize, wanted: &[usize], widths: &mut [usize]) {
        for (width, wanted) in widths.iter_mut().zip(wanted) {
            let more = wanted.saturating_sub(*width).min(left);
            *width += more;
            left -= more;
        }
        if let Some((column, width)) = self.columns.iter().zip(widths).next_back()
            && column.field.is_text()
        {
            *width += left;
        }
    }

    fn write(&self, widths: &[usize], cells: &[Cell], style: &Style, out: &mut Vec<u8>) -> io::Result<()> {
        let columns = self.columns.iter().zip(widths).zip(cells).enumerate();
        for (place, ((column, &width), cell)) in columns {
            let is_last = place + 1 == widths.len();
            let is_cut = !self.is_wide && column.field.is_text();
            let alignment = if column.field.is_number() { Alignment::Right } else { Alignment::Left };
            let text = pad_str(&cell.text, width, alignment, is_cut.then_some("…"));
            // No spaces at the end of a line.
            let text = if is_last { text.trim_end() } else { &text };
            let style = cell.color.map_or_else(|| style.clone(), |color| style.clone().fg(color));
            let gap = if is_last { 0 } else { GAP };
            write!(out, "{}{:gap$}", style.force_styling(self.terminal.has_styles).apply_to(text), "")?;
        }
        out.push(b'\n');
        Ok(())
    }
}

impl Layout for Table {
    fn rows(&mut self, rows: &[DynamicMessage], out: &mut Vec<u8>) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let cells = |message| self.columns.iter().map(|column| self.cell(column, message)).collect();
        let rows: Vec<Vec<Cell>> = rows.iter().map(cells).collect();
        let widths = match self.widths.take() {
            Some(widths) => widths,
            None => {
                let widths = self.fit(&self.wanted(&rows));
                let header = |column: &Column| Cell { text: column.name.clone(), color: None };
                let header: Vec<_> = self.columns.iter().map(header).collect();
                self.write(&widths, &header, &Style::new().bold(), out)?;
                widths
            }
        };
        for row in rows {
            self.write(&widths, &row, &Style::new(), out)?;
        }
        self.widths = Some(widths);
        Ok(())
    }
}

struct Cell {
    text: String,
    color: Option<Color>,
}

/// The colour of a value that says how something is going.
fn color(form: &Form, value: &Value) -> Option<Color> {
    match form.word(value.as_enum_number()?)? {
        "failed" | "offline" | "suspended" => Some(Color::Red),
        "partial_failure" | "degraded" => Some(Color::Yellow),
        "completed" | "active" => Some(Color::Green),
        _ => None,
    }
}
