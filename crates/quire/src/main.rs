//! `quire`: serves Quire's services, migrates their database, imports records, and manages API keys.

mod admin;
mod arguments;
mod audit;
mod authentication;
mod budget;
mod client;
mod database;
mod deadline;
mod error;
mod gate;
mod import;
mod imports;
mod keys;
mod listener;
mod measure;
mod open_files;
mod private;
mod records;
mod reflection;
mod sample;
mod serve;
mod services;
mod stream_age;
mod telemetry;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use error::Error;

/// A page needs about two thousand small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let otlp = if let Command::Serve(serve) = &arguments.command { Some(&serve.otlp) } else { None };
    let done = match telemetry::start(&arguments.log, otlp) {
        Ok(export) => {
            let done = run(arguments.command).await;
            if let Some(export) = export {
                export.stop().await;
            }
            done
        }
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, even if the cause has several.
            eprintln!("quire: {}", error.to_string().replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Serve(serve) => serve::serve(*serve).await,
        Command::Migrate(migrate) => database::migrate(migrate).await,
        Command::Import(import) => import::import(import).await,
        Command::Keys(keys) => keys::run(keys).await,
    }
}
