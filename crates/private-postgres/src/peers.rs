//! Who may connect: the user of this process, and root. PostgreSQL asks the kernel which user is at the other end of the
//! socket. The user that PostgreSQL runs as is another one if this process is root, and may not connect.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use nix::unistd::{Uid, User};
use tempfile::NamedTempFile;

use crate::account::Account;
use crate::error::io;
use crate::{Error, USER};

const ROOT: Uid = Uid::from_raw(0);

/// The names of these users, for PostgreSQL's configuration.
#[derive(Debug)]
pub(crate) struct Peers(Vec<String>);

impl Peers {
    /// PostgreSQL looks up each peer's name, so this process's user must have one. Root may have none in a container.
    pub(crate) fn find() -> Result<Self, Error> {
        let uid = Uid::effective();
        let own = name(uid).ok_or(Error::NoName { uid: uid.as_raw() })?;
        let root = name(ROOT).filter(|root| *root != own);
        Ok(Self([own].into_iter().chain(root).collect()))
    }

    /// Writes the files that a server reads at its start. Lines of others in them are lost. A server for tests also lets
    /// in every other role, and every role over TCP.
    pub(crate) fn write(&self, cluster: &Path, account: Option<Account>, for_tests: bool) -> Result<(), Error> {
        let mut rules = format!("local all,replication {USER} peer map={USER}\n");
        if for_tests {
            rules.push_str("local all all trust\nhost all all all trust\n");
        }
        let map = self.0.iter().map(|name| format!("{USER} \"{name}\" {USER}\n")).collect::<String>();
        replace(cluster, "pg_hba.conf", &rules, account)?;
        replace(cluster, "pg_ident.conf", &map, account)
    }
}

fn name(uid: Uid) -> Option<String> {
    User::from_uid(uid).ok().flatten().map(|user| user.name)
}

/// Replaces a file in a directory of the account. It follows no link, because the account could have put one there for
/// root to follow.
fn replace(cluster: &Path, name: &str, text: &str, account: Option<Account>) -> Result<(), Error> {
    let path = cluster.join(name);
    let written = NamedTempFile::new_in(cluster).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        if let Some(account) = account {
            std::os::unix::fs::fchown(file.as_file().as_fd(), Some(account.uid), Some(account.gid))?;
        }
        Ok(file.persist(&path)?)
    });
    written.map(drop).map_err(io("write", &path))
}
