//! The table of results.
#![expect(clippy::print_stdout, reason = "the table is what the benchmark is for")]

use std::fmt;

use sqlx::Connection;

use crate::{Result, database::Database};

/// The target of a number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
    /// No target: the number is only shown.
    Shown,
}

impl Target {
    fn verdict(self, value: f64) -> &'static str {
        let is_reached = match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
            Self::Below(limit) => value < limit,
            Self::Shown => return "",
        };
        if is_reached { "reached" } else { "MISSED" }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::AtMost(limit) => format!("at most {limit}"),
            Self::AtLeast(limit) => format!("at least {limit}"),
            Self::Below(limit) => format!("below {limit}"),
            Self::Shown => String::new(),
        };
        formatter.pad(&text)
    }
}

/// The results, in the order of their measurement.
pub(crate) struct Report {
    title: String,
    lines: Vec<Line>,
}

struct Line {
    what: String,
    value: f64,
    /// The values of other programs, by name.
    beside: Vec<(&'static str, f64)>,
    unit: &'static str,
    target: Target,
    /// The two numbers of a ratio.
    from: String,
}

impl Report {
    pub(crate) async fn new(database: &Database, rows: u64) -> Result<Self> {
        let mut connection = database.connect().await?;
        let version: String = sqlx::query_scalar("show server_version").fetch_one(&mut connection).await?;
        connection.close().await?;
        let processors = std::thread::available_parallelism()?;
        let title = format!("Pages of 50 rows, of {}; Postgres {version}; {processors} processors", thousands(rows));
        Ok(Self { title, lines: Vec::new() })
    }

    pub(crate) fn ratio(&mut self, what: &str, ratio: f64, target: Target, from: &str) {
        self.value(what, (ratio, ""), target, from);
    }

    pub(crate) fn value(&mut self, what: &str, (value, unit): (f64, &'static str), target: Target, from: &str) {
        let (what, from) = (what.to_owned(), from.to_owned());
        self.lines.push(Line { what, value, beside: Vec::new(), unit, target, from });
    }

    /// Adds the values of several programs, by name. The first is the server.
    pub(crate) fn compared(
        &mut self,
        what: &str,
        values: &[(&'static str, f64)],
        target: Target,
        from: &str,
    ) -> Result<()> {
        let ((_, value), beside) = values.split_first().ok_or("nothing was measured")?;
        let (what, beside, from) = (what.to_owned(), beside.to_owned(), from.to_owned());
        self.lines.push(Line { what, value: *value, beside, unit: "", target, from });
        Ok(())
    }

    pub(crate) fn print(&self) {
        let width = self.lines.iter().map(|line| line.what.len()).max().unwrap_or_default();
        println!("\n{}\n", self.title);
        let columns = self.columns();
        let names: String = columns.iter().map(|name| format!("{name:>8} ")).collect();
        println!("{:width$}  {:>8}      {names}{:13} {:8} from", "", "measured", "target", "");
        for Line { what, value, beside, unit, target, from } in &self.lines {
            let of = |column: &str| beside.iter().find(|(name, _)| *name == column);
            let cell = |column: &&str| of(column).map_or_else(|| " ".repeat(9), |(_, value)| format!("{value:8.2} "));
            let others: String = columns.iter().map(cell).collect();
            println!("{what:width$}  {value:8.2} {unit:4} {others}{target:13} {:8} {from}", target.verdict(*value));
        }
        println!();
    }

    /// The names of all other programs, in the order of their first measurement.
    fn columns(&self) -> Vec<&'static str> {
        let mut columns = Vec::new();
        for (name, _) in self.lines.iter().flat_map(|line| &line.beside) {
            if !columns.contains(name) {
                columns.push(*name);
            }
        }
        columns
    }
}

/// A number with commas, as in `900,000`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
