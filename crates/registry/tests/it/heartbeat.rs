//! Heartbeat: the fields that it changes, and those that it keeps.
use crate::support::{Client, alive, beat, get, make, one, pass, start, start_on, with};
use platform::{
    Platform,
    testing::{self, Hands},
};
use quire_proto::registry::v1::{Agent, AgentStatus, HeartbeatRequest, UpdateAgentRequest};

/// Registers an agent with this status.
async fn of_status(client: &Client, status: AgentStatus) -> Agent {
    let agent = Agent { name: status.as_str_name().into(), status: status.into(), load: 3, ..Default::default() };
    make(client, "default", &[with(agent)]).await.remove(0)
}

#[tokio::test]
async fn a_heartbeat_sets_status_and_load() {
    use AgentStatus::{Active, Busy, Degraded, Idle, Offline, Suspended, Unspecified};
    let (platform, client) = start().await;
    for was in [Active, Idle, Busy, Degraded, Suspended, Offline] {
        let made = of_status(&client, was).await;
        for said in [Unspecified, Active, Idle, Busy, Degraded, Offline] {
            // Resets the status.
            let first = Agent { id: made.id.clone(), status: was.into(), ..Default::default() };
            let request = UpdateAgentRequest { agent: Some(first), ..Default::default() };
            let before = client.clone().update_agent(request).await.unwrap().into_inner().agent.unwrap();
            pass(&platform, 10).await;
            let before = get(&client, &before.id).await.unwrap();
            let after = beat(&client, HeartbeatRequest { status: said.into(), ..alive(&made) }).await.unwrap();
            let expected = match (was, said) {
                (Suspended, _) => Suspended,
                (Offline, Unspecified) => Active,
                (_, Unspecified) => was,
                (_, _) => said,
            };
            assert_eq!(after.status(), expected, "{was:?} says {said:?}");
            assert!(after.heartbeat_time.unwrap().seconds >= before.heartbeat_time.unwrap().seconds + 10);
            // Only the heartbeat time differs: the etag and the update time are unchanged.
            assert_eq!(after, Agent { status: expected.into(), heartbeat_time: after.heartbeat_time, ..before });
            assert_eq!(get(&client, &made.id).await.unwrap(), after);
        }
    }
}

#[tokio::test]
async fn an_omitted_load_is_unchanged() {
    let (_platform, client) = start().await;
    let agent = one(&client, "x").await;
    for (load, expected) in [(Some(5), 5), (None, 5), (Some(0), 0), (None, 0), (Some(i32::MAX), i32::MAX)] {
        assert_eq!(beat(&client, HeartbeatRequest { load, ..alive(&agent) }).await.unwrap().load, expected);
    }
}

#[tokio::test]
async fn the_time_of_a_heartbeat_is_that_of_the_database() {
    let hands = Hands::at(1_000_000_000);
    let platform = Platform { clock: hands.clock(), ..testing::platform().await };
    let client = start_on(&platform).await;
    let agent = one(&client, "x").await;
    let beaten = beat(&client, alive(&agent)).await.unwrap();
    let now = "select extract(epoch from now())::int8";
    let now: i64 = sqlx::query_scalar(now).fetch_one(&testing::pool(&platform)).await.unwrap();
    let age = now - beaten.heartbeat_time.unwrap().seconds;
    assert!((0..120).contains(&age), "{age}");
}
