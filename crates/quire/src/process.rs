//! The environment of this process, and its duties as process 1.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, IsTerminal},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    process::{Command, ExitCode},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
    iterator::Signals,
};

use crate::error::Error;

/// The signals that process 1 passes on.
const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// The variables that change threads. Wrong values make tokio panic, and stacks overflow.
const OF_THREADS: [&str; 2] = ["RUST_MIN_STACK", "TOKIO_WORKER_THREADS"];

/// Removes the variables that have no effect: those of threads, and the empty ones, which mean the same as unset ones to
/// this program and to every library.
pub(crate) fn remove_ineffective_variables() -> Result<(), Error> {
    remove_variables(|name, value| value.is_empty() || OF_THREADS.iter().any(|of_threads| name == *of_threads))
}

/// Removes the variables of Postgres's clients, such as `PGSSLMODE`. They are meant for other databases than the private
/// Postgres, and sqlx reads them for every connection.
pub(crate) fn remove_postgres_variables() -> Result<(), Error> {
    remove_variables(|name, _| name.as_bytes().starts_with(b"PG"))
}

/// Starts the program again in place of itself, without these variables. A process cannot safely change its own
/// environment.
fn remove_variables(is_unwanted: impl Fn(&OsStr, &OsStr) -> bool) -> Result<(), Error> {
    let unwanted = variables(is_unwanted);
    if unwanted.is_empty() {
        return Ok(());
    }
    let run = |mut program: Command| {
        for name in &unwanted {
            program.env_remove(name);
        }
        program.exec()
    };
    let source = this_program().map_or_else(|error| error, run);
    Err(Error::Environment { names: listed(&unwanted), source })
}

/// The names of the variables whose value is not UTF-8, such as a path.
pub(crate) fn variables_not_in_utf8() -> String {
    listed(&variables(|_, value| value.to_str().is_none()))
}

/// The names of these variables.
fn variables(are_meant: impl Fn(&OsStr, &OsStr) -> bool) -> Vec<OsString> {
    env::vars_os().filter(|(name, value)| are_meant(name, value)).map(|(name, _)| name).collect()
}

fn listed(names: &[OsString]) -> String {
    names.join(OsStr::new(", ")).display().to_string()
}

/// This program with the same arguments.
fn this_program() -> io::Result<Command> {
    let mut arguments = env::args_os();
    let mut program = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        program.arg0(name);
    }
    program.args(arguments);
    Ok(program)
}

/// Whether this is process 1, as in a container.
pub(crate) fn is_first() -> bool {
    std::process::id() == 1
}

/// Runs the program as a child of process 1, and returns its exit code.
///
/// Process 1 inherits every process whose parent has ended, and has to wait for it. Nothing else in this process waits
/// for children, so it can wait for any.
pub(crate) fn supervise() -> Result<ExitCode, Error> {
    let mut signals = Signals::new(PASSED_ON.iter().chain(&[SIGCHLD])).map_err(Error::Signal)?;
    let child = this_program().and_then(|mut program| program.spawn()).map_err(Error::Again)?;
    let child = Pid::from_raw(child.id().cast_signed());
    for signal in signals.forever() {
        match signal {
            SIGCHLD => {
                if let Some(code) = reap(child) {
                    return Ok(code);
                }
            }
            // The terminal sends it to the child too.
            SIGINT | SIGQUIT if io::stdin().is_terminal() => {}
            // An error means that the child has just ended, and so SIGCHLD follows.
            other => drop(Signal::try_from(other).and_then(|signal| kill(child, signal))),
        }
    }
    Ok(ExitCode::FAILURE)
}

/// Waits for every process that has ended. Returns the exit code of `child` if it has ended.
fn reap(child: Pid) -> Option<ExitCode> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return code,
            Ok(WaitStatus::Exited(ended, status)) if ended == child => {
                code = Some(ExitCode::from(u8::try_from(status).unwrap_or(1)));
            }
            // As shells report it.
            Ok(WaitStatus::Signaled(ended, signal, _)) if ended == child => {
                code = Some(ExitCode::from(u8::try_from(128 + signal as i32).unwrap_or(1)));
            }
            Ok(_) => {}
            // The status has a signal that nix does not know, or no process is left.
            Err(Errno::EINVAL) => {}
            Err(_) => return code.or(Some(ExitCode::FAILURE)),
        }
    }
}
