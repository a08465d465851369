//! What operators meet: an environment, files and users that nobody planned.
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User};

use super::common::{ask, query, settings};
use crate::rotation::{self, MAX_BYTES};
use crate::{Error, Server, Settings};

const DIR: &str = "PRIVATE_POSTGRES_TEST_DIR";

/// A process of its own that runs one of the tests that are ignored, in this directory. It can run as any user, even
/// one that cannot reach this program by its path.
fn process(test: &str, dir: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let test = format!("tests::troubles::{test}");
    command.args(["--exact", &test, "--ignored", "--nocapture"]).env(DIR, dir).stderr(Stdio::inherit());
    command
}

/// What such a process found.
fn finding(command: &mut Command) -> String {
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    output.lines().find_map(|line| line.strip_prefix("found: ")).unwrap().to_owned()
}

#[expect(clippy::print_stdout, reason = "the test that runs this process reads it")]
fn report(found: Result<String, String>) {
    // A line of its own.
    println!("\nfound: {}", found.unwrap_or_else(|error| error.replace(['\0', '\n'], " ")));
}

/// Not a test: starts a server and asks it.
#[test]
#[ignore = "the tests run it in a process of its own"]
fn start() {
    let server = Server::start(&settings(Path::new(&std::env::var_os(DIR).unwrap())));
    report(server.map_err(|error| error.to_string()).map(|server| query(&server, "show data_directory_mode")));
}

/// Not a test: asks a server.
#[test]
#[ignore = "the tests run it in a process of its own"]
fn client() {
    report(ask(Path::new(&std::env::var_os(DIR).unwrap()), "select current_user"));
}

/// Every variable of initdb, postgres and libpq, and those of the C library.
const VARIABLES: [&str; 47] = [
    "HOME",
    "IFS",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_MESSAGES",
    "LC_MONETARY",
    "LC_NUMERIC",
    "LC_TIME",
    "MALLOC_CHECK_",
    "PGAPPNAME",
    "PGCHANNELBINDING",
    "PGCLIENTENCODING",
    "PGCONNECT_TIMEOUT",
    "PGDATA",
    "PGDATABASE",
    "PGDATESTYLE",
    "PGGEQO",
    "PGGSSLIB",
    "PGHOST",
    "PGHOSTADDR",
    "PGKRBSRVNAME",
    "PGLOCALEDIR",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLCERT",
    "PGSSLCRL",
    "PGSSLKEY",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGSYSCONFDIR",
    "PGTARGETSESSIONATTRS",
    "PGTZ",
    "PGUSER",
    "PG_COLOR",
    "PG_OOM_ADJUST_FILE",
    "PG_TEST_USE_UNIX_SOCKETS",
    "TMPDIR",
    "TZ",
];

#[cfg(target_os = "linux")]
#[test]
fn no_variable_changes_a_server() {
    for value in ["", "/nonsense"] {
        let dir = tempfile::tempdir().unwrap();
        let found = finding(process("start", dir.path()).envs(VARIABLES.map(|name| (name, value))));
        assert_eq!(found, "0700", "{value:?}");
    }
}

/// Only root can start a server that runs as another user.
#[cfg(target_os = "linux")]
#[test]
fn only_this_user_and_root_connect() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&Settings { durable: true, ..settings(dir.path()) }).unwrap();
    assert_eq!(query(&server, "select current_user"), "quire");
    let sql = "select coalesce(string_agg(auth_method || ' ' || array_to_string(user_name, ','), '; '), '') \
               from pg_hba_file_rules";
    assert_eq!(query(&server, sql), "peer quire");
    if !Uid::effective().is_root() {
        return;
    }
    // Its own user can reach the socket.
    let owner = fs::metadata(server.socket_dir()).unwrap();
    let dir = format!("/proc/{}/cwd", server.process_id());
    let mut client = process("client", Path::new(&dir));
    let found = finding(client.uid(owner.uid()).gid(owner.gid()));
    assert!(found.contains("Peer authentication failed for user \"quire\""), "{found}");
}

#[test]
fn a_start_replaces_the_rules_of_earlier_releases() {
    let dir = tempfile::tempdir().unwrap();
    Server::start(&settings(dir.path())).unwrap().stop().unwrap();
    fs::write(dir.path().join("postgres/pg_hba.conf"), "local all all trust\n").unwrap();
    let server = Server::start(&Settings { durable: true, ..settings(dir.path()) }).unwrap();
    assert_eq!(query(&server, "select string_agg(auth_method, ' ') from pg_hba_file_rules"), "peer");
}

/// Only root can run a process as a user without a name.
#[cfg(target_os = "linux")]
#[test]
fn a_user_without_a_name_is_told_what_to_set() {
    const NAMELESS: u32 = 1_234_567;
    if !Uid::effective().is_root() || User::from_uid(Uid::from_raw(NAMELESS)).unwrap().is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), Some(NAMELESS), Some(0)).unwrap();
    assert_eq!(
        finding(process("start", dir.path()).uid(NAMELESS).gid(0)),
        "PostgreSQL needs a name for the user id 1234567, and /etc/passwd has none: add a line such as \
         quire:x:1234567:0::/:/sbin/nologin, or name a database with --database-url"
    );
}

#[test]
fn the_log_is_emptied_when_it_is_large() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&settings(dir.path())).unwrap();
    query(&server, "do $$ begin for i in 1..9 loop raise warning '%', repeat('x', 1 << 20); end loop; end $$");
    let log = dir.path().join("postgres.log");
    let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    while size(&rotation::previous(&log)) <= MAX_BYTES || size(&log) > MAX_BYTES {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // The server goes on writing at its beginning.
    query(&server, "do $$ begin raise warning 'and then'; end $$");
    assert!(fs::read_to_string(&log).unwrap().ends_with("WARNING:  and then\n"));
}

