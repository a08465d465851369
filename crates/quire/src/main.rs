//! `quire`: serves Quire's services, migrates their database, imports records, and manages API keys.

mod admin;
mod arguments;
mod authentication;
mod budget;
mod certificates;
mod client;
mod connection;
mod database;
mod deadline;
mod error;
mod files;
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
mod signals;
mod stream_age;
mod tls;

use std::{io::IsTerminal, process::ExitCode};

use arguments::{Arguments, Command};
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// A page needs about two thousand small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::builder().parse_lossy(&arguments.log);
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal).init();

    let done = match arguments.command {
        Command::Serve(serve) => serve::serve(*serve).await,
        Command::Migrate(migrate) => database::migrate(migrate).await,
        Command::Import(import) => import::import(import).await,
        Command::Keys(keys) => keys::run(keys).await,
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
