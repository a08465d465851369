//! Calls that meet at the same rows of the counters, each for jobs of its own.

use platform::testing::{self, wait_for_waiting};
use quire_proto::jobs::v1::{
    DeleteJobRequest, Job,
    JobEventKind::{Completed, Failed, Skipped, Started},
    RetryJobRequest,
};
use sqlx::PgPool;
use tonic::Status;

use super::Server;
use crate::support::{append_in, assert_counted, batch_in, event, from, of_type};

const CALLS: usize = 16;
const WAVES: usize = 8;
const WORKSPACE: &str = "ours";

/// Each call of a wave goes through a server of its own, all write to the first slot, and all have come as far as they can
/// before the first gets any further. None waits for one that waits for it, which Postgres would end by failing one of them.
pub async fn check() {
    let platform = testing::platform().await;
    let pool = testing::pool(&platform);
    let mut servers = Vec::new();
    for _ in 0..CALLS {
        servers.push(Server::start(&platform).await);
    }
    for wave in 0..WAVES {
        let jobs = make_some_fail(&servers[0]).await;
        let calls = servers.iter().zip(jobs.chunks(4)).enumerate();
        let calls = calls.map(|(place, (server, jobs))| call(server.clone(), (wave + place) % 4, jobs.to_vec()));
        run(&pool, "select from job_status_counts where slot = 0 for update", calls).await;

        let calls = servers.iter().enumerate();
        let calls = calls.map(|(place, server)| append_to_all(server.clone(), place, jobs[CALLS * 4..].to_vec()));
        run(&pool, "select from jobs for update", calls).await;
        assert_counted(&platform).await;
    }
}

/// Lets no call by until all have come to what this statement locks.
async fn run<C>(pool: &PgPool, lock: &'static str, calls: impl Iterator<Item = C>)
where
    C: Future<Output = Result<(), Status>> + Send + 'static,
{
    let mut in_the_way = pool.begin().await.unwrap();
    sqlx::query(lock).execute(&mut *in_the_way).await.unwrap();
    let calls: Vec<_> = calls.map(tokio::spawn).collect();
    wait_for_waiting(pool, CALLS as i64).await;
    in_the_way.rollback().await.unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

/// Four jobs for each call and four for all, of three types. The third of each four has failed. The first slot counts them.
async fn make_some_fail(server: &Server) -> Vec<Job> {
    server.go_to_slot(0);
    let new: Vec<Job> = (0..CALLS * 4 + 4).map(|place| of_type(["patch", "scan", "sync"][place % 3])).collect();
    let ids = batch_in(&server.client, WORKSPACE, &new, false).await.unwrap();
    let jobs: Vec<Job> = ids.into_iter().map(|id| Job { id, ..Default::default() }).collect();
    let failures = jobs.iter().skip(2).step_by(4).map(|job| event(&job.id, job, Failed, "a", 1));
    server.go_to_slot(0);
    append_in(&server.client, WORKSPACE, &failures.collect::<Vec<_>>()).await.unwrap();
    jobs
}

/// Writes to several counters, in one of four ways.
async fn call(server: Server, way: usize, jobs: Vec<Job>) -> Result<(), Status> {
    server.go_to_slot(0);
    let Server { mut client, .. } = server;
    match way {
        0 => {
            let events = [(0, Started, "a"), (1, Completed, "a"), (2, Started, "b"), (3, Skipped, "a")];
            let events = events
                .map(|(place, kind, host)| event(&format!("{} {host}", jobs[place].id), &jobs[place], kind, host, 2));
            append_in(&client, WORKSPACE, &events).await.map(drop)
        }
        1 => client.retry_job(from(WORKSPACE, RetryJobRequest { id: jobs[2].id.clone() })).await.map(drop),
        2 => client.delete_job(from(WORKSPACE, DeleteJobRequest { id: jobs[2].id.clone() })).await.map(drop),
        _ => batch_in(&client, WORKSPACE, &["sync", "scan", "patch"].map(of_type), false).await.map(drop),
    }
}

/// Records an event of each job, beginning with another one in each call.
async fn append_to_all(server: Server, place: usize, mut jobs: Vec<Job>) -> Result<(), Status> {
    server.go_to_slot(0);
    jobs.rotate_left(place % 4);
    let events = jobs.iter().map(|job| event(&format!("{} {place}", job.id), job, Started, &place.to_string(), 3));
    append_in(&server.client, WORKSPACE, &events.collect::<Vec<_>>()).await.map(drop)
}
