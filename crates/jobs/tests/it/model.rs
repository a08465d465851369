//! A model check: many writers create, report on, retry and delete jobs at the same time, each through a server of its own,
//! while readers read. Afterwards each answer must be one that was possible between the begin and the end of its call, and
//! everything must be as a plain model in memory has it, which knows the answers and nothing of the order in which the
//! database did the work.
//!
//! `JOBS_CASES` is how often this is done, each time with other numbers: once, if it is not set.
mod answers;
mod callers;
mod contents;
mod end;
mod history;
mod meeting;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::support::{Caller, start_on};
use contents::Dice;
use database::connect;
use history::Workspace;
use keyset::COUNTER_SLOTS;
use platform::{Platform, testing};
use tokio::runtime::Runtime;

const WRITERS: usize = 8;
/// How many calls each of them makes.
const ROUNDS: usize = 160;

/// A server with its own connections to the database and its own slots of the counters.
async fn server(platform: &Platform) -> Caller {
    start_on(testing::platform_on(connect(platform.database.options(), database::Limits::default()))).await
}

/// The next statement of the server that writes to counters writes to this slot.
fn go_to_slot(server: &Caller, slot: i32) {
    while (server.platform.slots.next_slot() + 1) % COUNTER_SLOTS != slot {}
}

async fn check(seed: u64) {
    let platform = testing::platform().await;
    let workspaces = ["ours", "theirs"].map(|name| Arc::new(Workspace { name, ..Default::default() }));
    let done = Arc::new(AtomicBool::new(false));
    let (mut readers, mut writers) = (Vec::new(), Vec::new());
    for workspace in &workspaces {
        let caller = server(&platform).await.of(workspace.name);
        let dice = Dice::new((seed, workspace.name));
        readers.push(tokio::spawn(callers::read(caller, workspace.clone(), dice, done.clone())));
    }
    for number in 0..WRITERS {
        let (server, dice) = (server(&platform).await, Dice::new((seed, number)));
        writers.push(tokio::spawn(callers::write(server, workspaces.clone(), dice, ROUNDS)));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() >= 5, "the readers read while the writers wrote");
    }
    answers::check_kinds(&workspaces);
    let server = server(&platform).await;
    let mut rows = 0;
    for workspace in &workspaces {
        answers::check(&workspace.history());
        rows += end::check(&server.of(workspace.name), workspace).await;
    }
    let tables = ["jobs", "job_events"];
    assert_eq!(testing::rows(&platform, &tables).await.len(), rows);
    for workspace in &workspaces {
        end::delete_all(&server.of(workspace.name)).await;
    }
    let tables = ["jobs", "job_events", "job_operation_type_counts"];
    assert_eq!(testing::rows(&platform, &tables).await, [""; 0]);
}

#[test]
fn whatever_many_writers_do_at_once_is_as_a_plain_model_has_it() {
    let cases = std::env::var("JOBS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1);
    for seed in 0..cases {
        Runtime::new().unwrap().block_on(check(seed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_meet_at_the_counters_do_not_wait_for_each_other_in_a_circle() {
    meeting::check().await;
}
