#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

/// Directories with programs that report these versions.
fn installed(versions: &[&str]) -> (TempDir, Vec<PathBuf>) {
    let root = tempfile::tempdir().unwrap();
    let dirs = versions
        .iter()
        .enumerate()
        .map(|(index, version)| {
            let dir = root.path().join(index.to_string());
            fs::create_dir(&dir).unwrap();
            for name in ["initdb", "postgres"] {
                let path = dir.join(name);
                let script = format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n");
                fs::write(&path, script).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            dir
        })
        .collect();
    (root, dirs)
}

fn found(dirs: &[PathBuf], wrote: Option<&str>) -> Result<PathBuf, String> {
    find(dirs.to_vec(), wrote, Path::new("/data/postgres"))
        .map(|binaries| binaries.dir)
        .map_err(|error| error.to_string())
}

#[test]
fn a_new_database_uses_the_first_version_and_an_existing_one_its_own() {
    let (_root, dirs) = installed(&["17.2", "15.14 (Debian 15.14-0+deb12u1)", "18beta1"]);
    assert_eq!(found(&dirs, None).unwrap(), dirs[0]);
    assert_eq!(found(&dirs, Some("15")).unwrap(), dirs[1]);
    assert_eq!(found(&dirs, Some("18")).unwrap(), dirs[2]);
}

#[test]
fn a_wrong_version_is_told_apart_from_no_version() {
    let (_root, dirs) = installed(&["17.2", "15.14", "17.1"]);
    assert_eq!(
        found(&dirs, Some("14")).unwrap_err(),
        "/data/postgres was written by PostgreSQL 14, but only PostgreSQL 17, 15 is installed: \
         install PostgreSQL 14, or name another data directory"
    );
    let none = "no PostgreSQL found: install it (Debian: apt-get install postgresql; macOS: brew \
                install postgresql) or name a database with --database-url";
    assert_eq!(found(&[], Some("14")).unwrap_err(), none);
    assert_eq!(found(&[], None).unwrap_err(), none);
}

#[test]
fn a_directory_needs_both_programs() {
    let (_root, dirs) = installed(&["17.2", "16.1", "15.14"]);
    fs::remove_file(dirs[0].join("initdb")).unwrap();
    fs::remove_file(dirs[1].join("postgres")).unwrap();
    assert_eq!(found(&dirs, None).unwrap(), dirs[2]);
}

#[test]
fn versions_are_sorted_by_number_newest_first() {
    let root = tempfile::tempdir().unwrap();
    for name in ["pgsql-9.6", "pgsql-15", "pgsql-100", "other"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    let expected = ["pgsql-100/bin", "pgsql-15/bin", "pgsql-9.6/bin"];
    assert_eq!(versions(root.path(), "pgsql-", "bin"), expected.map(|dir| root.path().join(dir)));
}
