//! The files of a database.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::account::{Account, hand_over};
use crate::binaries::Binaries;
use crate::error::io;
use crate::supervisor::{Job, Supervisor};
use crate::{Error, USER};

/// The directory of PostgreSQL's files in a data directory. The caller keeps other files next to it.
pub(crate) fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres")
}

/// Creates `path` with access for its owner only. An existing directory keeps its permissions.
pub(crate) fn create_private(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("create", path))
}

/// The major version that wrote the database; `None` if there is no database yet.
pub(crate) fn version(cluster: &Path) -> Result<Option<String>, Error> {
    let path = cluster.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(version) if version.trim().is_empty() => Err(Error::NotADatabase { dir: cluster.to_owned() }),
        Ok(version) => Ok(Some(version.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => is_free(cluster).map(|()| None),
        Err(error) => Err(io("read", &path)(error)),
    }
}

fn is_free(cluster: &Path) -> Result<(), Error> {
    match fs::read_dir(cluster) {
        Ok(mut entries) => entries.next().map_or(Ok(()), |_| Err(Error::NotADatabase { dir: cluster.to_owned() })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("read", cluster)(error)),
    }
}

/// Checks the owner and the permissions of a database, as PostgreSQL does: its owner may do everything, its group may
/// read, and other users must not reach it.
pub(crate) fn check_access(cluster: &Path, account: Option<Account>) -> Result<(), Error> {
    let found = fs::metadata(cluster).map_err(io("read", cluster))?;
    let dir = cluster.to_owned();
    let expected = account.map_or_else(|| Uid::effective().as_raw(), |account| account.uid);
    if found.uid() != expected {
        return Err(Error::WrongOwner { dir, owner: found.uid(), expected });
    }
    let mode = found.mode() & 0o777;
    if mode & 0o727 != 0o700 {
        return Err(Error::WrongMode { dir, mode });
    }
    Ok(())
}

/// Everything that is needed to create a database.
pub(crate) struct Creation<'a> {
    pub(crate) cluster: &'a Path,
    pub(crate) binaries: &'a Binaries,
    pub(crate) account: Option<Account>,
    pub(crate) durable: bool,
    pub(crate) log: (&'a File, &'a Path),
    pub(crate) scratch: Option<&'a Path>,
}

impl Creation<'_> {
    /// Creates a database in a temporary directory, and renames the directory when the database is complete, so that a
    /// killed process leaves no incomplete database. Until the returned supervisor is released, it removes `scratch` if
    /// this process ends.
    pub(crate) fn run(&self) -> Result<Supervisor, Error> {
        let unfinished = self.cluster.with_extension("unfinished");
        remove(&unfinished)?;
        create_private(&unfinished)?;
        hand_over(&unfinished, self.account)?;
        let initdb = Supervisor::spawn(&Job {
            program: self.binaries.initdb(),
            arguments: self.arguments(),
            dir: &unfinished,
            account: self.account,
            log: self.log,
            scratch: self.scratch,
            link: None,
        })?;
        if !initdb.succeeded() {
            return Err(Error::NotCreated {
                dir: self.cluster.to_owned(),
                reason: initdb.last_error(),
                log: self.log.1.to_owned(),
            });
        }
        fs::rename(&unfinished, self.cluster).map_err(io("rename", &unfinished))?;
        if let (true, Some(parent)) = (self.durable, self.cluster.parent()) {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(io("write", parent))?;
        }
        Ok(initdb)
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "--auth=peer".to_owned(),
            format!("--username={USER}"),
            "--encoding=UTF8".to_owned(),
            "--locale=C".to_owned(),
        ];
        if !self.durable {
            arguments.push("--no-sync".to_owned());
        }
        arguments
    }
}

fn remove(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", dir)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The last error in the log of a program that has failed.
pub(crate) fn last_error(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    ["FATAL:", "PANIC:", "error:"]
        .into_iter()
        .find_map(|mark| {
            let found = text.lines().rev().find_map(|line| line.split_once(mark))?;
            Some(found.1)
        })
        .or_else(|| text.lines().rev().find(|line| !line.trim().is_empty()))
        .map_or_else(|| "it ended without an error message".to_owned(), |line| line.trim().to_owned())
}
