use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::{
    ExportError,
    files::{directory, failed},
};
use crate::error::Error;

/// The version of the file. Others are refused.
const VERSION: u32 = 1;
/// More than any checkpoint has.
const MAX_BYTES: u64 = 64 << 10;

/// How far an export has come, as a small JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoint {
    version: u32,
    /// What is exported, as in `jobs`.
    resource: String,
    /// The order of the list.
    order: String,
    /// How many rows are in the file.
    pub(super) rows: u64,
    /// The size of the file after these rows.
    pub(super) bytes: u64,
    /// The page token after these rows; empty at the beginning.
    pub(super) page_token: String,
}

impl Checkpoint {
    /// The beginning of an export.
    pub(super) fn new(resource: &str, order: &str) -> Self {
        let (resource, order) = (resource.to_owned(), order.to_owned());
        Self { version: VERSION, resource, order, rows: 0, bytes: 0, page_token: String::new() }
    }

    /// Reads a checkpoint, which must be of the same export as this one.
    pub(super) fn read_same(&self, path: &Path) -> Result<Self, Error> {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
        match read {
            // It is not UTF-8.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => text.clear(),
            Err(source) => return Err(failed(path)(source)),
            Ok(_) => {}
        }
        let checkpoint: Option<Self> = serde_json::from_str(&text).ok();
        // A row has more than a byte.
        let checkpoint =
            checkpoint.filter(|checkpoint| checkpoint.version == VERSION && checkpoint.rows <= checkpoint.bytes);
        let checkpoint = checkpoint.ok_or_else(|| ExportError::Checkpoint(path.to_owned()))?;
        if (&checkpoint.resource, &checkpoint.order) != (&self.resource, &self.order) {
            let Self { resource, order, .. } = checkpoint;
            return Err(ExportError::OtherExport { path: path.to_owned(), resource, order }.into());
        }
        Ok(checkpoint)
    }

    /// Replaces the file, so that it is always whole.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(directory(path))?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}
