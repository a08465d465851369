//! For tests: processes that hang.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::Server;

/// Processes that are stopped by SIGSTOP until this value is dropped.
#[derive(Debug)]
pub struct Frozen(Vec<Pid>);

impl Frozen {
    /// Stops one process.
    pub fn process(pid: u32) -> Self {
        let mut frozen = Self(Vec::new());
        frozen.add([pid]);
        frozen
    }

    /// Stops the parent of a process.
    pub fn parent_of(pid: u32) -> Self {
        let mut frozen = Self(Vec::new());
        frozen.add(processes().into_iter().filter(|(child, _)| *child == pid).map(|(_, parent)| parent));
        frozen
    }

    /// Stops all processes of a server. The postmaster is stopped first, so that it starts no new ones.
    pub fn server(server: &Server) -> Self {
        let postmaster = server.process_id();
        let mut frozen = Self::process(postmaster);
        frozen.add(processes().into_iter().filter(|(_, parent)| *parent == postmaster).map(|(pid, _)| pid));
        frozen
    }

    fn add(&mut self, pids: impl IntoIterator<Item = u32>) {
        let pids = pids.into_iter().map(|pid| Pid::from_raw(pid.try_into().unwrap()));
        // Processes that have ended meanwhile are ignored.
        self.0.extend(pids.filter(|pid| kill(*pid, Signal::SIGSTOP).is_ok()));
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _: nix::Result<()> = kill(*pid, Signal::SIGCONT);
        }
    }
}

/// Each process and its parent.
fn processes() -> Vec<(u32, u32)> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let process = |line: &str| {
        let mut ids = line.split_whitespace().map(|id| id.parse().unwrap());
        (ids.next().unwrap(), ids.next().unwrap())
    };
    lines.lines().map(process).collect()
}
