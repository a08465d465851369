//! Calls that meet at the same rows of the counters, each for jobs of its own.

use platform::testing::{self, wait_for_waiting};
use quire_proto::jobs::v1::{
    Job,
    JobEventKind::{Completed, Failed, Skipped, Started},
};
use sqlx::PgPool;
use tonic::Status;

use super::{go_to_slot, server};
use crate::support::{Caller, assert_counted, event, of_type};

const CALLS: usize = 16;

/// Each call of a wave goes through a server of its own, all write to the first slot, and all have come as far as they can
/// before the first gets any further. None waits for one that waits for it, which Postgres would end by failing one of them.
pub async fn check() {
    let platform = testing::platform().await;
    let pool = testing::pool(&platform);
    let mut servers = Vec::new();
    for _ in 0..CALLS {
        servers.push(server(&platform).await);
    }
    for wave in 0..8 {
        let jobs = make_some_fail(&servers[0]).await;
        let calls = servers.iter().cloned().zip(jobs.chunks(4).map(<[Job]>::to_vec)).enumerate();
        let calls = calls.map(|(place, (server, jobs))| call(server, wave + place, jobs));
        run(&pool, "select from job_status_counts where slot = 0 for update", calls).await;
        let calls = servers.iter().cloned().enumerate();
        let calls = calls.map(|(place, server)| append_to_all(server, place, jobs[CALLS * 4..].to_vec()));
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
async fn make_some_fail(server: &Caller) -> Vec<Job> {
    go_to_slot(server, 0);
    let new: Vec<Job> = (0..CALLS * 4 + 4).map(|place| of_type(["patch", "scan", "sync"][place % 3])).collect();
    let ids = server.batch(&new, false).await.unwrap();
    let jobs: Vec<Job> = ids.into_iter().map(|id| Job { id, ..Default::default() }).collect();
    let failures = jobs.iter().skip(2).step_by(4).map(|job| event(&job.id, job, Failed, "a", 1));
    go_to_slot(server, 0);
    server.append(&failures.collect::<Vec<_>>()).await.unwrap();
    jobs
}

/// Writes to several counters, in one of four ways.
async fn call(server: Caller, way: usize, jobs: Vec<Job>) -> Result<(), Status> {
    go_to_slot(&server, 0);
    match way % 4 {
        0 => {
            let kinds = [Started, Completed, Started, Skipped].into_iter().zip(["a", "a", "b", "a"]);
            let events = jobs
                .iter()
                .zip(kinds)
                .map(|(job, (kind, host))| event(&format!("{} {host}", job.id), job, kind, host, 2));
            server.append(&events.collect::<Vec<_>>()).await.map(drop)
        }
        1 => server.retry(&jobs[2].id).await.map(drop),
        2 => server.delete(&jobs[2].id).await,
        _ => server.batch(&["sync", "scan", "patch"].map(of_type), false).await.map(drop),
    }
}

/// Records an event of each job, beginning with another one in each call.
async fn append_to_all(server: Caller, place: usize, mut jobs: Vec<Job>) -> Result<(), Status> {
    go_to_slot(&server, 0);
    jobs.rotate_left(place % 4);
    let events = jobs.iter().map(|job| event(&format!("{} {place}", job.id), job, Started, &place.to_string(), 3));
    server.append(&events.collect::<Vec<_>>()).await.map(drop)
}
