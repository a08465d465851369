//! A heartbeat writes to no index. The test has its own server: any transaction that runs on a server keeps old row
//! versions in their page, and a full page has no room for HOT updates.
use std::time::Duration;

use crate::support::{alive, beat, make, named, start_on};
use platform::{Platform, testing};
use quire_proto::registry::v1::{AgentStatus, HeartbeatRequest};

/// The number of updates of agents, and how many of them wrote to no index. Waits until there are this many updates.
async fn updates(platform: &Platform, expected: i64) -> (i64, i64) {
    // Postgres counts all work of a connection at the latest when the connection ends.
    platform.database.close();
    let pool = testing::pool(platform);
    let sql = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'agents'";
    for _ in 0..1_000 {
        let counted: (i64, i64) = sqlx::query_as(sql).fetch_one(&pool).await.unwrap();
        if counted.0 >= expected {
            return counted;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there are fewer than {expected} updates");
}

#[tokio::test]
async fn a_heartbeat_writes_to_no_index_unless_the_status_changes() {
    let (_server, platform) = testing::platform_alone().await;
    let client = start_on(&platform).await;
    let made = make(&client, "default", &(0..100).map(|place| named(place.to_string())).collect::<Vec<_>>()).await;
    for load in 0..10 {
        // With the current status, and without a status.
        let status = if load % 2 == 0 { AgentStatus::Active } else { AgentStatus::Unspecified };
        for agent in &made {
            let heartbeat = HeartbeatRequest { status: status.into(), load: Some(load), ..alive(agent) };
            beat(&client, heartbeat).await.unwrap();
        }
    }
    for agent in made.iter().take(7) {
        let heartbeat = HeartbeatRequest { status: AgentStatus::Busy.into(), ..alive(agent) };
        beat(&client, heartbeat).await.unwrap();
    }
    assert_eq!(updates(&platform, 1_007).await, (1_007, 1_000));
}
