//! The sweep: agents that are silent for longer than their time to live become offline. One process sweeps at a time.
use std::time::Duration;

use crate::support::{alive, beat, get, list, make, named, names, one, pass, start, with};
use database::connect;
use futures_util::future::join_all;
use keyset::Connections;
use platform::{Platform, Retention, Sweeper, testing};
use prost_types::{Duration as TimeToLive, Timestamp};
use quire_proto::registry::v1::{Agent, AgentStatus, ListAgentsRequest};
use registry::SERVICE;
use sqlx::PgPool;

/// A sweeper with its own connection to the database, as in another process.
async fn sweeper(platform: &Platform) -> Sweeper {
    let database = connect(platform.database.options(), database::Limits::default());
    let other = Platform { retention: platform.retention, ..testing::platform_on(database) };
    Sweeper::new(other.database.clone(), (SERVICE.open)(&other).await.unwrap().sweeps)
}

/// Sweeps once.
async fn sweep(platform: &Platform) -> u64 {
    sweeper(platform).await.turn().await.unwrap().unwrap()
}

fn earlier(time: Option<Timestamp>, seconds: i64) -> Option<Timestamp> {
    time.map(|time| Timestamp { seconds: time.seconds - seconds, ..time })
}

fn lives(name: &str, seconds: i64, status: AgentStatus) -> Agent {
    let time_to_live = Some(TimeToLive { seconds, nanos: 0 });
    Agent { name: name.into(), time_to_live, status: status.into(), ..Default::default() }
}

#[tokio::test]
async fn a_sweep_changes_only_the_status() {
    let (platform, client) = start().await;
    let statuses = (1..=6).map(|number| AgentStatus::try_from(number).unwrap());
    let requests = statuses.map(|status| with(lives(status.as_str_name(), 60, status)));
    let requests: Vec<_> = requests.chain([with(lives("long", 3_600, AgentStatus::Busy))]).collect();
    let made = make(&client, "default", &requests).await;
    assert_eq!(sweep(&platform).await, 0);
    pass(&platform, 60).await;
    assert_eq!(sweep(&platform).await, 4);
    let made = made.into_iter().map(|agent| Agent { heartbeat_time: earlier(agent.heartbeat_time, 60), ..agent });
    for agent in made {
        let status = match (agent.status(), agent.name.as_str()) {
            (AgentStatus::Suspended, _) => AgentStatus::Suspended,
            (status, "long") => status,
            (_, _) => AgentStatus::Offline,
        };
        assert_eq!(get(&client, &agent.id).await.unwrap(), Agent { status: status.into(), ..agent });
    }
    assert_eq!(sweep(&platform).await, 0);
    pass(&platform, 3_600).await;
    assert_eq!(sweep(&platform).await, 1);
}

#[tokio::test]
async fn a_heartbeat_brings_an_agent_back() {
    let (platform, client) = start().await;
    let agent = one(&client, "x").await;
    pass(&platform, 61).await;
    assert_eq!(sweep(&platform).await, 1);
    assert_eq!(beat(&client, alive(&agent)).await.unwrap().status(), AgentStatus::Active);
    assert_eq!(sweep(&platform).await, 0);
    // The time to live starts again.
    pass(&platform, 30).await;
    assert_eq!(sweep(&platform).await, 0);
    pass(&platform, 30).await;
    assert_eq!(sweep(&platform).await, 1);
}

