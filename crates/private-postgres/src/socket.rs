//! How clients reach the socket. It is in the database's directory, which only its owner can enter.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Error;
use crate::account::{Account, hand_over};
use crate::error::io;

/// macOS has the shortest `sun_path`: 104 bytes, including the zero at the end.
const LONGEST: usize = 103;
const NAME: &str = ".s.PGSQL.5432";

/// A directory where clients find the socket.
#[derive(Debug)]
pub(crate) struct SocketDir {
    path: PathBuf,
    link: Option<TempDir>,
}

impl SocketDir {
    /// `cluster` itself, or a link to it if the path of the socket would be too long.
    pub(crate) fn of(cluster: &Path, account: Option<Account>) -> Result<Self, Error> {
        if cluster.join(NAME).as_os_str().as_bytes().len() <= LONGEST {
            return Ok(Self { path: cluster.to_owned(), link: None });
        }
        // Not $TMPDIR, whose path may also be long.
        let parent = Path::new("/tmp");
        let link = tempfile::Builder::new()
            .prefix("private-postgres-")
            .tempdir_in(parent)
            .map_err(io("create a directory in", parent))?;
        hand_over(link.path(), account)?;
        let path = link.path().join("s");
        symlink(cluster, &path).map_err(io("create", &path))?;
        Ok(Self { path, link: Some(link) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that holds the link.
    pub(crate) fn link(&self) -> Option<&Path> {
        self.link.as_ref().map(TempDir::path)
    }
}
