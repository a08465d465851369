//! Other programs that serve the same list, for comparison. Each is started like `quire serve`.

use std::ffi::OsStr;

use clap::ValueEnum;
use tokio::process::Command;

use crate::{
    Result,
    arguments::Arguments,
    client::Client,
    database::Database,
    server::{Server, program},
    walk::Walk,
};

/// The controls in this repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ControlKind {
    /// Written by hand: sqlx, a row value, structs (examples/by_hand.rs)
    ByHand,
    /// SeaORM's cursor (benches/sea-orm)
    SeaOrm,
}

/// A program that serves the list, with its page tokens.
pub(crate) struct Control {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
    /// No other program accepts its page tokens.
    pub(crate) walk: Walk,
}

/// Starts the programs that the arguments name.
pub(crate) async fn start(arguments: &Arguments, database: &Database) -> Result<Vec<Control>> {
    let url = database.url();
    let mut controls = Vec::new();
    if let Some(build) = &arguments.before {
        controls.push(Control::new("before", Server::of_build(build, &url, &[]).await?, arguments.rows).await?);
    }
    for kind in &arguments.control {
        let server = Server::of_program(kind.build(&url).await?).await?;
        controls.push(Control::new(kind.name(), server, arguments.rows).await?);
    }
    Ok(controls)
}

impl Control {
    async fn new(name: &'static str, server: Server, rows: u64) -> Result<Self> {
        let walk = Walk::through(&mut Client::connect(&server).await?, rows).await?;
        Ok(Self { name, server, walk })
    }
}

impl ControlKind {
    fn name(self) -> &'static str {
        match self {
            Self::ByHand => "by hand",
            Self::SeaOrm => "SeaORM",
        }
    }

    /// The arguments with which Cargo builds the program.
    fn target(self) -> &'static [&'static str] {
        match self {
            Self::ByHand => &["--package", "quire", "--example", "by_hand"],
            Self::SeaOrm => &["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/sea-orm/Cargo.toml")],
        }
    }

    /// Builds the program. Returns the command that runs it: Cargo replaces itself by the program, so the process that is
    /// started is the one whose CPU time is measured.
    async fn build(self, url: &str) -> Result<Command> {
        let cargo = OsStr::new(env!("CARGO"));
        let mut build = program(cargo, url);
        let build = build.args(["build", "--release"]).args(self.target()).status().await?;
        if !build.success() {
            return Err(format!("cargo build of the control {}: {build}", self.name()).into());
        }
        let mut run = program(cargo, url);
        run.args(["run", "--release", "--quiet"]).args(self.target()).arg("--");
        Ok(run)
    }
}
