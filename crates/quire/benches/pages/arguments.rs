use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::{controls::ControlKind, measure::Measurement};

/// What a page of Quire costs, measured against Postgres itself.
#[derive(Debug, Parser)]
#[command(name = "pages")]
pub(crate) struct Arguments {
    /// How many rows the list has
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..=100_000_000))]
    pub(crate) rows: u64,

    /// How many jobs without events there are in a workspace of their own, besides as many as rows with three events each
    #[arg(long, value_parser = clap::value_parser!(u64).range(10_000..=100_000_000))]
    pub(crate) jobs: Option<u64>,

    /// Where the database is, and stays for the next run with as many rows; without it, in a temporary directory
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,

    /// Where to write a plot of the time of a page by its depth, as SVG; cargo runs this in crates/quire
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// Programs that serve the same list, to compare the CPU time and the rate of pages with
    #[arg(long, value_enum, value_delimiter = ',', default_value = "by-hand")]
    pub(crate) control: Vec<ControlKind>,

    /// Another build of quire, to compare the CPU time and the rate of pages, and the storm, with
    #[arg(long, value_name = "QUIRE")]
    pub(crate) before: Option<PathBuf>,

    /// What to measure; by default, everything
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measurement>,

    /// Show the statement of a page, and Postgres's plan for it
    #[arg(long)]
    pub(crate) verbose: bool,

    /// What `cargo bench` gives to every benchmark
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

impl Arguments {
    /// What is to be measured, in the order in which it is.
    pub(crate) fn measurements(&self) -> impl Iterator<Item = Measurement> {
        let is_wanted = |measurement: &Measurement| self.only.is_empty() || self.only.contains(measurement);
        // The plot shows it.
        let is_plotted = |measurement: &Measurement| self.plot.is_some() && *measurement == Measurement::Offset;
        let all = Measurement::value_variants().iter().copied();
        all.filter(move |measurement| is_wanted(measurement) || is_plotted(measurement))
    }
}
