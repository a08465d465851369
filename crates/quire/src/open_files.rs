//! The limit of open files, which the sockets of clients share with everything else.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The files that are neither sockets of clients nor connections to Postgres: listeners, logs, the program's own.
const RESERVED: u64 = 64;

/// How many files this process may open, after it has raised the number as far as it may.
pub(crate) fn raise() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, soft, hard, "cannot raise the limit of open files");
            soft
        }
    }
}

/// How many client connections can be open at most: what is left of the open files after those that other parts of the
/// server need, but at least one.
pub(crate) fn left(open_files: u64, others: usize) -> usize {
    let left = open_files.saturating_sub(RESERVED).saturating_sub(others as u64).max(1);
    usize::try_from(left).unwrap_or(usize::MAX)
}