#[tokio::test]
async fn all_workspaces_are_swept_a_page_at_a_time() {
    let (platform, client) = start().await;
    let pool = testing::pool(&platform);
    // The agents are not in the order of their ids. Every tenth agent is alive.
    let sql = "
        insert into agents (workspace_id, id, name, surface, endpoint, capabilities, status, load, capacity, time_to_live,
            metadata, etag, register_time, heartbeat_time, update_time)
        select 'w' || n % 3, gen_random_uuid(), n, '', '', '{}', 'active', 0, 1, 60000, '{}', gen_random_uuid(), now(),
            case n % 10 when 0 then now() else now() - interval '1 hour' end, now()
        from generate_series(1, 2500) as n";
    sqlx::query(sql).execute(&pool).await.unwrap();
    let row = "select agents::text from agents where name::int % 10 = 0 order by name";
    let rows = async || sqlx::query_scalar::<_, String>(row).fetch_all(&pool).await.unwrap();
    let before = rows().await;
    assert_eq!(sweep(&platform).await, 2_250);
    let count = "select count(*) from agents where status = 'offline' and name::int % 10 <> 0";
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&pool).await.unwrap(), 2_250);
    assert_eq!(rows().await, before);
    // The sweep also ends if the last page is full.
    sqlx::query("delete from agents where status = 'offline'").execute(&pool).await.unwrap();
    make(&client, "w9", &(0..750).map(|place| named(place.to_string())).collect::<Vec<_>>()).await;
    assert_eq!(sweep(&platform).await, 0);
}

/// The connections that hold an advisory lock on the database.
async fn holders(pool: &PgPool) -> Vec<i32> {
    let sql = "select pid from pg_locks join pg_database on pg_database.oid = database
        where locktype = 'advisory' and granted and datname = current_database()";
    sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
}

