//! `postmaster.pid`, which PostgreSQL keeps in its data directory while it runs.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::Error;
use crate::error::io;

const NAME: &str = "postmaster.pid";
const SOCKET_LOCK: &str = ".s.PGSQL.5432.lock";

#[derive(Debug)]
pub(crate) struct PidFile {
    pub(crate) pid: u32,
    pub(crate) ready: bool,
}

impl PidFile {
    pub(crate) fn read(cluster: &Path) -> Option<Self> {
        let text = fs::read_to_string(cluster.join(NAME)).ok()?;
        let mut lines = text.lines();
        Some(Self {
            pid: lines.next()?.trim().parse().ok()?,
            // The eighth line.
            ready: lines.nth(6).is_some_and(|status| status.trim() == "ready"),
        })
    }
}

/// The process id of a server on `cluster` that this crate did not start.
///
/// PostgreSQL refuses to start if this file or the lock of its socket is empty or garbage, or while the process id in it
/// belongs to any process of the same user. After a crash of the system or a restart of a container, such a file is often
/// left over, so it is removed here. The caller must hold the lock on the log.
pub(crate) fn stranger(cluster: &Path) -> Result<Option<u32>, Error> {
    let files = [NAME, SOCKET_LOCK].map(|name| cluster.join(name));
    if !Path::new("/proc/self/comm").exists() || !files.iter().any(|file| file.exists()) {
        // PostgreSQL itself checks the files.
        return Ok(None);
    }
    // The working directory of a server is its data directory.
    let here = fs::metadata(cluster).map_err(io("read", cluster))?;
    let suspects = PidFile::read(cluster).map_or_else(processes, |server| Ok(vec![server.pid]))?;
    if let Some(pid) = suspects.into_iter().find(|pid| is_server(*pid, &here)) {
        return Ok(Some(pid));
    }
    for stale in files {
        if stale.exists() {
            fs::remove_file(&stale).map_err(io("remove", &stale))?;
        }
    }
    Ok(None)
}

/// The ids of all processes.
fn processes() -> Result<Vec<u32>, Error> {
    let proc = Path::new("/proc");
    let entries = fs::read_dir(proc).map_err(io("read", proc))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Whether this process may be a server of the same user with this working directory.
fn is_server(pid: u32, here: &Metadata) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let is_postgres =
        fs::read_to_string(process.join("comm")).is_ok_and(|name| ["postgres", "postmaster"].contains(&name.trim()));
    let is_same_user = || fs::metadata(&process).is_ok_and(|process| process.uid() == here.uid());
    // Root may be unable to read it in a container. It does not exist if the process has ended.
    let is_here = || match fs::metadata(process.join("cwd")) {
        Ok(there) => (there.dev(), there.ino()) == (here.dev(), here.ino()),
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    };
    is_postgres && is_same_user() && is_here()
}
