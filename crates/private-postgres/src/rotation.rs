//! Keeps the log short. Every process of a server has the log as its standard error and appends to it, so the log is
//! emptied, not replaced.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::Error;

/// The size at which the log is emptied, in bytes.
pub(crate) const MAX_BYTES: u64 = 8 << 20;
/// How often the size is checked. Between two checks, the log can grow beyond it.
const INTERVAL: Duration = Duration::from_millis(200);

/// Keeps a log short until it is dropped.
#[derive(Debug)]
pub(crate) struct Rotation(#[expect(dead_code, reason = "dropping it ends the thread")] Sender<()>);

impl Rotation {
    pub(crate) fn start(log: PathBuf) -> Result<Self, Error> {
        let (sender, dropped) = mpsc::channel();
        // The name may be removed while the server writes to the file.
        let file = OpenOptions::new().read(true).write(true).open(&log).map_err(crate::error::io("open", &log))?;
        let previous = previous(&log);
        let watch = move || {
            while dropped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = shorten(&file, &previous) {
                    tracing::warn!(%error, log = %previous.display(), "cannot copy PostgreSQL's log");
                }
            }
        };
        let thread = thread::Builder::new().name("postgres-log".to_owned()).spawn(watch);
        thread.map(|_| Self(sender)).map_err(crate::error::io("start a thread for", &log))
    }
}

/// The file with what the log had before it was last emptied.
pub(crate) fn previous(log: &Path) -> PathBuf {
    let mut name = OsString::from(log);
    name.push(".1");
    name.into()
}

/// Copies a large log, and empties it even if the copy fails, for example because the disk is full. Lines that are
/// written meanwhile are lost.
fn shorten(mut log: &File, previous: &Path) -> io::Result<()> {
    let bytes = log.metadata()?.len();
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(previous);
    let copied = opened.and_then(|mut copy| {
        log.rewind()?;
        io::copy(&mut log.take(bytes), &mut copy)
    });
    log.set_len(0)?;
    copied.map(drop)
}
