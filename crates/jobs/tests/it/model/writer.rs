//! A writer, who does one thing after the other, whichever its dice say.

use std::sync::Arc;

use platform::testing;
use quire_proto::jobs::v1::{Job, JobEvent};

use super::{
    Server, append,
    calls::{self, How},
    contents::{Dice, EVENTS, contradicting, event, job, job_of},
    world::Workspace,
};
use crate::support::Client;

/// How many jobs come and go.
pub const RETURNING: usize = 6;

/// How many of the counters' slots are used: so few that writers meet, as those may whose servers know nothing of each
/// other.
const SLOTS: usize = 2;

/// Makes so many calls.
pub async fn write(server: Server, workspaces: [Arc<Workspace>; 2], mut dice: Dice, rounds: usize) {
    for round in 0..rounds {
        let workspace = dice.pick(&workspaces);
        server.go_to_slot(dice.below(SLOTS) as i32);
        let client = &server.client;
        match dice.below(100) {
            0..10 => make(client, &workspace, &mut dice, round, How::Alone).await,
            10..16 => make(client, &workspace, &mut dice, round, How::Batch).await,
            16..24 => make(client, &workspace, &mut dice, round, How::PassingOver).await,
            24..28 => calls::make_again(client, &workspace, &returning(&mut dice)).await,
            28..34 => calls::delete_again(client, &workspace, &returning(&mut dice)[0].id).await,
            34..52 => retry(client, &workspace, &mut dice).await,
            52..62 => delete(client, &workspace, &mut dice).await,
            _ => append(client, &workspace, &mut dice).await,
        }
    }
}

/// An id that others give as well who are about as far.
fn shared_id(dice: &mut Dice, round: usize) -> String {
    testing::id((1_000 + round + dice.below(12)) as u128)
}

fn is_shared(id: &str) -> bool {
    id.starts_with("00000000-")
}

async fn make(client: &Client, workspace: &Workspace, dice: &mut Dice, round: usize, how: How) {
    let count = if how == How::Alone { 1 } else { 1 + dice.below(12) };
    let is_shared_in = dice.pick(&[1, 2, 4]);
    let mut jobs: Vec<Job> = Vec::new();
    for _ in 0..count {
        let mut job = if dice.once_in(is_shared_in) { job_of(&shared_id(dice, round)) } else { job(dice) };
        if dice.once_in(20) {
            job.priority += 10;
        }
        if job.id.is_empty() || jobs.iter().all(|other| other.id != job.id) {
            jobs.push(job);
        }
    }
    calls::make(client, workspace, &jobs, how).await;
}

/// Some of the jobs that come and go, in any order.
fn returning(dice: &mut Dice) -> Vec<Job> {
    let (first, step, count) = (dice.below(RETURNING), dice.pick(&[1, RETURNING - 1]), 1 + dice.below(3));
    (0..count).map(|place| job_of(&testing::id(((first + place * step) % RETURNING) as u128))).collect()
}

/// One of the last jobs, which others are at as well, or any other.
fn some_job(workspace: &Workspace, dice: &mut Dice) -> Option<String> {
    let world = workspace.world();
    let last = dice.pick(&[6, 6, 24, usize::MAX]).min(world.ids.len());
    (last > 0).then(|| world.ids[world.ids.len() - last + dice.below(last)].clone())
}

async fn retry(client: &Client, workspace: &Workspace, dice: &mut Dice) {
    if let Some(id) = some_job(workspace, dice) {
        calls::retry(client, workspace, &id).await;
    }
}

async fn delete(client: &Client, workspace: &Workspace, dice: &mut Dice) {
    match some_job(workspace, dice) {
        Some(id) if !is_shared(&id) => calls::delete(client, workspace, &id).await,
        _ => {}
    }
}

/// Records events of several jobs, in any order, some of them twice.
async fn append(client: &Client, workspace: &Workspace, dice: &mut Dice) {
    let mut events: Vec<JobEvent> = Vec::new();
    for _ in 0..1 + dice.below(6) {
        let Some(id) = some_job(workspace, dice) else { return };
        events.extend((0..1 + dice.below(6)).map(|_| event(&id, dice.below(EVENTS))));
    }
    if let Some(other) = some_job(workspace, dice).filter(|_| dice.once_in(8)) {
        let place = dice.below(events.len());
        events[place] = contradicting(&events[place], &other, dice);
    }
    for place in 0..events.len() {
        let other = dice.below(events.len());
        events.swap(place, other);
    }
    append::append(client, workspace, &events).await;
}
