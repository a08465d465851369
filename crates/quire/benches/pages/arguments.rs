use std::path::PathBuf;

use clap::Parser;

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

    /// Show the statement of a page, and Postgres's plan for it
    #[arg(long)]
    pub(crate) verbose: bool,

    /// What `cargo bench` gives to every benchmark
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}
