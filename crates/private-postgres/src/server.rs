use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::account::{Account, hand_over};
use crate::binaries::{self, Binaries};
use crate::cluster;
use crate::error::io;
use crate::lock::{self, OwnerLock};
use crate::peers::Peers;
use crate::rotation::Rotation;
use crate::socket::SocketDir;
use crate::start::Start;
use crate::supervisor::Supervisor;
use crate::{Error, PORT, USER};

/// How long the server of a killed process may take to shut down.
const ORPHAN_SECONDS: u32 = 15;

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory of the database, of `postgres.log` and of `postgres.log.1`. It is created if it does not exist. Other files in it are
    /// not touched.
    pub data_dir: PathBuf,
    /// Whether commits survive a power failure. False makes tests faster and is only for tests: roles other than
    /// [`USER`], and connections over TCP if `extra` opens it, then need no password. If it is true, they are refused.
    pub durable: bool,
    /// Additional PostgreSQL settings, by name. They override those of this crate.
    pub extra: Vec<(String, String)>,
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    // Dropped first, so that the server stops while its directory is still locked.
    supervisor: Supervisor,
    socket: SocketDir,
    _rotation: Rotation,
    _owner: OwnerLock,
    _scratch: Option<TempDir>,
}

impl Server {
    /// Starts a server, and returns once it accepts connections. Creates the database if it does not exist.
    ///
    /// Waits up to 15 seconds for the server of a killed process to shut down. A `Server` whose postmaster has died
    /// still holds its data directory: drop it before starting another.
    ///
    /// # Errors
    ///
    /// Any [`Error`] except [`Error::Gone`] and [`Error::NotStopped`].
    pub fn start(settings: &Settings) -> Result<Self, Error> {
        Self::start_in(settings, None)
    }

    /// Starts a server that has died. If its database is gone, for example with its volume, this fails and creates no
    /// new one.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] if there is no database, and those of [`Server::start`].
    pub fn start_again(settings: &Settings) -> Result<Self, Error> {
        let cluster = cluster::directory(&settings.data_dir);
        match cluster::version(&cluster)? {
            Some(_) => Self::start(settings),
            None => Err(Error::Gone { dir: cluster }),
        }
    }

    /// Starts a server for tests. Its directory is removed when it is dropped, or when this process ends in any way.
    /// The directory is in `$TMPDIR`, or in `/tmp` if the caller is root.
    ///
    /// # Errors
    ///
    /// Those of [`Server::start`].
    pub fn temporary() -> Result<Self, Error> {
        // Until a supervisor runs, nothing removes the directory if this process is killed. So the slow search comes
        // first.
        let binaries = binaries::find(binaries::search_path(), None, Path::new(""))?;
        // The supervisor runs as the server's user. It can remove the directory only if all users may write to its
        // parent.
        let parent = if Account::is_needed() { PathBuf::from("/tmp") } else { std::env::temp_dir() };
        let scratch = tempfile::Builder::new()
            .prefix("private-postgres-")
            .tempdir_in(&parent)
            .map_err(io("create a directory in", &parent))?;
        let settings = Settings { data_dir: scratch.path().to_owned(), durable: false, extra: Vec::new() };
        Self::start_in(&settings, Some((scratch, binaries)))
    }

    fn start_in(settings: &Settings, temporary: Option<(TempDir, Binaries)>) -> Result<Self, Error> {
        let (scratch, binaries) = temporary.unzip();
        cluster::create_private(&settings.data_dir)?;
        let data_dir = std::path::absolute(&settings.data_dir).map_err(io("find", &settings.data_dir))?;
        let cluster = cluster::directory(&data_dir);
        let account = Account::for_cluster(&cluster)?;
        let peers = Peers::find()?;
        if let Some(scratch) = &scratch {
            // So that the supervisor can remove it.
            hand_over(scratch.path(), account)?;
        }
        let owner = OwnerLock::acquire(&data_dir)?;
        let (log, log_path) = lock::open_log(&data_dir, &cluster, ORPHAN_SECONDS)?;
        let start = Start {
            settings,
            cluster: &cluster,
            account,
            peers,
            log: (&log, &log_path),
            scratch: scratch.as_ref().map(TempDir::path),
            binaries,
        };
        let (supervisor, socket) = start.run(&data_dir)?;
        let rotation = Rotation::start(log_path)?;
        tracing::debug!(pid = supervisor.pid(), dir = %cluster.display(), "PostgreSQL runs");
        Ok(Self { supervisor, socket, _rotation: rotation, _owner: owner, _scratch: scratch })
    }

    /// The directory of the socket. Its path is short enough for any client.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        self.socket.path()
    }

    /// The port, which is part of the socket's name.
    #[must_use]
    pub fn port(&self) -> u16 {
        PORT
    }

    /// The superuser. The user of this process connects as it without a password, and so does root.
    #[must_use]
    pub fn user(&self) -> &str {
        USER
    }

    /// The process id of the postmaster, the server's main process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.supervisor.pid()
    }

    /// Whether the postmaster is running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.supervisor.is_running()
    }

    /// The last error in the log. After the server has died, this is the cause, if it was logged. A start empties the
    /// log.
    #[must_use]
    pub fn last_error(&self) -> String {
        self.supervisor.last_error()
    }

    /// Closes all connections, shuts the server down, and returns once it has ended. Succeeds if the server has already
    /// ended.
    ///
    /// # Errors
    ///
    /// [`Error::NotStopped`] if it does not end in time.
    pub fn stop(mut self) -> Result<(), Error> {
        self.supervisor.stop()
    }
}

/// A server that another process runs, for its clients.
#[derive(Debug)]
pub struct Running(SocketDir);

impl Running {
    /// Finds the server that another process runs on this data directory.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the link to its socket cannot be created.
    pub fn at(data_dir: &Path) -> Result<Self, Error> {
        let data_dir = std::path::absolute(data_dir).map_err(io("find", data_dir))?;
        let cluster = cluster::directory(&data_dir);
        Ok(Self(SocketDir::of(&cluster, Account::for_cluster(&cluster)?)?))
    }

    /// The directory of the socket, which exists as long as this value. Its path is short enough for any client.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        self.0.path()
    }
}
