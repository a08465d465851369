//! Files that an argument names: certificates, and secrets, which nobody else may read.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::error::Error;

/// Reads a file as text.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path).map_err(|source| {
        let is_binary = source.kind() == io::ErrorKind::InvalidData;
        if is_binary { io::Error::other("it is not a text file, such as PEM") } else { source }
    });
    text.map_err(|source| Error::File { path: path.to_owned(), source })
}

/// Reads a file that holds a secret.
pub(crate) fn read_secret(path: &Path) -> Result<String, Error> {
    // A folder is not a file that others can read.
    let text = read(path)?;
    refuse_readable(path)?;
    Ok(text)
}

/// Refuses a secret that others can read: anybody but its owner, or, if its owner is root, anybody but root and the
/// group of the file. Root's files are often for a service that runs in their group, as in Kubernetes.
pub(crate) fn refuse_readable(path: &Path) -> Result<(), Error> {
    let metadata: Metadata = fs::metadata(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let wanted = if metadata.uid() == 0 { 0o640 } else { 0o600 };
    let mode = metadata.mode() & 0o777;
    // The owner may do anything with the file.
    if mode & !(wanted | 0o700) == 0 {
        return Ok(());
    }
    Err(Error::Readable { path: path.to_owned(), mode, wanted })
}
