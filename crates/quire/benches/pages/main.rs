//! The cost of a page, as ratios. Both numbers of a ratio are measured in the same run on the same machine, and the
//! report shows the target of each ratio.
//!
//! ```sh
//! cargo bench -p quire --bench pages
//! cargo bench -p quire --bench pages -- --rows 10000000 --data-dir /var/tmp/pages --plot /tmp/pages.svg
//! cargo bench -p quire --bench pages -- --jobs 10000000
//! cargo bench -p quire --bench pages -- --data-dir DIR --only cpu,rate,storm --before OLD_QUIRE
//! cargo bench -p quire --bench pages -- --jobs 10000000 --only list,first-row,walk,scrape
//! ```
//!
//! The benchmark uses Quire as a user does: it starts the binary on a private Postgres with durable writes, and calls
//! its gRPC API. It compares Quire with `pgbench`, which sends the same statement to the same Postgres and ignores the
//! rows, and with other programs that serve the same list: a hand-written program (`examples/by_hand.rs`), a program
//! with SeaORM's cursor (`--control by-hand,sea-orm`), and an earlier build of Quire (`--before`). It requires Linux,
//! for `/proc`, and Postgres's extension `pg_stat_statements`. It leaves no files except those of `--data-dir` and
//! `--plot`.

mod arguments;
mod client;
mod commands;
mod controls;
mod database;
mod jobs;
mod load;
mod measure;
mod pgbench;
mod plot;
mod processes;
mod reader;
mod report;
mod server;
mod statement;
mod storm;
mod timing;
mod usage;
mod walk;

use std::process::ExitCode;

use arguments::Arguments;
use clap::Parser;
use database::Database;
use measure::Bench;
use report::Report;
use server::Server;
use tokio::signal::unix::{SignalKind, signal};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // All started processes are dropped, and so killed, before this process exits.
    let done = tokio::select! {
        done = run(&arguments) => done,
        stopped = told_to_stop() => stopped.and(Err("it was told to stop".into())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pages: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    if let Some(reader) = arguments.reader {
        return reader.read().await;
    }
    let database = Database::start(arguments.data_dir.as_deref())?;
    database.create().await?;
    server::migrate(&database.url()).await?;
    load::load(&database, arguments).await?;

    let server = Server::start(&database.url(), &[]).await?;
    let mut report = Report::new(&database, arguments.rows).await?;
    let bench = Bench::prepare(arguments, &database, &server).await?;
    let depths = bench.measure(arguments, &mut report).await?;
    if let Some(file) = &arguments.plot {
        plot::write(file, &depths, arguments.rows)?;
    }
    drop(bench);
    report.print();
    server.stop().await?;
    database.stop()
}

async fn told_to_stop() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
