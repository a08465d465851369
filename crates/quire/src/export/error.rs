use std::{io, path::PathBuf};

use pagination::WalkErrorKind;
use tonic_types::StatusExt;

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
    #[error("{0} is missing, or shorter than its checkpoint says: begin again with --force")]
    Truncated(PathBuf),
    #[error("the export stopped after {rows} {names}: {cause}; {next}")]
    Stopped { rows: u64, names: &'static str, cause: Cause, next: &'static str },
}

/// Why an export has stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error(transparent)]
    Walk(WalkErrorKind),
    /// The server refuses the place where the export was to be continued, for this reason.
    #[error("its page token {0}")]
    PageToken(String),
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write a row as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<WalkErrorKind> for Cause {
    fn from(kind: WalkErrorKind) -> Self {
        let WalkErrorKind::PageToken(status) = &kind else { return Self::Walk(kind) };
        let violations = status.get_details_bad_request().map(|request| request.field_violations);
        let why =
            violations.and_then(|violations| violations.into_iter().next()).map(|violation| violation.description);
        let why = why.as_deref().unwrap_or("was refused");
        // After that, the server says what the caller of a list can do.
        Self::PageToken(why.split(';').next().unwrap_or(why).to_owned())
    }
}
