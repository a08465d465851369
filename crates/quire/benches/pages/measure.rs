//! The measurements, in the order in which they are made: first those with one call in flight, for which the server has
//! one connection to Postgres.

mod cpu;
mod depth;
mod events;
mod jobs;
mod memory;
mod offset;
mod rate;
mod statements;
mod usage;

pub(crate) use offset::Depth;

use crate::{
    Result,
    arguments::Arguments,
    client::{Ask, Client},
    database::Database,
    jobs::{Workspace, workspaces},
    pgbench::Pgbench,
    report::Report,
    server::Server,
    statement::PageStatement,
    walk::{STEP, Walk, middle},
};

/// What the measurements are made with.
pub(crate) struct Bench<'a> {
    database: &'a Database,
    server: &'a Server,
    rows: u64,
    walk: Walk,
    pgbench: Pgbench,
    /// The workspaces of jobs, from the smallest to the largest.
    workspaces: Vec<Workspace>,
}

impl<'a> Bench<'a> {
    pub(crate) async fn prepare(arguments: &Arguments, database: &'a Database, server: &'a Server) -> Result<Self> {
        let rows = arguments.rows;
        let mut client = Client::connect(server).await?;
        let walk = Walk::through(&mut client, rows).await?;

        // The row before the middle, behind which the page in the middle begins.
        let before = walk.token(middle(rows) - STEP)?.to_owned();
        let before = client.page(Ask { size: STEP.try_into()?, token: before, tag: None }).await?;
        let behind = &before.prompts.last().ok_or("there is no row before the middle")?.id;
        let statement = PageStatement::of_page(database, &mut client, walk.token(middle(rows))?, behind).await?;
        if arguments.verbose {
            eprintln!("{}\n{:?}\n{}", statement.text, statement.values, statement.plan);
        }
        let pgbench = Pgbench::new(database, &statement)?;
        Ok(Self { database, server, rows, walk, pgbench, workspaces: workspaces(arguments) })
    }

    /// Makes all measurements. Answers the times of a page by its depth.
    pub(crate) async fn measure(&self, report: &mut Report) -> Result<Vec<Depth>> {
        eprintln!("measuring: depth");
        self.depth(report).await?;
        eprintln!("measuring: a filter without an index");
        self.scanned_filter(report).await?;
        eprintln!("measuring: OFFSET");
        let depths = self.offset(report).await?;
        eprintln!("measuring: CPU time");
        self.cpu(report).await?;
        eprintln!("measuring: pages a second");
        self.rate(report).await?;
        eprintln!("measuring: memory");
        self.memory(report).await?;
        eprintln!("measuring: usage");
        self.record(report).await?;
        self.list_while_recorded(report).await?;
        eprintln!("measuring: jobs");
        self.statements(report).await?;
        self.totals(report).await?;
        self.queue_stats(report).await?;
        self.rare_status(report).await?;
        eprintln!("measuring: events of jobs");
        self.append(report).await?;
        Ok(depths)
    }
}
