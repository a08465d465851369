//! The binary, run as users run it.

use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use platform::testing;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

use crate::Result;

/// How long the server may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// The build that is measured.
pub(crate) const THIS_BUILD: &str = env!("CARGO_BIN_EXE_quire");

/// Migrates the schema.
pub(crate) async fn migrate(url: &str) -> Result<()> {
    let status = quire(Path::new(THIS_BUILD), &["migrate"], url).status().await?;
    if status.success() { Ok(()) } else { Err(format!("quire migrate: {status}").into()) }
}

/// `quire serve`, or a program that is started like it. It is killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    process_id: u32,
    endpoint: Endpoint,
}

impl Server {
    pub(crate) async fn start(url: &str, arguments: &[&str]) -> Result<Self> {
        Self::of_build(Path::new(THIS_BUILD), url, arguments).await
    }

    pub(crate) async fn of_build(build: &Path, url: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = quire(build, &["serve"], url);
        command.args(arguments).env("QUIRE_TOKEN_KEYS", testing::TOKEN_KEYS);
        Self::of_program(command).await
    }

    /// Starts the program with an address in `--listen`.
    pub(crate) async fn of_program(mut command: Command) -> Result<Self> {
        let address = free_address()?;
        let process = command.args(["--listen", &address.to_string()]).spawn()?;
        let process_id = process.id().ok_or("the server has ended")?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let mut server = Self { process, process_id, endpoint };
        tokio::time::timeout(PATIENCE, server.listens()).await??;
        Ok(server)
    }

    async fn listens(&mut self) -> Result<()> {
        while self.connect().await.is_err() {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("the server has ended: {status}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Opens a new connection.
    pub(crate) async fn connect(&self) -> Result<Channel> {
        Ok(self.endpoint.connect().await?)
    }

    pub(crate) fn url(&self) -> String {
        self.endpoint.uri().to_string()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process_id
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(self.process_id.try_into()?), Signal::SIGTERM)?;
        let status = tokio::time::timeout(PATIENCE, self.process.wait()).await??;
        if status.success() { Ok(()) } else { Err(format!("quire serve: {status}").into()) }
    }
}

/// A build of quire.
pub(crate) fn quire(build: &Path, subcommand: &[&str], url: &str) -> Command {
    let mut command = program(build.as_os_str(), url);
    command.args(subcommand).env("QUIRE_LOG", "warn");
    command
}

/// Prefixes of environment variables that a program does not inherit. Another package's Cargo variables would make
/// build scripts run again.
const SETTINGS: [&str; 4] = ["QUIRE_", "PG", "CARGO_MANIFEST_", "CARGO_PKG_"];

/// A program that uses the database.
pub(crate) fn program(program: &OsStr, url: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if SETTINGS.iter().any(|begin| name.as_encoded_bytes().starts_with(begin.as_bytes())) {
            command.env_remove(&name);
        }
    }
    command.env("DATABASE_URL", url).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
