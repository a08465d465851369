//! The user that PostgreSQL runs as. PostgreSQL refuses to run as root.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User};

use crate::Error;
use crate::error::io;

/// The user that the server runs as if the caller is root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// Whether the caller is root.
    pub(crate) fn is_needed() -> bool {
        Uid::effective().is_root()
    }

    /// The owner of `cluster` if it exists, so that a user added to the system later does not lock the server out of
    /// its own files. Otherwise `postgres` or `nobody`. `None` if the caller is not root.
    pub(crate) fn for_cluster(cluster: &Path) -> Result<Option<Self>, Error> {
        if !Self::is_needed() {
            return Ok(None);
        }
        if let Ok(owner) = std::fs::metadata(cluster)
            && owner.uid() != 0
        {
            return Ok(Some(Self { uid: owner.uid(), gid: owner.gid() }));
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Some(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
            .ok_or(Error::NoAccount)
    }
}

/// Makes the account the owner of `path`, if there is an account.
pub(crate) fn hand_over(path: &Path, account: Option<Account>) -> Result<(), Error> {
    account.map_or(Ok(()), |account| {
        std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid)).map_err(io("change the owner of", path))
    })
}
