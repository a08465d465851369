//! A start of a server.

use std::fs::File;
use std::path::Path;

use crate::account::Account;
use crate::binaries::{self, Binaries};
use crate::cluster::{self, Creation};
use crate::peers::Peers;
use crate::pid_file::{self, PidFile};
use crate::poll::poll;
use crate::socket::SocketDir;
use crate::supervisor::{Job, Supervisor};
use crate::{Error, PORT, Settings};

const START_SECONDS: u32 = 60;

/// A start, by a caller that holds both locks.
pub(crate) struct Start<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) cluster: &'a Path,
    pub(crate) account: Option<Account>,
    pub(crate) peers: Peers,
    pub(crate) log: (&'a File, &'a Path),
    pub(crate) scratch: Option<&'a Path>,
    /// The programs, if the caller has already found them.
    pub(crate) binaries: Option<Binaries>,
}

impl Start<'_> {
    pub(crate) fn run(&self, data_dir: &Path) -> Result<(Supervisor, SocketDir), Error> {
        let version = cluster::version(self.cluster);
        if let Err(Error::Io { .. }) = version {
            // Its message says more than that of a failed read.
            cluster::check_access(self.cluster, self.account)?;
        }
        let version = version?;
        if let Some(pid) = pid_file::stranger(self.cluster)? {
            return Err(Error::InUse { dir: data_dir.to_owned(), pid: Some(pid) });
        }
        let found = self
            .binaries
            .clone()
            .map_or_else(|| binaries::find(binaries::search_path(), version.as_deref(), self.cluster), Ok)?;
        let created = match version {
            Some(_) => None,
            None => Some(self.create(&found)?),
        };
        cluster::check_access(self.cluster, self.account)?;
        self.peers.write(self.cluster, self.account, !self.settings.durable)?;
        let socket = SocketDir::of(self.cluster, self.account)?;
        let mut supervisor = self.launch(&found, &socket)?;
        if let Some(created) = created {
            created.release();
        }
        if let Err(error) = self.wait_until_ready(&supervisor) {
            // The first error is reported.
            let _ = supervisor.stop();
            return Err(error);
        }
        Ok((supervisor, socket))
    }

    fn create(&self, binaries: &Binaries) -> Result<Supervisor, Error> {
        Creation {
            cluster: self.cluster,
            binaries,
            account: self.account,
            durable: self.settings.durable,
            log: self.log,
            scratch: self.scratch,
        }
        .run()
    }

    fn launch(&self, binaries: &Binaries, socket: &SocketDir) -> Result<Supervisor, Error> {
        Supervisor::spawn(&Job {
            program: binaries.postgres(),
            arguments: self.arguments(),
            dir: self.cluster,
            account: self.account,
            log: self.log,
            scratch: self.scratch,
            link: socket.link(),
        })
    }

    fn arguments(&self) -> Vec<String> {
        let port = PORT.to_string();
        let always = [
            ("listen_addresses", ""),
            // The data directory, which is PostgreSQL's working directory. This relative path is never too long.
            ("unix_socket_directories", "."),
            ("port", port.as_str()),
            ("max_connections", "100"),
            ("jit", "off"),
            ("random_page_cost", "1.1"),
            ("logging_collector", "off"),
            ("log_destination", "stderr"),
            ("log_min_messages", "warning"),
            ("log_checkpoints", "off"),
            // A refused statement is logged without its SQL and its values.
            ("log_min_error_statement", "panic"),
            ("log_error_verbosity", "terse"),
            ("log_parameter_max_length_on_error", "0"),
        ];
        // After a crash, PostgreSQL syncs all its files. By default it does so file by file, which takes seconds even
        // for an empty database.
        let recovery = cfg!(target_os = "linux").then_some(("recovery_init_sync_method", "syncfs"));
        let forgetful = [("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")];
        let forgetful = forgetful.iter().filter(|_| !self.settings.durable);
        let extra = self.settings.extra.iter();
        always
            .iter()
            .chain(&recovery)
            .chain(forgetful)
            .copied()
            .chain(extra.map(|(name, value)| (name.as_str(), value.as_str())))
            .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")])
            .collect()
    }

    fn wait_until_ready(&self, supervisor: &Supervisor) -> Result<(), Error> {
        let log = || self.log.1.to_owned();
        let outcome = poll(START_SECONDS, || {
            let ready =
                PidFile::read(self.cluster).is_some_and(|server| server.ready && server.pid == supervisor.pid());
            if ready {
                return Some(Ok(()));
            }
            (!supervisor.is_running()).then(|| Err(Error::NotStarted { reason: supervisor.last_error(), log: log() }))
        });
        outcome.unwrap_or_else(|| Err(Error::NotReady { log: log() }))
    }
}
