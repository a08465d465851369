//! The measurements, in order. The first have one call in flight, and the server has one connection to Postgres.

mod cpu;
mod depth;
mod events;
mod first_row;
mod jobs;
mod list;
mod memory;
mod offset;
mod rate;
mod scrape;
mod statements;
mod storm;
mod usage;
mod walk;

use std::path::PathBuf;

use clap::ValueEnum;
pub(crate) use offset::Depth;

use crate::{
    Result,
    arguments::Arguments,
    client::{Ask, Client},
    controls::{self, Control},
    database::Database,
    jobs::{Workspace, workspaces},
    pgbench::Pgbench,
    report::Report,
    server::Server,
    statement::PageStatement,
    walk::{STEP, Walk, middle},
};

/// All measurements, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measurement {
    Depth,
    Filter,
    Offset,
    Cpu,
    Rate,
    Memory,
    Usage,
    Jobs,
    Events,
    Storm,
    /// All rows in a file, by `quire prompts list` and by psql
    List,
    /// The first row of `quire jobs list`
    FirstRow,
    /// A client's walk
    Walk,
    /// A scrape of `quire exporter`
    Scrape,
}

/// A program that serves the list.
#[derive(Clone, Copy)]
struct Subject<'a> {
    name: &'static str,
    server: &'a Server,
    walk: &'a Walk,
}

/// The programs and data for the measurements.
pub(crate) struct Bench<'a> {
    database: &'a Database,
    server: &'a Server,
    rows: u64,
    walk: Walk,
    pgbench: Pgbench,
    /// Other programs that serve the list.
    controls: Vec<Control>,
    /// An earlier build of quire.
    before: Option<PathBuf>,
    /// The workspaces of jobs, from the smallest to the largest.
    workspaces: Vec<Workspace>,
}

impl<'a> Bench<'a> {
    pub(crate) async fn prepare(arguments: &Arguments, database: &'a Database, server: &'a Server) -> Result<Self> {
        let rows = arguments.rows;
        let mut client = Client::connect(server).await?;
        let walk = Walk::through(&mut client, rows).await?;

        // The row after which the page in the middle begins.
        let before = walk.token(middle(rows) - STEP)?.to_owned();
        let before = client.page(Ask { size: STEP.try_into()?, token: before, tag: None }).await?;
        let behind = &before.prompts.last().ok_or("there is no row before the middle")?.id;
        let statement = PageStatement::of_page(database, &mut client, walk.token(middle(rows))?, behind).await?;
        if arguments.verbose {
            eprintln!("{}\n{:?}\n{}", statement.text, statement.values, statement.plan);
        }
        let pgbench = Pgbench::new(database, &statement)?;
        let (before, workspaces) = (arguments.before.clone(), workspaces(arguments));
        // The controls start only after the statement was found, because their statements would be found too.
        let is_compared = |measurement| matches!(measurement, Measurement::Cpu | Measurement::Rate);
        let is_needed = arguments.measurements().any(is_compared);
        let controls = if is_needed { controls::start(arguments, database).await? } else { Vec::new() };
        Ok(Self { database, server, rows, walk, pgbench, controls, before, workspaces })
    }

    /// Runs the measurements. Returns the times of a page by its depth, if they are measured.
    pub(crate) async fn measure(&self, arguments: &Arguments, report: &mut Report) -> Result<Vec<Depth>> {
        let mut depths = Vec::new();
        for measurement in arguments.measurements() {
            eprintln!("measuring: {measurement:?}");
            match measurement {
                Measurement::Depth => self.depth(report).await?,
                Measurement::Filter => self.scanned_filter(report).await?,
                Measurement::Offset => depths = self.offset(report).await?,
                Measurement::Cpu => self.cpu(report).await?,
                Measurement::Rate => self.rate(report).await?,
                Measurement::Memory => self.memory(report).await?,
                Measurement::Usage => {
                    self.record(report).await?;
                    self.list_while_recorded(report).await?;
                }
                Measurement::Jobs => {
                    self.statements(report).await?;
                    self.totals(report).await?;
                    self.queue_stats(report).await?;
                    self.rare_status(report).await?;
                }
                Measurement::Events => self.append(report).await?,
                Measurement::Storm => self.storm(report).await?,
                Measurement::List => self.list(report).await?,
                Measurement::FirstRow => self.first_row(report).await?,
                Measurement::Walk => self.walk(report).await?,
                Measurement::Scrape => self.scrape(report).await?,
            }
        }
        Ok(depths)
    }

    /// The programs that serve the list: the server, then the controls.
    fn subjects(&self) -> impl Iterator<Item = Subject<'_>> {
        let server = Subject { name: "server", server: self.server, walk: &self.walk };
        let controls = self.controls.iter();
        std::iter::once(server).chain(controls.map(|Control { name, server, walk }| Subject { name, server, walk }))
    }
}
