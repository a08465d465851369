//! `quire`: serves Quire's services, migrates their database, and imports what they keep.

mod arguments;
mod database;
mod error;
mod import;
mod private;
mod requests;
mod sample;
mod serve;

use std::{io::IsTerminal, process::ExitCode};

use arguments::{Arguments, Command, Prompts};
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// A page is some two thousand small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::builder().parse_lossy(&arguments.log);
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal).init();

    let done = match arguments.command {
        Command::Serve(serve) => serve::serve(serve).await,
        Command::Migrate(migrate) => database::migrate(migrate).await,
        Command::Prompts(Prompts::Import(import)) => import::import(import).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever lies beneath.
            eprintln!("quire: {}", error.to_string().replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}
