use clap::{Args, ValueEnum, value_parser};
use pagination::{MAX_SKIP, proto::TotalCount};

use crate::{
    arguments::Connect,
    error::Error,
    output::{Choice, Format},
};

const DEFAULT_LIMIT: u64 = 50;
/// A day.
const MAX_SECONDS: u64 = 86_400;

/// The arguments of every list.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(super) paging: Paging,

    /// Print the rows again every so many seconds [default: 2]. On a terminal, they replace the former, and fill it unless
    /// there is a --limit
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2")]
    #[arg(value_parser = value_parser!(u64).range(1..=MAX_SECONDS), conflicts_with = "all")]
    pub(super) watch: Option<u64>,

    #[command(flatten)]
    pub(super) choice: Choice,

    #[command(flatten, next_help_heading = "Connection")]
    pub(super) connect: Connect,
}

/// Which rows.
#[derive(Debug, Args)]
pub(super) struct Paging {
    /// How many rows to print [default: 50]
    #[arg(long, value_name = "ROWS", value_parser = limit, allow_negative_numbers = true)]
    pub(super) limit: Option<u64>,

    /// Print all rows
    #[arg(long, conflicts_with = "limit")]
    pub(super) all: bool,

    /// Skip so many rows, at most 10,000. To go further, use --cursor
    #[arg(long, value_name = "ROWS", value_parser = value_parser!(i32).range(0..=i64::from(MAX_SKIP)), allow_negative_numbers = true)]
    pub(super) offset: Option<i32>,

    /// Go on where a list was cut, with the same filters and order
    #[arg(long, conflicts_with = "offset")]
    pub(super) cursor: Option<String>,

    /// Also print how many rows match the filters [default: capped, which counts up to 10,000]
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "capped")]
    #[arg(value_name = "PRECISION")]
    pub(super) total: Option<Total>,
}

impl Paging {
    /// How many rows to print, unless it is all.
    pub(super) fn limit(&self) -> Option<u64> {
        if self.all { None } else { Some(self.limit.unwrap_or(DEFAULT_LIMIT)) }
    }
}

fn limit(text: &str) -> Result<u64, &'static str> {
    text.parse().ok().filter(|rows| *rows > 0).ok_or("must be a whole number, at least 1")
}

/// A kind of total.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Total {
    None,
    Capped,
    Exact,
    Estimated,
}

impl From<Total> for TotalCount {
    fn from(total: Total) -> Self {
        match total {
            Total::None => Self::Unspecified,
            Total::Capped => Self::Capped,
            Total::Exact => Self::Exact,
            Total::Estimated => Self::Estimated,
        }
    }
}

impl ListArguments {
    /// Checks what concerns several arguments.
    pub(super) fn check(&self) -> Result<(), Error> {
        let is_table = matches!(self.choice.format(), Format::Table | Format::Wide);
        if self.watch.is_some() && !is_table {
            return Err(Error::Usage("--watch prints tables: use -o table or -o wide".to_owned()));
        }
        Ok(())
    }
}
