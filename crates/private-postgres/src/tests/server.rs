//! Starting and stopping.
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::common::{query, settings};
use crate::{Error, Server};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn data_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&settings(dir.path())).unwrap();
    query(&server, "create table kept as select 'so it is' as word");
    server.stop().unwrap();
    assert!(!dir.path().join("postgres/postmaster.pid").exists());

    let server = Server::start(&settings(dir.path())).unwrap();
    assert_eq!(query(&server, "select word from kept"), "so it is");
    assert_eq!(server.user(), query(&server, "select current_user"));
}

#[test]
fn a_server_has_private_settings() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    settings.durable = true;
    settings.extra = vec![("jit".to_owned(), "on".to_owned())];
    let server = Server::start(&settings).unwrap();
    let of = |name: &str| query(&server, &format!("show {name}"));
    assert_eq!(of("listen_addresses"), "");
    assert_eq!(of("fsync"), "on");
    assert_eq!(of("synchronous_commit"), "on");
    assert_eq!(of("jit"), "on");
    assert_eq!(of("server_encoding"), "UTF8");
    assert_eq!(mode(&dir.path().join("postgres")), 0o700);
    assert_eq!(mode(&dir.path().join("postgres.log")), 0o600);
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(&settings(dir.path())).unwrap();
    let error = Server::start(&settings(dir.path())).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} is in use by process {}: stop that process, or name another data directory",
            dir.path().display(),
            std::process::id()
        )
    );
    assert!(first.is_running());
    drop(first);
    Server::start(&settings(dir.path())).unwrap();
}

/// Only with /proc: without it, PostgreSQL's own check is the only one.
#[cfg(target_os = "linux")]
#[test]
fn a_server_started_by_another_program_is_detected() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(&settings(dir.path())).unwrap();
    fs::remove_file(dir.path().join("postgres.lock")).unwrap();
    fs::remove_file(dir.path().join("postgres.log")).unwrap();
    let error = Server::start(&settings(dir.path())).unwrap_err();
    let Error::InUse { pid, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(pid, Some(first.process_id()));
}

/// This happens after a container restart, because process ids are reused.
#[cfg(target_os = "linux")]
#[test]
fn a_stale_process_id_that_was_reused_is_not_a_server() {
    let dir = tempfile::tempdir().unwrap();
    Server::start(&settings(dir.path())).unwrap().stop().unwrap();
    let cluster = dir.path().join("postgres");
    let owner = fs::metadata(&cluster).unwrap();
    let mut sleep = Command::new("sleep");
    sleep.arg("600");
    // Only root has to run it as the owner, and only root may.
    if fs::metadata(dir.path()).unwrap().uid() == 0 {
        sleep.uid(owner.uid()).gid(owner.gid());
    }
    let mut other = sleep.spawn().unwrap();
    for name in ["postmaster.pid", ".s.PGSQL.5432.lock"] {
        let text = format!("{}\n{}\n1\n5432\n.\n\n0 0\nready\n", other.id(), cluster.display());
        fs::write(cluster.join(name), text).unwrap();
        std::os::unix::fs::chown(cluster.join(name), Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let started = Server::start(&settings(dir.path()));
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(query(&started.unwrap(), "select 1"), "1");
}

#[test]
fn a_database_of_another_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Server::start(&settings(dir.path())).unwrap().stop().unwrap();
    let cluster = dir.path().join("postgres");
    fs::write(cluster.join("PG_VERSION"), "7\n").unwrap();
    let error = Server::start(&settings(dir.path())).unwrap_err();
    let Error::WrongVersion { found, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(
        error.to_string(),
        format!(
            "{} was written by PostgreSQL 7, but only PostgreSQL {found} is installed: install \
             PostgreSQL 7, or name another data directory",
            cluster.display()
        )
    );
}

#[test]
fn an_interrupted_creation_is_started_over() {
    let dir = tempfile::tempdir().unwrap();
    let unfinished = dir.path().join("postgres.unfinished");
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("PG_VERSION"), "15\n").unwrap();
    let server = Server::start(&settings(dir.path())).unwrap();
    assert_eq!(query(&server, "select 1"), "1");
    assert!(!unfinished.exists());
}

#[test]
fn other_files_are_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = dir.path().join("postgres");
    fs::create_dir(&cluster).unwrap();
    fs::write(cluster.join("letter"), "dear").unwrap();
    let error = Server::start(&settings(dir.path())).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} holds files that are not a PostgreSQL database: move them away, or name another \
             data directory",
            cluster.display()
        )
    );
    assert_eq!(fs::read_to_string(cluster.join("letter")).unwrap(), "dear");
}

#[test]
fn a_failed_start_gives_the_reason_and_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    settings.extra = vec![("max_connections".to_owned(), "many".to_owned())];
    let error = Server::start(&settings).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "PostgreSQL did not start: invalid value for parameter \"max_connections\": \"many\" \
             (log: {}/postgres.log)",
            dir.path().display()
        )
    );
    settings.extra.clear();
    Server::start(&settings).unwrap();
}

#[test]
fn directories_keep_their_owner_and_mode() {
    let outer = tempfile::tempdir().unwrap();
    let closed = outer.path().join("closed");
    let data_dir = closed.join("data");
    fs::DirBuilder::new().mode(0o700).create(&closed).unwrap();
    fs::DirBuilder::new().mode(0o700).create(&data_dir).unwrap();
    fs::write(data_dir.join("key"), "mine").unwrap();
    let owner = fs::metadata(&data_dir).unwrap().uid();

    for _ in 0..2 {
        let server = Server::start(&settings(&data_dir)).unwrap();
        assert_eq!(query(&server, "select pg_reload_conf()"), "t");
        server.stop().unwrap();
    }
    for dir in [&closed, &data_dir] {
        assert_eq!(mode(dir), 0o700);
        assert_eq!(fs::metadata(dir).unwrap().uid(), owner);
    }
    assert_eq!(fs::read_to_string(data_dir.join("key")).unwrap(), "mine");
}

#[test]
fn a_path_too_long_for_a_socket_gets_a_link() {
    let outer = tempfile::tempdir().unwrap();
    let data_dir = outer.path().join("long".repeat(30)).join("long".repeat(30));
    let server = Server::start(&settings(&data_dir)).unwrap();
    let link = server.socket_dir().to_owned();
    assert!(!link.starts_with(&data_dir));
    assert_eq!(query(&server, "select 1"), "1");
    server.stop().unwrap();
    assert!(!link.parent().unwrap().exists());
}

#[test]
fn a_temporary_server_leaves_no_files() {
    let server = Server::temporary().unwrap();
    assert_eq!(query(&server, "show fsync"), "off");
    let data_dir = server.socket_dir().parent().unwrap().to_owned();
    assert!(data_dir.exists());
    server.stop().unwrap();
    assert!(!data_dir.exists());

    let server = Server::temporary().unwrap();
    let data_dir = server.socket_dir().parent().unwrap().to_owned();
    drop(server);
    assert!(!data_dir.exists());
}
