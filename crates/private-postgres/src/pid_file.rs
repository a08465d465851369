//! `postmaster.pid`, which PostgreSQL keeps in its data directory while it runs.

use std::fs;
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
/// PostgreSQL refuses to start while the process id in the file belongs to any process of the same user. After a
/// container restart, this is often an unrelated process, so such a file is removed here. The caller must hold the lock
/// on the log.
pub(crate) fn stranger(cluster: &Path) -> Result<Option<u32>, Error> {
    let Some(PidFile { pid, .. }) = PidFile::read(cluster) else {
        return Ok(None);
    };
    let Ok(name) = fs::read_to_string(format!("/proc/{pid}/comm")) else {
        // No such process, or no /proc: PostgreSQL itself checks the file.
        return Ok(None);
    };
    // The working directory of a server is its data directory.
    let here = fs::metadata(cluster).map_err(io("read", cluster))?;
    let elsewhere = fs::metadata(format!("/proc/{pid}/cwd"))
        .is_ok_and(|there| (there.dev(), there.ino()) != (here.dev(), here.ino()));
    if ["postgres", "postmaster"].contains(&name.trim()) && !elsewhere {
        return Ok(Some(pid));
    }
    for stale in [NAME, SOCKET_LOCK].map(|name| cluster.join(name)) {
        if stale.exists() {
            fs::remove_file(&stale).map_err(io("remove", &stale))?;
        }
    }
    Ok(None)
}
