//! Failures under 32 walkers and 8 writers: no acknowledged write is lost, no walk skips or repeats a row, and all
//! continue without intervention.
use std::time::Duration;

use crate::support::{
    Client, DataDir, HealthWatch, Server, eventually, names,
    postgres::{Frozen, Postgres, kill_process, postmaster},
    storm::{Storm, is_unavailable, is_unavailable_or_broken},
};
use nix::sys::signal::Signal;
use sqlx::{ConnectOptions, PgConnection};
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

#[tokio::test]
async fn a_private_postgres_that_is_killed() {
    let data_dir = DataDir::with_long_path();
    let mut server = Server::on_data_dir(&data_dir, &[]);
    let channel = server.connect().await;
    let mut health = HealthWatch::begin(&channel).await;
    let mut storm = Storm::begin(&channel, is_unavailable).await;
    for _ in 0..2 {
        let killed = postmaster(&data_dir).unwrap();
        // The process that restarts Postgres is stopped, so that Postgres is down long enough for health to report it.
        let keeper = Frozen::parent_of(killed);
        kill_process(killed);
        health.tells(NotServing).await;
        drop(keeper);
        health.tells(Serving).await;
        assert_ne!(postmaster(&data_dir), Some(killed));
        storm.goes_on().await;
    }
    storm.end().await;
}

#[tokio::test]
async fn a_postgres_that_recovers_from_a_crash() {
    let postgres = Postgres::start(&[]);
    let mut server = Server::on_database(&postgres.url(), &[]);
    let mut storm = Storm::begin(&server.connect().await, is_unavailable).await;
    // Calls wait until the recovery is done. Only calls in flight fail.
    for _ in 0..2 {
        let resumed = storm.resumed();
        eventually("a walk was interrupted and went on", async || {
            crash(&postgres).await;
            storm.goes_on().await;
            (storm.resumed() > resumed).then_some(())
        })
        .await;
    }
    storm.end().await;
}

/// Kills a backend of the server. Postgres then closes all connections, including this one, and recovers from disk.
async fn crash(postgres: &Postgres) {
    let mut connection: PgConnection = postgres.options().connect().await.unwrap();
    let sql = "select pid from pg_stat_activity where application_name = 'quire' order by state <> 'active' limit 1";
    let pid: i32 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    kill_process(pid.try_into().unwrap());
}

#[tokio::test]
async fn a_postgres_that_is_restarted() {
    let mut postgres = Postgres::start(&[]);
    let mut server = Server::on_database(&postgres.url(), &[]);
    let channel = server.connect().await;
    let mut health = HealthWatch::begin(&channel).await;
    let mut storm = Storm::begin(&channel, is_unavailable).await;
    postgres.stop();
    health.tells(NotServing).await;
    postgres.start_again();
    health.tells(Serving).await;
    storm.goes_on().await;
    storm.end().await;
}

#[tokio::test]
async fn a_postgres_that_hangs() {
    let postgres = Postgres::start(&[]);
    let mut server = Server::on_database(&postgres.url(), &[]);
    let channel = server.connect().await;
    let mut health = HealthWatch::begin(&channel).await;
    let mut storm = Storm::begin(&channel, is_unavailable).await;
    let frozen = postgres.freeze();
    health.tells(NotServing).await;
    let refused = storm.refused();
    // Calls are answered during this time.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(storm.refused() > refused + 100);
    drop(frozen);
    health.tells(Serving).await;
    storm.goes_on().await;
    storm.end().await;
}

#[tokio::test]
async fn a_server_that_is_killed() {
    let data_dir = DataDir::new();
    let mut server = Server::on_data_dir(&data_dir, &[]);
    let address = server.address;
    let mut storm = Storm::begin(&server.connect().await, is_unavailable_or_broken).await;
    for _ in 0..2 {
        server.program.kill();
        server = Server::start_again(&data_dir, address);
        storm.goes_on().await;
    }
    storm.end().await;
}

/// A missing volume must not be replaced by an empty database.
#[tokio::test]
async fn a_private_postgres_with_missing_data_is_not_recreated() {
    let data_dir = DataDir::new();
    let mut server = Server::on_data_dir(&data_dir, &["--sample"]);
    let channel = server.connect().await;
    let mut health = HealthWatch::begin(&channel).await;
    let (cluster, elsewhere) = (data_dir.file("postgres"), data_dir.file("elsewhere"));
    let killed = postmaster(&data_dir).unwrap();
    std::fs::rename(&cluster, &elsewhere).unwrap();
    kill_process(killed);
    health.tells(NotServing).await;
    eventually("it was told", async || server.program.stderr().contains("is missing: restore it").then_some(())).await;
    assert!(!cluster.exists());
    std::fs::rename(&elsewhere, &cluster).unwrap();
    health.tells(Serving).await;
    assert_eq!(names(&Client::new(channel)).await.len(), 40);
}

#[tokio::test]
async fn a_second_stop_signal_ends_the_server_at_once() {
    let data_dir = DataDir::new();
    let mut server = Server::on_data_dir(&data_dir, &[]);
    server.connect().await;
    let frozen = Frozen::process(postmaster(&data_dir).unwrap());
    server.program.signal(Signal::SIGTERM);
    eventually("it was stopping", async || server.program.stderr().contains("stopping").then_some(())).await;
    server.program.signal(Signal::SIGTERM);
    assert_eq!(server.program.exit_code().await, Some(143));
    drop(frozen);
}
