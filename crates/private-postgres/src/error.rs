use std::io;
use std::path::{Path, PathBuf};

/// Why a private PostgreSQL did not start or stop. Each message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No searched directory holds `initdb` and `postgres`.
    #[error(
        "no PostgreSQL found: install it (Debian: apt-get install postgresql; macOS: brew install \
         postgresql) or name a database with --database-url"
    )]
    NotInstalled,
    /// PostgreSQL reads only databases of its own major version, and that version is not installed.
    #[error(
        "{} was written by PostgreSQL {wrote}, but only PostgreSQL {found} is installed: install \
         PostgreSQL {wrote}, or name another data directory",
        dir.display()
    )]
    WrongVersion {
        /// The directory of the database.
        dir: PathBuf,
        /// The major version in its `PG_VERSION`.
        wrote: String,
        /// The major versions that are installed, separated by commas.
        found: String,
    },
    /// Another live process runs a server on the data directory.
    #[error(
        "{} is in use by {}: stop that process, or name another data directory",
        dir.display(), holder(*pid)
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// The process that uses it, if it is known.
        pid: Option<u32>,
    },
    /// The process that started a server on the data directory is gone, but the server still runs.
    #[error(
        "the PostgreSQL of an earlier run still uses {} ({}): wait until it has ended, or stop it \
         with kill -INT",
        dir.display(), holder(*pid)
    )]
    Abandoned {
        /// The data directory.
        dir: PathBuf,
        /// The server's process, if it is known.
        pid: Option<u32>,
    },
    /// The directory of the database holds other files.
    #[error(
        "{} holds files that are not a PostgreSQL database: move them away, or name another data \
         directory",
        dir.display()
    )]
    NotADatabase {
        /// The directory where the database would be.
        dir: PathBuf,
    },
    /// The database of a server that should start again does not exist.
    #[error("the database in {} is missing: restore it", dir.display())]
    Gone {
        /// The directory of the database.
        dir: PathBuf,
    },
    /// The caller is root, PostgreSQL refuses to run as root, and there is no user to run it as.
    #[error(
        "PostgreSQL does not run as root, and the users postgres and nobody do not exist: add one of \
         them, or start as another user"
    )]
    NoAccount,
    /// The user of this process has no name. PostgreSQL looks up the names of the users that connect.
    #[error(
        "PostgreSQL needs a name for the user id {uid}, and /etc/passwd has none: add a line such as \
         quire:x:{uid}:0::/:/sbin/nologin, or name a database with --database-url"
    )]
    NoName {
        /// The user id of this process.
        uid: u32,
    },
    /// The directory of the database belongs to another user than the one that PostgreSQL would run as.
    #[error(
        "PostgreSQL would run as the user id {expected}, but {} belongs to {owner}: as root, run chown -R {expected} {}",
        dir.display(), dir.display()
    )]
    WrongOwner {
        /// The directory of the database.
        dir: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// The user id that PostgreSQL would run as.
        expected: u32,
    },
    /// Other users than the owner can reach the directory of the database, or the owner cannot.
    #[error(
        "PostgreSQL needs the mode 0700 or 0750 for {}, which has {mode:04o}: run chmod 0700 {}",
        dir.display(), dir.display()
    )]
    WrongMode {
        /// The directory of the database.
        dir: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// `initdb` failed.
    #[error(
        "PostgreSQL could not create a database in {}: {reason} (log: {})",
        dir.display(), log.display()
    )]
    NotCreated {
        /// The directory of the database.
        dir: PathBuf,
        /// The last error in the log.
        reason: String,
        /// The log.
        log: PathBuf,
    },
    /// `postgres` ended before it accepted connections.
    #[error("PostgreSQL did not start: {reason} (log: {})", log.display())]
    NotStarted {
        /// The last error in the log.
        reason: String,
        /// The log.
        log: PathBuf,
    },
    /// `postgres` runs, but did not accept connections in time.
    #[error("PostgreSQL was not ready after 60 seconds (log: {})", log.display())]
    NotReady {
        /// The log.
        log: PathBuf,
    },
    /// `postgres` was told to stop, but did not end in time.
    #[error("PostgreSQL did not stop within 60 seconds (process {pid})")]
    NotStopped {
        /// The server's process.
        pid: u32,
    },
    /// An operation of the operating system failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The path that it was tried on.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// For `map_err`: an [`Error::Io`] with this operation and path.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
