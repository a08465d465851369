//! A model check: many writers make, tell of, retry and delete jobs at the same time, each through a server of its own, and
//! readers look on. Every answer is one that can be right at that moment, and in the end everything is as a plain model in
//! memory has it, which knows what was acknowledged and nothing of the order in which the database did it.
//!
//! `JOBS_CASES` is how often this is done, each time with other numbers: once, if it does not say.
mod append;
mod calls;
mod contents;
mod end;
mod meeting;
mod readers;
mod world;
mod writer;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::support::{Client, assert_counted, start_on};
use contents::Dice;
use database::connect;
use keyset::{COUNTER_SLOTS, CounterSlots};
use platform::{Platform, testing};
use tokio::runtime::Runtime;
use world::Workspace;

const WRITERS: usize = 8;
/// How many calls each of them makes.
const ROUNDS: usize = 160;

/// A server, which has connections to the database and slots of the counters of its own.
#[derive(Debug, Clone)]
struct Server {
    slots: CounterSlots,
    client: Client,
}

impl Server {
    async fn start(platform: &Platform) -> Self {
        let platform = testing::platform_on(connect(platform.database.options(), testing::MAX_CONNECTIONS));
        let client = start_on(&platform).await;
        Self { slots: platform.slots, client }
    }

    /// The next statement that writes to counters writes to this slot.
    fn go_to_slot(&self, slot: i32) {
        while (self.slots.next_slot() + 1) % COUNTER_SLOTS != slot {}
    }
}

async fn check(seed: u64) {
    let platform = testing::platform().await;
    let workspaces = ["ours", "theirs"].map(|name| Arc::new(Workspace::new(name)));
    let done = Arc::new(AtomicBool::new(false));

    let (mut walkers, mut others) = (Vec::new(), Vec::new());
    for workspace in &workspaces {
        let Server { client, .. } = Server::start(&platform).await;
        let (dice, done) = (Dice::new((seed, workspace.name)), done.clone());
        walkers.push(tokio::spawn(readers::walk(client.clone(), workspace.clone(), dice.clone(), done.clone())));
        others.push(tokio::spawn(readers::read(client, platform.clone(), workspace.clone(), dice, done)));
    }
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let (server, dice) = (Server::start(&platform).await, Dice::new((seed, number)));
        writers.push(tokio::spawn(writer::write(server, workspaces.clone(), dice, ROUNDS)));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for reader in walkers.into_iter().chain(others) {
        assert!(reader.await.unwrap() >= 5, "the readers read while the writers wrote");
    }

    end::check_answers(&workspaces);
    let Server { client, .. } = Server::start(&platform).await;
    let [ours, theirs] = &workspaces;
    tokio::join!(end::check(&client, &platform, ours), end::check(&client, &platform, theirs));
    assert_counted(&platform).await;
    end::delete_all(&client, &platform, ours).await;
    end::delete_all(&client, &platform, theirs).await;
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
