//! The files of an export. The rows go to `FILE.partial`, which becomes `FILE` at the end, so that `FILE` is always
//! complete. `FILE.checkpoint` says how far `FILE.partial` has come.

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

use super::{Cause, Checkpoint, ExportError, RUN_AGAIN};
use crate::error::Error;

/// How often a checkpoint is saved. When the process is killed, the work since the last one is done again.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// Its owner can read and write a file, so the export can be resumed.
const OWNER: u32 = 0o600;

/// What to do with files that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Refuse them.
    New,
    /// Replace them.
    Force,
    /// Continue the export that has not ended.
    Resume,
}

/// The files of an export that is running. No other export can write them.
pub(crate) struct Files {
    /// `FILE.partial`, locked.
    file: File,
    path: PathBuf,
    partial: PathBuf,
    checkpoint: PathBuf,
    begin: Begin,
    /// How many rows were written.
    pub(super) rows: u64,
    /// After the last page that another follows.
    pub(super) place: Checkpoint,
    saved: Instant,
}

impl Files {
    /// Opens the files of an export. `start` is its beginning. Returns `None` if the export that is to be resumed is
    /// complete.
    pub(super) fn open(path: PathBuf, begin: Begin, start: Checkpoint) -> Result<Option<Self>, Error> {
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(ExportError::NotAFile(path).into());
        }
        // The file that a link names is written, and the link stays.
        let path = if path.is_symlink() { path.canonicalize().map_err(failed(&path))? } else { path };
        let beside = |extension: &str| PathBuf::from([path.as_os_str(), extension.as_ref()].join(OsStr::new("")));
        let (partial, checkpoint) = (beside(".partial"), beside(".checkpoint"));
        // Anything else could be waited for without end, or lead elsewhere.
        for path in [&partial, &checkpoint] {
            if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
                return Err(ExportError::NotAFile(path.clone()).into());
            }
        }
        // Before anything is written, because the directory may be read-only.
        if begin == Begin::Resume && exists(&path)? && !exists(&partial)? && !exists(&checkpoint)? {
            return Ok(None);
        }
        let (file, is_new) = open_locked(&partial)?;
        let mut files = Self { file, path, partial, checkpoint, begin, rows: 0, place: start, saved: Instant::now() };
        let begun = files.begin(is_new);
        if is_new && begun.is_err() {
            remove(&files.partial).map_err(failed(&files.partial))?;
        }
        begun.map(|()| Some(files))
    }

    /// Prepares the partial file, which was created now if it is new.
    fn begin(&mut self, is_new: bool) -> Result<(), Error> {
        let (is_there, has_checkpoint) = (exists(&self.path)?, exists(&self.checkpoint)?);
        match self.begin {
            Begin::New if !is_new => return Err(ExportError::NotEnded(self.partial.clone()).into()),
            Begin::New if has_checkpoint => return Err(ExportError::NotEnded(self.checkpoint.clone()).into()),
            Begin::New if is_there => return Err(ExportError::Exists(self.path.clone()).into()),
            Begin::New => {}
            // Before the rows that it covers.
            Begin::Force => remove(&self.checkpoint).map_err(failed(&self.checkpoint))?,
            Begin::Resume if has_checkpoint => self.place = self.place.read_same(&self.checkpoint)?,
            Begin::Resume => {}
        }
        let bytes = self.file.metadata().map_err(failed(&self.partial))?.len();
        if bytes < self.place.bytes {
            return Err(ExportError::Truncated(self.partial.clone()).into());
        }
        let cut = self.file.set_len(self.place.bytes).and_then(|()| self.file.seek(SeekFrom::End(0)));
        cut.map_err(failed(&self.partial))?;
        self.rows = self.place.rows;
        if is_there {
            self.keep_permissions()?;
        }
        Ok(())
    }

    /// Lets nobody read the rows who cannot read the file that they replace.
    fn keep_permissions(&self) -> Result<(), Error> {
        let mode = fs::metadata(&self.path).map_err(failed(&self.path))?.mode();
        let permissions = Permissions::from_mode(mode & 0o777 | OWNER);
        self.file.set_permissions(permissions).map_err(failed(&self.partial))
    }

    /// Writes the lines of a page. `walk` is the place after it.
    pub(super) fn write(&mut self, lines: &[u8], rows: usize, walk: pagination::Checkpoint) -> Result<(), Cause> {
        let write = |path: &Path, source| Cause::Write { path: path.to_owned(), source };
        self.file.write_all(lines).map_err(|source| write(&self.partial, source))?;
        self.rows += rows as u64;
        // The last page has no token after it, and a place within a page is off when rows of it are inserted or deleted. So a
        // resumed export reads that page again.
        if walk.given > 0 {
            return Ok(());
        }
        self.place.rows = self.rows;
        self.place.bytes += lines.len() as u64;
        self.place.page_token = walk.page_token;
        if self.saved.elapsed() < CHECKPOINT_INTERVAL {
            return Ok(());
        }
        self.save().map_err(|source| write(&self.checkpoint, source))
    }

    /// Saves a checkpoint, after the rows that it covers.
    fn save(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.place.write(&self.checkpoint)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// Stops before the end: saves a checkpoint, or removes the files of an export that has written nothing. Returns how
    /// to go on.
    pub(super) fn stop(mut self) -> &'static str {
        let is_empty = self.begin == Begin::New && self.rows == 0;
        let stopped = if is_empty {
            remove(&self.checkpoint).and_then(|()| remove(&self.partial))
        } else {
            // A part of a page is removed, which makes room for the checkpoint on a full disk.
            self.file.set_len(self.place.bytes).and_then(|()| self.save())
        };
        if let Err(error) = stopped {
            // An earlier checkpoint is still valid.
            tracing::warn!(%error, "cannot save the checkpoint {}", self.checkpoint.display());
        }
        if is_empty { RUN_AGAIN } else { "continue it with --resume" }
    }

    /// Makes the partial file the complete one.
    pub(super) fn finish(&self) -> Result<(), Cause> {
        let write = |path: &Path, source| Cause::Write { path: path.to_owned(), source };
        self.file.sync_all().map_err(|source| write(&self.partial, source))?;
        // First, because a checkpoint without its rows could not be resumed.
        remove(&self.checkpoint).map_err(|source| write(&self.checkpoint, source))?;
        fs::rename(&self.partial, &self.path).map_err(|source| write(&self.path, source))?;
        if let Err(error) = File::open(directory(&self.path)).and_then(|directory| directory.sync_all()) {
            tracing::warn!(%error, "{} is complete, but a crash of the machine now can undo that", self.path.display());
        }
        Ok(())
    }
}

/// Opens the partial file, and locks it for as long as it is open. Also returns whether it was created.
fn open_locked(path: &Path) -> Result<(File, bool), Error> {
    let (file, is_new) = match File::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            (OpenOptions::new().write(true).open(path), false)
        }
        created => (created, true),
    };
    let file = file.map_err(failed(path))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(ExportError::InUse(path.to_owned()).into()),
        Err(TryLockError::Error(source)) => return Err(failed(path)(source)),
        Ok(()) => {}
    }
    // The export that had it locked can have renamed it meanwhile.
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let locked = file.metadata().map(identity).map_err(failed(path))?;
    let is_same = fs::metadata(path).is_ok_and(|metadata| identity(metadata) == locked);
    if is_same { Ok((file, is_new)) } else { Err(ExportError::InUse(path.to_owned()).into()) }
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(failed(path))
}

/// Removes a file if it exists.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The directory of a file.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::File { path, source }
}
