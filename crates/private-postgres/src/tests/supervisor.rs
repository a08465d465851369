use super::*;

/// As when the system allows no further process. A signal for its program would reach this process instead.
#[test]
fn a_shell_that_ended_early_has_no_program() {
    let (lifeline, _theirs) = UnixStream::pair().unwrap();
    let mut supervisor = Supervisor {
        shell: Command::new("/bin/false").spawn().unwrap(),
        lifeline,
        dir: PathBuf::new(),
        log: PathBuf::new(),
        pid: 0,
        ended: AtomicBool::new(false),
        finished: false,
    };
    assert!(!supervisor.signal(None));
    supervisor.stop().unwrap();
}
