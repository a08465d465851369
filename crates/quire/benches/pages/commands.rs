//! Programs that read from the server, each a process of its own.

use std::{
    fs::File,
    io::Read,
    path::Path,
    process::{Command as Process, Stdio},
};

use nix::pty::{Winsize, openpty};
use tokio::process::Command;

use crate::{
    Result,
    processes::memory,
    reader::Reader,
    server::{Server, THIS_BUILD, program},
    timing::{Stopwatch, Time},
};

/// How often the memory of a process is read.
const INTERVAL: Time = Time::from_millis(50);

/// `quire` as a client of this server.
pub(crate) fn quire_client(server: &Server, workspace: &str, arguments: &[&str]) -> Command {
    client(THIS_BUILD.as_ref(), server, workspace, arguments)
}

/// This program as a client of this server.
pub(crate) fn reader(server: &Server, workspace: &str, reader: Reader) -> Result<Command> {
    Ok(client(&std::env::current_exe()?, server, workspace, &["--reader", reader.name()]))
}

fn client(path: &Path, server: &Server, workspace: &str, arguments: &[&str]) -> Command {
    let mut command = program(path.as_os_str(), "");
    command.args(arguments).env("QUIRE_SERVER", server.url()).env("QUIRE_WORKSPACE", workspace);
    command
}

/// A process that has ended.
pub(crate) struct Run {
    /// From its start to its end.
    pub(crate) time: Time,
    /// The most memory that it had, in KiB.
    pub(crate) memory: u64,
}

/// Runs a program that writes to this file.
pub(crate) async fn write_to(file: &Path, mut command: Command) -> Result<Run> {
    command.stdout(File::create(file)?);
    let stopwatch = Stopwatch::start();
    let mut process = command.spawn()?;
    let id = process.id().ok_or("the program has ended")?;
    let mut most = 0;
    let mut ticks = tokio::time::interval(INTERVAL);
    let status = loop {
        tokio::select! {
            status = process.wait() => break status?,
            // It is the high-water mark, which a process that is ending does not have.
            _ = ticks.tick() => most = memory(id, "VmHWM").unwrap_or(most),
        }
    };
    let time = stopwatch.elapsed();
    if status.success() { Ok(Run { time, memory: most }) } else { Err(format!("{command:?}: {status}").into()) }
}

/// Runs a program on a terminal. Returns the time from its start until the terminal shows this text.
pub(crate) async fn time_until_shown(text: String, command: Command) -> Result<Time> {
    let mut command: Process = command.into_std();
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None)?;
    command.stdout(terminal.slave).stderr(Stdio::null());
    tokio::task::spawn_blocking(move || {
        let stopwatch = Stopwatch::start();
        let mut process = command.spawn()?;
        // It has the other end of the terminal, which must not stay open.
        let name = format!("{command:?}");
        drop(command);
        let mut shown = Vec::new();
        let mut screen = File::from(terminal.master);
        let mut time = None;
        let mut buffer = [0; 4096];
        // A terminal that nobody has open gives an error.
        while let Ok(length @ 1..) = screen.read(&mut buffer) {
            shown.extend_from_slice(buffer.get(..length).unwrap_or_default());
            if time.is_none() && String::from_utf8_lossy(&shown).contains(&text) {
                time = Some(stopwatch.elapsed());
            }
        }
        process.wait()?;
        time.ok_or_else(|| format!("{name} has not shown {text}").into())
    })
    .await?
}
