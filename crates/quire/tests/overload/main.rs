//! One tenant's callers against another's: does anything that one caller does hurt another?
//!
//! A victim lists a page every 20 ms on its own connection. The attacks run one after the other, each from another
//! workspace, or without a credential. The table shows, for the victim alone and under each attack, how long its calls
//! took and how many were refused, and how much memory the server needed at most.
//!
//! ```sh
//! just overload
//! just overload --seconds 20 --before OLD_QUIRE
//! just overload recall summarize
//! ```
//!
//! It takes about five minutes, so `cargo test` does not run it. The tests in `tests/it` hold each limit by itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![expect(clippy::print_stdout, reason = "the table is its result")]

mod attacks;
mod load;
mod server;
mod victim;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

use crate::{attacks::ATTACKS, server::Server, victim::Figures};

/// The victim's calls under each attack.
#[derive(Parser)]
struct Arguments {
    /// The attacks to run; by default, all
    attacks: Vec<String>,
    /// How long each attack runs, in seconds
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Another build of quire to attack
    #[arg(long)]
    before: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let build = arguments.before.unwrap_or_else(|| env!("CARGO_BIN_EXE_quire").into());
    let time = Duration::from_secs(arguments.seconds);
    let mut server = Server::start(&build).await;
    load::load(&server).await;
    println!("{:22} {:>6} {:>9} {:>9} {:>9} {:>8} {:>9}", "", "calls", "p50", "p99", "max", "refused", "memory");
    let mut is_hurt = false;
    for (name, attack) in std::iter::once(&("alone", attacks::nothing as attacks::Attack)).chain(ATTACKS) {
        let is_wanted = arguments.attacks.is_empty() || arguments.attacks.iter().any(|wanted| wanted == name);
        if !is_wanted && *name != "alone" {
            continue;
        }
        let before = server.reset_peak();
        let attack = tokio::spawn(attack(server.target()));
        let Figures { calls, p50, p99, max, refused } = victim::watch(&server, time).await;
        attack.abort();
        let memory = server.peak().saturating_sub(before) >> 20;
        println!("{name:22} {calls:6} {p50:>6.1?} ms {p99:>6.1?} ms {max:>6.1?} ms {refused:8} {memory:>5} MiB");
        is_hurt |= refused > 0 || p99 > 1_000.0;
        server.rests().await;
    }
    if is_hurt { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
