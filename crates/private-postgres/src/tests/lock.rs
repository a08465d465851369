#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use super::*;

#[test]
fn a_log_that_stays_locked_reports_an_abandoned_server() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = dir.path().join("postgres");
    std::fs::create_dir(&cluster).unwrap();
    std::fs::write(cluster.join("postmaster.pid"), "77\n").unwrap();
    let held = open_log(dir.path(), &cluster, 0).unwrap();

    let error = open_log(dir.path(), &cluster, 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the PostgreSQL of an earlier run still uses {} (process 77): wait until it has ended, \
             or stop it with kill -INT",
            dir.path().display()
        )
    );

    drop(held);
    open_log(dir.path(), &cluster, 0).unwrap();
}

#[test]
fn the_owners_lock_names_its_holder_and_is_released_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let owner = OwnerLock::acquire(dir.path()).unwrap();
    // A copy of the descriptor, as a child of another thread has for a moment.
    let _copy = owner.0.try_clone().unwrap();

    let error = OwnerLock::acquire(dir.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} is in use by process {}: stop that process, or name another data directory",
            dir.path().display(),
            std::process::id()
        )
    );

    drop(owner);
    OwnerLock::acquire(dir.path()).unwrap();
}