#[test]
fn a_log_that_was_removed_is_emptied_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&settings(dir.path())).unwrap();
    let log = dir.path().join("postgres.log");
    fs::remove_file(&log).unwrap();
    query(&server, "do $$ begin for i in 1..9 loop raise warning '%', repeat('x', 1 << 20); end loop; end $$");
    let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    while size(&rotation::previous(&log)) <= MAX_BYTES {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mode = fs::metadata(rotation::previous(&log)).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[test]
fn a_refused_statement_is_logged_without_its_sql_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&settings(dir.path())).unwrap();
    query(&server, "create table words (word text unique check (word <> 'secret'))");
    query(&server, "insert into words values ('hidden')");
    for refused in ["hidden", "secret"] {
        let sql = format!("insert into words values ('{refused}')");
        ask(server.socket_dir(), &sql).unwrap_err();
        // The error is in a context, which has the values too.
        ask(server.socket_dir(), &format!("do $$ begin {sql}; end $$")).unwrap_err();
    }
    let log = fs::read_to_string(dir.path().join("postgres.log")).unwrap();
    assert_eq!(log.matches("ERROR:").count(), 4, "{log}");
    assert!(!log.contains("hidden") && !log.contains("secret") && !log.contains("insert"), "{log}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_a_crash_left_behind_does_not_prevent_a_start() {
    let dir = tempfile::tempdir().unwrap();
    for left in [b"".as_slice(), b"\n", b"what", b"99999999999999\n", b"-1\n", b"0\n", b"\xff\0"] {
        for files in [&["postmaster.pid", ".s.PGSQL.5432.lock"][..], &["postmaster.pid"], &[".s.PGSQL.5432.lock"]] {
            Server::start(&settings(dir.path())).unwrap().stop().unwrap();
            for name in files {
                fs::write(dir.path().join("postgres").join(name), left).unwrap();
            }
            let server = Server::start(&settings(dir.path())).unwrap();
            assert_eq!(query(&server, "select 1"), "1", "{left:?} in {files:?}");
        }
    }
}

/// A process that has ended stays until its parent waits for it.
#[cfg(target_os = "linux")]
#[test]
fn a_server_that_has_ended_is_no_server() {
    let dir = tempfile::tempdir().unwrap();
    Server::start(&settings(dir.path())).unwrap().stop().unwrap();
    let cluster = dir.path().join("postgres");
    fs::create_dir(dir.path().join("bin")).unwrap();
    let program = dir.path().join("bin/postgres");
    fs::copy("/bin/sleep", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let owner = fs::metadata(&cluster).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut ended = Command::new(program).arg("0").uid(owner.uid()).spawn().unwrap();
    let stat = format!("/proc/{}/stat", ended.id());
    while !fs::read_to_string(&stat).unwrap().contains(") Z ") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    fs::write(cluster.join("postmaster.pid"), format!("{}\n", ended.id())).unwrap();
    Server::start(&settings(dir.path())).unwrap();
    ended.wait().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_is_found_without_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(&settings(dir.path())).unwrap();
    for name in ["postgres.lock", "postgres.log"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("postgres/postmaster.pid"), "").unwrap();
    let Err(Error::InUse { pid, .. }) = Server::start(&settings(dir.path())) else { panic!("it started") };
    assert_eq!(pid, Some(first.process_id()));
}

#[test]
fn a_database_with_a_wrong_mode_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Server::start(&settings(dir.path())).unwrap().stop().unwrap();
    let cluster = dir.path().join("postgres");
    let set_mode = |mode| fs::set_permissions(&cluster, fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o755, 0o770, 0o707, 0o777, 0o701, 0o500, 0o600, 0o000] {
        set_mode(mode);
        let error = Server::start(&settings(dir.path())).unwrap_err();
        let path = cluster.display();
        assert_eq!(
            error.to_string(),
            format!("PostgreSQL needs the mode 0700 or 0750 for {path}, which has {mode:04o}: run chmod 0700 {path}")
        );
    }
    for mode in [0o700, 0o750] {
        set_mode(mode);
        Server::start(&settings(dir.path())).unwrap();
    }
}

/// Only root can give a file away.
#[test]
fn a_database_of_another_owner_is_refused() {
    if !Uid::effective().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    Server::start(&settings(dir.path())).unwrap().stop().unwrap();
    let cluster = dir.path().join("postgres");
    // As after a copy by root.
    chown(&cluster, Some(0), Some(0)).unwrap();
    let error = Server::start(&settings(dir.path())).unwrap_err();
    let Error::WrongOwner { owner: 0, expected, .. } = error else { panic!("{error}") };
    let path = cluster.display();
    assert_eq!(
        error.to_string(),
        format!(
            "PostgreSQL would run as the user id {expected}, but {path} belongs to 0: as root, run chown -R {expected} \
             {path}"
        )
    );
}

/// Root's server knows its directory by a path that ends with the start.
#[test]
fn a_message_names_paths_that_exist() {
    let dir = tempfile::tempdir().unwrap();
    Server::start(&settings(dir.path())).unwrap().stop().unwrap();
    let cluster = dir.path().join("postgres");
    fs::remove_file(cluster.join("postgresql.conf")).unwrap();
    let error = Server::start(&settings(dir.path())).unwrap_err().to_string();
    assert!(!error.contains("/proc"), "{error}");
}
