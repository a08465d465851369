//! A shell between this process and a PostgreSQL program. It ends the program when this process ends in any way.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::statvfs;
use nix::unistd::Pid;

use crate::Error;
use crate::account::Account;
use crate::cluster;
use crate::environment;
use crate::error;
use crate::poll::poll;

const SHELL: &str = "/bin/sh";
const SCRIPT: &str = include_str!("supervise.sh");
const STOP_SECONDS: u32 = 60;
/// A new database takes about 40 MiB, and a start up to 16 MiB.
const LITTLE_SPACE: u64 = 64 << 20;

/// A program to run on a data directory.
pub(crate) struct Job<'a> {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) dir: &'a Path,
    pub(crate) account: Option<Account>,
    pub(crate) log: (&'a File, &'a Path),
    pub(crate) scratch: Option<&'a Path>,
    pub(crate) link: Option<&'a Path>,
}

/// A program that was started, and its shell.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shell: Child,
    lifeline: UnixStream,
    dir: PathBuf,
    log: PathBuf,
    pid: u32,
    ended: AtomicBool,
    finished: bool,
}

impl Supervisor {
    pub(crate) fn spawn(job: &Job<'_>) -> Result<Self, Error> {
        let failed = |source| error::io("run", &job.program)(source);
        let (lifeline, theirs) = UnixStream::pair().map_err(failed)?;
        let shell = command(job, theirs).and_then(|mut command| command.spawn()).map_err(failed)?;
        let (dir, log) = (job.dir.to_owned(), job.log.1.to_owned());
        let mut supervisor = Self { shell, lifeline, dir, log, pid: 0, ended: AtomicBool::new(false), finished: false };
        supervisor.pid = supervisor.line().map_err(failed)?;
        Ok(supervisor)
    }

    /// Reads a line byte by byte, so that the bytes after it stay in the socket.
    fn line<T: FromStr>(&self) -> io::Result<T> {
        let mut line = String::new();
        let mut byte = [0];
        while (&self.lifeline).read(&mut byte)? > 0 && byte != *b"\n" {
            line.extend(byte.map(char::from));
        }
        line.parse().map_err(|_| io::Error::new(ErrorKind::UnexpectedEof, "its supervisor has ended"))
    }

    /// The process id of the program.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The last error in the log. The program may know its data directory by a path that ends with the shell, so that
    /// path is replaced. A nearly full disk is added, because then the log may lack the error.
    pub(crate) fn last_error(&self) -> String {
        let path = format!("/proc/{}/cwd", self.shell.id());
        let error = cluster::last_error(&self.log).replace(&path, &self.dir.to_string_lossy());
        match statvfs(&self.log).map(|disk| disk.blocks_available() * disk.fragment_size()) {
            Ok(bytes) if bytes < LITTLE_SPACE => format!("{error}; its disk has only {} MiB left", bytes >> 20),
            Ok(_) | Err(_) => error,
        }
    }

    /// Waits until the program has ended by itself, and returns whether it succeeded.
    pub(crate) fn succeeded(&self) -> bool {
        let status = self.line::<i32>();
        self.ended.store(true, Ordering::Release);
        matches!(status, Ok(0))
    }

    /// Whether the program runs, even if its shell was killed.
    pub(crate) fn is_running(&self) -> bool {
        if self.ended.load(Ordering::Acquire) {
            return false;
        }
        // The shell writes the exit status when the program has ended. If the shell is gone, there is nothing to read,
        // and the process itself is checked.
        let reported = self.lifeline.set_nonblocking(true).is_ok()
            && (&self.lifeline).read(&mut [0; 16]).is_ok_and(|count| count > 0);
        let running = !reported && self.signal(None);
        if !running {
            self.ended.store(true, Ordering::Release);
        }
        running
    }

    fn signal(&self, signal: Option<Signal>) -> bool {
        // A shell that ended early has told no process id, and 0 would be the process group of this process.
        let pid = i32::try_from(self.pid).ok().filter(|pid| *pid > 0);
        pid.is_some_and(|pid| kill(Pid::from_raw(pid), signal).is_ok())
    }

    /// Ends the shell of a program that has ended, without removing its directories.
    pub(crate) fn release(mut self) {
        if let Err(error) = self.lifeline.write_all(b"keep\n") {
            tracing::debug!(%error, "a supervisor ended early");
        }
    }

    /// Tells the program to end, and waits until it has ended and its directories are removed.
    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        self.finished = true;
        // Unlike closing, a shutdown reaches the shell even if a child of another thread has a copy of the descriptor.
        let closed = self.lifeline.shutdown(Shutdown::Write);
        let late = Error::NotStopped { pid: self.pid };
        poll(STOP_SECONDS, || self.shell.try_wait().ok().flatten()).ok_or(late)?;
        if let Err(error) = closed {
            tracing::debug!(%error, "the supervisor had ended");
        }
        // A killed shell has not told the program to end.
        if self.is_running() {
            self.signal(Some(Signal::SIGINT));
        }
        let late = Error::NotStopped { pid: self.pid };
        poll(STOP_SECONDS, || (!self.is_running()).then_some(())).ok_or(late)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Err(error) = self.stop() {
            tracing::warn!(%error, "cannot stop PostgreSQL");
        }
    }
}

fn command(job: &Job<'_>, lifeline: UnixStream) -> io::Result<Command> {
    let optional = |path: Option<&Path>| path.map(Path::to_owned).unwrap_or_default();
    let mut command = Command::new(SHELL);
    command.arg("-c").arg(SCRIPT).arg("supervise");
    if let (Some(account), true) = (job.account, cfg!(target_os = "linux")) {
        // The account may be unable to reach the directory by its path. A descriptor opened before the change of user
        // still works.
        command.arg("").uid(account.uid).gid(account.gid).stdout(File::open(job.dir)?).current_dir("/proc/self/fd/1");
    } else {
        command.arg(job.dir).stdout(Stdio::null()).current_dir("/");
    }
    command
        .arg(optional(job.scratch))
        .arg(optional(job.link))
        .arg(&job.program)
        .args(&job.arguments)
        .stdin(OwnedFd::from(lifeline))
        .stderr(job.log.0.try_clone()?)
        // Signals from a terminal reach only the caller, which may have work to finish first.
        .process_group(0);
    environment::clean(&mut command);
    Ok(command)
}

#[cfg(test)]
#[path = "tests/supervisor.rs"]
mod tests;
