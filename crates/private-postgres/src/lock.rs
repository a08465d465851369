//! Two locks on a data directory. Both are kernel locks, so neither outlives its processes.
//!
//! The process that runs the server holds the owner's lock, which shows whether that process is alive. The log is
//! locked through a descriptor that every process of the server inherits as its standard error, so that lock shows
//! whether any of them is left. Process ids cannot show this, because they are reused.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::error::io;
use crate::poll::poll;

fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(io("open", path))
}

/// Returns `None` if another process holds the lock.
fn try_lock(file: &File, path: &Path) -> Result<Option<()>, Error> {
    match file.try_lock() {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(io("lock", path)(source)),
    }
}

/// The right to run a server on a data directory.
#[derive(Debug)]
pub(crate) struct OwnerLock(File);

impl OwnerLock {
    pub(crate) fn acquire(data_dir: &Path) -> Result<Self, Error> {
        let path = data_dir.join("postgres.lock");
        let mut file = open(&path)?;
        if try_lock(&file, &path)?.is_none() {
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder);
            return Err(Error::InUse {
                dir: data_dir.to_owned(),
                pid: read.ok().and_then(|_| holder.trim().parse().ok()),
            });
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io("write", &path))?;
        Ok(Self(file))
    }
}

impl Drop for OwnerLock {
    fn drop(&mut self) {
        // Closing the file alone would not release the lock while a child of another thread has a copy of the
        // descriptor, which it has from its fork until its exec.
        let _ = self.0.unlock();
    }
}

/// Opens the log, and waits up to `seconds` until no process of an earlier server is left.
pub(crate) fn open_log(data_dir: &Path, cluster: &Path, seconds: u32) -> Result<(File, PathBuf), Error> {
    let path = data_dir.join("postgres.log");
    let file = open(&path)?;
    let locked = poll(seconds, || try_lock(&file, &path).transpose());
    locked.unwrap_or_else(|| {
        Err(Error::Abandoned {
            dir: data_dir.to_owned(),
            pid: crate::pid_file::PidFile::read(cluster).map(|server| server.pid),
        })
    })?;
    file.set_len(0).map_err(io("truncate", &path))?;
    Ok((file, path))
}

#[cfg(test)]
#[path = "tests/lock.rs"]
mod tests;
