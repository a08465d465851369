//! The ways in which a process can end.
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::common::{query, settings};
use crate::Server;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const DATA_DIR: &str = "PRIVATE_POSTGRES_TEST_DATA_DIR";

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap())
}

fn exists(id: u32) -> bool {
    kill(pid(id), None).is_ok()
}

/// Not a test: this is the process that the tests kill.
#[test]
#[ignore = "the tests run it in a process of its own"]
fn holder() {
    let server = match std::env::var_os(DATA_DIR).unwrap() {
        dir if dir.is_empty() => Server::temporary(),
        dir => Server::start(&settings(Path::new(&dir))),
    }
    .unwrap();
    let mut stdout = std::io::stdout();
    let dir = server.socket_dir().display();
    writeln!(stdout, "\nholds {} {dir}", server.process_id()).unwrap();
    stdout.flush().unwrap();
    // Waits until it is killed.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

struct Holder {
    process: Child,
    server: u32,
    socket_dir: PathBuf,
    log: File,
}

impl Holder {
    fn start(data_dir: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::ends::holder", "--ignored", "--nocapture"])
            .env(DATA_DIR, data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.find_map(|line| Some(line.unwrap().strip_prefix("holds ")?.to_owned())).unwrap();
        let (server, socket_dir) = line.split_once(' ').unwrap();
        let cluster = fs::canonicalize(socket_dir).unwrap();
        Self {
            process,
            server: server.parse().unwrap(),
            socket_dir: socket_dir.into(),
            log: File::open(cluster.with_file_name("postgres.log")).unwrap(),
        }
    }

    /// Kills only the process itself, with no chance to clean up.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Every process of the server has the log as its standard error, and so holds its lock.
    fn wait_until_all_have_ended(&self) {
        self.log.lock().unwrap();
        self.log.unlock().unwrap();
    }
}

#[test]
fn a_killed_process_stops_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Holder::start(dir.path());
    assert!(exists(holder.server));
    holder.kill();
    holder.wait_until_all_have_ended();
    assert!(!exists(holder.server));
    // It was shut down, not killed.
    assert!(!dir.path().join("postgres/postmaster.pid").exists());
}

#[test]
fn the_next_start_waits_for_the_server_of_a_killed_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Holder::start(dir.path());
    holder.kill();
    let server = Server::start(&settings(dir.path())).unwrap();
    assert_eq!(query(&server, "select 1"), "1");
    assert!(!exists(holder.server));
}

#[test]
fn a_killed_process_leaves_no_temporary_files() {
    let mut holder = Holder::start(Path::new(""));
    let data_dir = holder.socket_dir.parent().unwrap().to_owned();
    assert!(data_dir.exists());
    holder.kill();
    holder.wait_until_all_have_ended();
    assert!(!exists(holder.server));
    assert!(!data_dir.exists());
}

#[test]
fn a_killed_process_leaves_no_link() {
    let outer = tempfile::tempdir().unwrap();
    let data_dir = outer.path().join("long".repeat(30));
    let mut holder = Holder::start(&data_dir);
    let link_dir = holder.socket_dir.parent().unwrap().to_owned();
    assert!(link_dir.exists());
    holder.kill();
    holder.wait_until_all_have_ended();
    assert!(!link_dir.exists());
    assert!(data_dir.exists());
}

#[test]
fn a_server_that_was_killed_is_not_running_and_can_be_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    settings.durable = true;
    let server = Server::start(&settings).unwrap();
    query(&server, "create table kept as select 'so it is' as word");
    assert!(server.is_running());
    kill(pid(server.process_id()), Signal::SIGKILL).unwrap();
    while server.is_running() {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(dir.path().join("postgres/postmaster.pid").exists());
    server.stop().unwrap();

    let server = Server::start(&settings).unwrap();
    assert_eq!(query(&server, "select word from kept"), "so it is");
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;

    /// The fields of /proc/*/stat, starting at the state.
    fn stat(id: u32) -> Option<Vec<String>> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        Some(fields.split(' ').map(str::to_owned).collect())
    }

    fn parent(id: u32) -> Option<u32> {
        stat(id)?[1].parse().ok()
    }

    fn children(id: u32) -> Vec<u32> {
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter(|child| parent(*child) == Some(id))
            .collect()
    }

    #[test]
    fn a_signal_from_the_terminal_does_not_reach_the_server() {
        let server = Server::temporary().unwrap();
        let group = |id: u32| stat(id).unwrap()[2].clone();
        let supervisor = parent(server.process_id()).unwrap();
        let ours = group(std::process::id());
        assert_ne!(group(supervisor), ours);
        assert_ne!(group(server.process_id()), ours);
    }

    #[test]
    fn a_server_whose_supervisor_was_killed_runs_until_it_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(&settings(dir.path())).unwrap();
        let supervisor = parent(server.process_id()).unwrap();
        for child in children(supervisor) {
            if child != server.process_id() {
                kill(pid(child), Signal::SIGKILL).unwrap();
            }
        }
        kill(pid(supervisor), Signal::SIGKILL).unwrap();
        assert!(server.is_running());
        assert_eq!(query(&server, "select 1"), "1");
        let id = server.process_id();
        server.stop().unwrap();
        assert!(!exists(id));
        assert!(!dir.path().join("postgres/postmaster.pid").exists());
    }

    #[test]
    fn a_supervisor_ignores_signals_to_its_group() {
        let server = Server::temporary().unwrap();
        let supervisor = parent(server.process_id()).unwrap();
        let status = fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGPIPE] {
            assert_ne!(ignored & (1 << (signal as u32 - 1)), 0, "{signal}");
        }
    }
}
