use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::{controls::ControlKind, measure::Measurement, reader::Reader};

/// The cost of a page of Quire, measured against Postgres itself.
#[derive(Debug, Parser)]
#[command(name = "pages")]
pub(crate) struct Arguments {
    /// How many rows the list has
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..=100_000_000))]
    pub(crate) rows: u64,

    /// The number of jobs without events, in their own workspace. Another workspace has as many jobs as rows, with
    /// three events each
    #[arg(long, value_parser = clap::value_parser!(u64).range(10_000..=100_000_000))]
    pub(crate) jobs: Option<u64>,

    /// The directory of the database, which is kept for the next run with as many rows. Without it, a temporary
    /// directory is used
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,

    /// The file for a plot of the time of a page by its depth, as SVG. Relative paths start in crates/quire, where
    /// cargo runs this
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// Programs that serve the same list, for comparing the CPU time and the rate of pages
    #[arg(long, value_enum, value_delimiter = ',', default_value = "by-hand")]
    pub(crate) control: Vec<ControlKind>,

    /// Another build of quire, for comparing the CPU time, the rate of pages, and the storm
    #[arg(long, value_name = "QUIRE")]
    pub(crate) before: Option<PathBuf>,

    /// What to measure; by default, everything
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measurement>,

    /// Show the statement of a page, and Postgres's plan for it
    #[arg(long)]
    pub(crate) verbose: bool,

    /// Read a list instead of measuring anything
    #[arg(long, hide = true)]
    pub(crate) reader: Option<Reader>,

    /// `cargo bench` passes this to every benchmark
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

impl Arguments {
    /// The selected measurements, in order.
    pub(crate) fn measurements(&self) -> impl Iterator<Item = Measurement> {
        let is_wanted = |measurement: &Measurement| self.only.is_empty() || self.only.contains(measurement);
        // The plot needs it.
        let is_plotted = |measurement: &Measurement| self.plot.is_some() && *measurement == Measurement::Offset;
        let all = Measurement::value_variants().iter().copied();
        all.filter(move |measurement| is_wanted(measurement) || is_plotted(measurement))
    }
}
