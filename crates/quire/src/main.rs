//! `quire`: serves Quire's services, and migrates their database.

mod arguments;
mod database;
mod error;
mod private;
mod sample;
mod serve;

use std::{io::IsTerminal, process::ExitCode};

use arguments::{Arguments, Command};
use clap::Parser;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::builder().parse_lossy(&arguments.log);
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal).init();

    let done = match arguments.command {
        Command::Serve(serve) => serve::serve(serve).await,
        Command::Migrate(migrate) => database::migrate(migrate).await,
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
