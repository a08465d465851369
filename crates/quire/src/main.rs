//! `quire`: serves Quire's services, migrates their database, imports records, and manages API keys.

mod admin;
mod arguments;
mod audit;
mod authentication;
mod budget;
mod certificates;
mod compression;
mod connect;
mod database;
mod deadline;
mod descriptors;
mod error;
mod export;
mod exporter;
mod files;
mod gate;
mod import;
mod imports;
mod keys;
mod listener;
mod manual;
mod measure;
mod message;
mod open_files;
mod output;
mod private;
mod process;
mod protocol;
mod records;
mod reflection;
mod resources;
mod sample;
mod serve;
mod services;
mod signals;
mod stream_age;
mod telemetry;
mod terminal;
mod tls;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::{CommandFactory, Parser, error::ErrorKind};
use error::Error;

/// A page needs about two thousand small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = if process::is_first() { process::supervise() } else { run().map(|()| ExitCode::SUCCESS) };
    done.unwrap_or_else(|error| {
        if !error.is_closed_pipe() {
            // One line, even if the cause has several.
            eprintln!("quire: {}", error.to_string().replace('\n', " "));
        }
        ExitCode::from(error.exit_status())
    })
}

fn run() -> Result<(), Error> {
    process::remove_ineffective_variables()?;
    let arguments = Arguments::try_parse()
        .map_err(|error| resources::name_flags(explain(error)))
        .unwrap_or_else(|error| error.exit());
    if arguments.command.uses_private_postgres() {
        process::remove_postgres_variables()?;
    }
    execute(arguments)
}

/// Names the variables that may be meant when the parser says that an argument is not UTF-8.
fn explain(error: clap::Error) -> clap::Error {
    let names = process::variables_not_in_utf8();
    if error.kind() != ErrorKind::InvalidUtf8 || names.is_empty() {
        return error;
    }
    Arguments::command().error(error.kind(), format!("these variables are not UTF-8: {names}"))
}

#[tokio::main]
async fn execute(Arguments { command, log }: Arguments) -> Result<(), Error> {
    let export = telemetry::start(&log, command.otlp())?;
    if !command.handles_interrupts() {
        signals::end_when_interrupted()?;
    }
    let done = match command {
        Command::Serve(serve) => serve::serve(*serve).await,
        Command::Migrate(migrate) => database::migrate(migrate).await,
        Command::Resource(resource) => resource.run().await,
        Command::Exporter(exporter) => exporter::run(*exporter).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::pages(dir.as_deref()),
    };
    if let Some(export) = export {
        export.stop().await;
    }
    done
}
