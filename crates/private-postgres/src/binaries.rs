//! Finds PostgreSQL's programs. Debian keeps them out of `PATH`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, environment};

/// Directories with one entry for each installed version: the directory, the prefix of its entries, and the path from
/// an entry to the programs.
const INSTALLED: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The programs of one installed PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binaries {
    dir: PathBuf,
    major: String,
}

impl Binaries {
    pub(crate) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }
}

/// Every directory that may hold the programs, in order of preference.
pub(crate) fn search_path() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    dirs.extend(output(OsStr::new("pg_config"), "--bindir").map(PathBuf::from));
    for (parent, prefix, child) in INSTALLED {
        dirs.extend(versions(Path::new(parent), prefix, child));
    }
    dirs
}

fn versions(parent: &Path, prefix: &str, child: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = leading_number(name.to_str()?.strip_prefix(prefix)?)?;
            Some((version.parse().ok()?, entry.path().join(child)))
        })
        .collect();
    found.sort_by(|left, right| right.cmp(left));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// The programs for a database of the major version `wrote`, or for a new database.
pub(crate) fn find(dirs: Vec<PathBuf>, wrote: Option<&str>, database: &Path) -> Result<Binaries, Error> {
    let mut installed = Vec::new();
    for dir in dirs {
        let Some(binaries) = inspect(dir) else {
            continue;
        };
        if wrote.is_none_or(|wrote| wrote == binaries.major) {
            return Ok(binaries);
        }
        if !installed.contains(&binaries.major) {
            installed.push(binaries.major);
        }
    }
    match wrote {
        Some(wrote) if !installed.is_empty() => {
            Err(Error::WrongVersion { dir: database.to_owned(), wrote: wrote.to_owned(), found: installed.join(", ") })
        }
        Some(_) | None => Err(Error::NotInstalled),
    }
}

fn inspect(dir: PathBuf) -> Option<Binaries> {
    if !dir.is_absolute() || !dir.join("initdb").is_file() {
        return None;
    }
    // For example "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)".
    let version = output(dir.join("postgres").as_os_str(), "--version")?;
    let major = leading_number(version.split_once("(PostgreSQL) ")?.1)?;
    Some(Binaries { major: major.to_owned(), dir })
}

fn leading_number(text: &str) -> Option<&str> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text.get(..digits).filter(|number| !number.is_empty())
}

fn output(program: &OsStr, argument: &str) -> Option<String> {
    let output = environment::clean(&mut Command::new(program))
        .arg(argument)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

#[cfg(test)]
#[path = "tests/binaries.rs"]
mod tests;
