use std::{io, path::PathBuf};

use pagination::WalkErrorKind;

/// Why an export cannot begin or has stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("{0} exists: replace it with --force, or name another file")]
    Exists(PathBuf),
    #[error("{0} is from an export that has not ended: continue it with --resume, or begin again with --force")]
    NotEnded(PathBuf),
    #[error("{0} is not a file: name a file, or - for standard output")]
    NotAFile(PathBuf),
    #[error("another export is writing {0}")]
    InUse(PathBuf),
    #[error("{0} is not the checkpoint of an export by this version: begin again with --force")]
    Checkpoint(PathBuf),
    #[error("{path} is from an export of {resource} by {order}: name another file, or begin again with --force")]
    OtherExport { path: PathBuf, resource: String, order: String },
    #[error("{0} is shorter than its checkpoint says: begin again with --force")]
    Truncated(PathBuf),
    #[error("the export stopped after {rows} {names}: {cause}; {next}")]
    Stopped { rows: u64, names: &'static str, cause: Cause, next: &'static str },
}

/// Why an export has stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error(transparent)]
    Walk(#[from] WalkErrorKind),
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
    #[error("cannot write a row as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Cause {
    /// Whether the reader of standard output has gone away.
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether the server refuses the place where the export was to be continued.
    pub(super) fn is_page_token(&self) -> bool {
        matches!(self, Self::Walk(WalkErrorKind::PageToken(_)))
    }
}
