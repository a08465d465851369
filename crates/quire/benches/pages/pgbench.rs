//! pgbench, which sends the statement of a page and ignores its rows.

use std::{io::Write, path::PathBuf, process::Stdio, time::Duration};

use sqlx::postgres::PgConnectOptions;
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::{Result, database::Database, processes::cpu_time_of_own_children, statement::PageStatement};

/// pgbench for one page, over the same socket and with the same settings as the server's connections.
pub(crate) struct Pgbench {
    program: PathBuf,
    connection: PgConnectOptions,
    script: NamedTempFile,
    variables: Vec<String>,
}

/// The result of a run of pgbench.
pub(crate) struct Run {
    /// Pages per second.
    pub(crate) rate: f64,
    /// The CPU time that pgbench itself used.
    pub(crate) cpu: Duration,
}

impl Pgbench {
    pub(crate) fn new(database: &Database, statement: &PageStatement) -> Result<Self> {
        let numbers = 1..=statement.values.len();
        // From the last to the first, because $10 begins with $1.
        let text = numbers.clone().rev().fold(statement.text.clone(), |text, number| {
            text.replace(&format!("${number}"), &format!(":value_{number}"))
        });
        let mut script = NamedTempFile::new()?;
        writeln!(script, "{text};")?;
        let variables = numbers.zip(&statement.values).map(|(number, value)| format!("value_{number}={value}"));
        Ok(Self {
            program: database.program("pgbench")?,
            connection: database.options_for_pages(),
            script,
            variables: variables.collect(),
        })
    }

    /// Fetches this many pages, one after the other.
    pub(crate) async fn pages(&self, count: usize) -> Result<Run> {
        self.run(&["--client=1", &format!("--transactions={count}")]).await
    }

    /// Fetches pages on this many connections for this many seconds.
    pub(crate) async fn for_seconds(&self, connections: usize, seconds: u64) -> Result<Run> {
        self.run(&[&format!("--client={connections}"), "--jobs=2", &format!("--time={seconds}")]).await
    }

    async fn run(&self, load: &[&str]) -> Result<Run> {
        let mut command = Command::new(&self.program);
        command
            .args(["--no-vacuum", "--protocol=prepared"])
            .arg("--file")
            .arg(self.script.path())
            .args(self.variables.iter().flat_map(|variable| ["--define", variable]))
            .args(load)
            .args(["--host".as_ref(), self.connection.get_socket().ok_or("Postgres has no socket")?.as_os_str()])
            .args(["--port", &self.connection.get_port().to_string()])
            .args(["--username", self.connection.get_username()])
            .arg(self.connection.get_database().ok_or("Postgres has no database")?)
            .env("PGOPTIONS", self.connection.get_options().unwrap_or_default())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        // No other child of this process ends during the run.
        let before = cpu_time_of_own_children()?;
        let output = command.output().await?;
        let cpu = cpu_time_of_own_children()?.saturating_sub(before);
        if !output.status.success() {
            return Err(format!("pgbench: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(Run { rate: rate(&String::from_utf8(output.stdout)?)?, cpu })
    }
}

/// Parses the line `tps = 4711.123456 (without initial connection time)`.
fn rate(output: &str) -> Result<f64> {
    let value = output.lines().rev().find_map(|line| line.strip_prefix("tps = "));
    let value = value.and_then(|value| value.split_whitespace().next());
    Ok(value.ok_or("pgbench has not printed its transactions per second")?.parse()?)
}