/// Waits until the lock is released. Postgres releases it when it sees that the connection is closed.
async fn wait_until_free(pool: &PgPool) {
    for _ in 0..1_000 {
        if holders(pool).await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the lock is held");
}

#[tokio::test]
async fn of_three_sweepers_one_sweeps_and_another_takes_over() {
    let (platform, client) = start().await;
    let pool = testing::pool(&platform);
    let mut sweepers = [sweeper(&platform).await, sweeper(&platform).await, sweeper(&platform).await];
    let mut sweeping = None;
    for round in 0..9 {
        one(&client, &round.to_string()).await;
        pass(&platform, 61).await;
        let turns = join_all(sweepers.iter_mut().map(Sweeper::turn)).await;
        let turns: Vec<_> = turns.into_iter().map(Result::unwrap).collect();
        assert_eq!(turns.iter().flatten().collect::<Vec<_>>(), [&1], "{turns:?}");
        // The holder keeps the lock.
        let place = turns.iter().position(Option::is_some).unwrap();
        assert_eq!(*sweeping.get_or_insert(place), place);
        let holders = holders(&pool).await;
        assert_eq!(holders.len(), 1);
        if round % 3 == 2 {
            let end = "select pg_terminate_backend($1, 10000)";
            assert!(sqlx::query_scalar::<_, bool>(end).bind(holders[0]).fetch_one(&pool).await.unwrap());
            // The sweeper without a connection fails at its next turn. At the turn after that, another sweeper holds
            // the lock.
            let next = (place + 1) % 3;
            assert_eq!(sweepers[next].turn().await.unwrap(), Some(0));
            sweepers[place].turn().await.unwrap_err();
            assert_eq!(sweepers[place].turn().await.unwrap(), None);
            sweeping = Some(next);
        }
    }
}

#[tokio::test]
async fn a_dropped_sweeper_releases_the_lock() {
    let (platform, _client) = start().await;
    let pool = testing::pool(&platform);
    let (mut first, mut second) = (sweeper(&platform).await, sweeper(&platform).await);
    assert_eq!(first.turn().await.unwrap(), Some(0));
    assert_eq!(second.turn().await.unwrap(), None);
    drop(first);
    wait_until_free(&pool).await;
    assert_eq!(second.turn().await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_heartbeat_that_the_sweep_waits_for_wins() {
    let (platform, client) = start().await;
    let made = make(&client, "default", &["a", "b", "c"].map(named)).await;
    pass(&platform, 61).await;
    let pool = testing::pool(&platform);
    let mut heartbeat = pool.begin().await.unwrap();
    let sql = "update agents set heartbeat_time = now() where name = 'b'";
    sqlx::query(sql).execute(&mut *heartbeat).await.unwrap();
    let (swept, ()) = tokio::join!(sweep(&platform), async {
        testing::wait_for_waiting(&pool, 1).await;
        heartbeat.commit().await.unwrap();
    });
    assert_eq!(swept, 2);
    let statuses = join_all(made.iter().map(|agent| get(&client, &agent.id))).await;
    let statuses: Vec<_> = statuses.into_iter().map(|agent| agent.unwrap().status()).collect();
    assert_eq!(statuses, [AgentStatus::Offline, AgentStatus::Active, AgentStatus::Offline]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_heartbeats_and_sweeps_never_leave_a_live_agent_offline() {
    let (platform, client) = start().await;
    let requests: Vec<_> = (0..300).map(|place| named(place.to_string())).collect();
    let made = make(&client, "default", &requests).await;
    let mut sweeper = sweeper(&platform).await;
    for _ in 0..10 {
        pass(&platform, 61).await;
        let beats = join_all(made.iter().map(|agent| beat(&client, alive(agent))));
        let sweeps = async {
            for _ in 0..5 {
                sweeper.turn().await.unwrap().unwrap();
            }
        };
        let (beats, ()) = tokio::join!(beats, sweeps);
        assert!(beats.iter().all(Result::is_ok), "{beats:?}");
        let offline = ListAgentsRequest { status: AgentStatus::Offline.into(), ..Default::default() };
        assert_eq!(names(&list(&client, &offline).await), [""; 0]);
    }
}

#[tokio::test]
async fn a_sweeper_recovers_from_an_error_at_its_next_turn() {
    let (platform, client) = start().await;
    one(&client, "x").await;
    pass(&platform, 61).await;
    let pool = testing::pool(&platform);
    let mut sweeper = sweeper(&platform).await;
    sqlx::query("alter table agents rename to gone").execute(&pool).await.unwrap();
    sweeper.turn().await.unwrap_err();
    wait_until_free(&pool).await;
    sqlx::query("alter table gone rename to agents").execute(&pool).await.unwrap();
    assert_eq!(sweeper.turn().await.unwrap(), Some(1));
}

/// A sweeper does not use a connection of the pool.
#[tokio::test]
async fn a_sweeper_takes_no_connection_from_the_calls() {
    let (platform, _client) = start().await;
    let sweeps = (SERVICE.open)(&platform).await.unwrap().sweeps;
    let mut sweeper = Sweeper::new(platform.database.clone(), sweeps);
    assert_eq!(sweeper.turn().await.unwrap(), Some(0));
    let database = &platform.database;
    let all = join_all((0..database.max_connections()).map(|_| database.connection())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(sweeper.turn().await.unwrap(), Some(0));
}

#[tokio::test]
async fn run_sweeps_by_itself() {
    let (platform, client) = start().await;
    let agent = one(&client, "x").await;
    pass(&platform, 61).await;
    let running = tokio::spawn(sweeper(&platform).await.run());
    while get(&client, &agent.id).await.unwrap().status() != AgentStatus::Offline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.abort();
}

#[tokio::test]
async fn agents_that_were_offline_for_long_are_deleted_on_request() {
    let (platform, client) = start().await;
    let statuses = [AgentStatus::Active, AgentStatus::Offline, AgentStatus::Suspended];
    let requests = statuses.map(|status| with(lives(status.as_str_name(), 86_400, status)));
    make(&client, "default", &requests).await;
    make(&client, "other", &requests).await;
    pass(&platform, 80_000).await;
    assert_eq!(sweep(&platform).await, 0, "without a retention");
    let retention = |seconds| Retention { agents: Some(Duration::from_secs(seconds)), ..Retention::default() };
    assert_eq!(sweep(&Platform { retention: retention(86_400), ..platform.clone() }).await, 0);
    assert_eq!(sweep(&Platform { retention: retention(3_600), ..platform.clone() }).await, 2);
    let left = list(&client, &ListAgentsRequest { order_by: "name".to_owned(), ..Default::default() }).await;
    assert_eq!(names(&left), ["AGENT_STATUS_ACTIVE", "AGENT_STATUS_SUSPENDED"]);
}
