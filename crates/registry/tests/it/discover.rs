//! DiscoverAgents: agents with a capability that are alive and have free capacity.
use crate::support::{Client, alive, beat, make, start, with};
use platform::testing;
use quire_proto::pagination::v1::PageRequest;
use quire_proto::registry::v1::{Agent, AgentStatus, DiscoverAgentsRequest, HeartbeatRequest};

/// The names of the agents with the capability `code`.
async fn found(client: &Client) -> Vec<String> {
    let request = DiscoverAgentsRequest { capability: "code".to_owned(), ..Default::default() };
    let response = client.clone().discover_agents(request).await.unwrap().into_inner();
    response.agents.into_iter().map(|agent| agent.name).collect()
}

fn coder(name: &str) -> Agent {
    Agent { name: name.into(), capabilities: vec!["review".into(), "code".into()], ..Default::default() }
}

#[tokio::test]
async fn only_capable_live_agents_with_free_capacity_are_found() {
    let (platform, client) = start().await;
    let statuses =
        (1..=6).map(|status| Agent { status, ..coder(&AgentStatus::try_from(status).unwrap().as_str_name()[13..]) });
    let others = [
        Agent { capabilities: vec!["Code".into(), "codes".into()], ..coder("other") },
        Agent { capabilities: vec![], ..coder("nothing") },
        Agent { load: 1, ..coder("full") },
        Agent { load: 3, capacity: Some(2), ..coder("more than full") },
        Agent { capacity: Some(0), ..coder("none") },
        Agent { load: 1, capacity: Some(2), ..coder("half full") },
        coder("silent"),
    ];
    make(&client, "default", &statuses.chain(others).map(with).collect::<Vec<_>>()).await;
    make(&client, "other", &[with(coder("theirs"))]).await;
    // The sweep has not changed the status yet.
    let silence = "update agents set heartbeat_time = now() - interval '61 s' where name = 'silent'";
    sqlx::query(silence).execute(&testing::pool(&platform)).await.unwrap();
    let mut found = found(&client).await;
    found.sort();
    assert_eq!(found, ["ACTIVE", "DEGRADED", "IDLE", "half full"]);
}

#[tokio::test]
async fn a_heartbeat_changes_the_free_capacity() {
    let (platform, client) = start().await;
    let agent = make(&client, "default", &[with(Agent { capacity: Some(2), ..coder("x") })]).await.remove(0);
    let said = async |heartbeat| {
        beat(&client, heartbeat).await.unwrap();
        found(&client).await.len()
    };
    let loaded = |load| HeartbeatRequest { load: Some(load), ..alive(&agent) };
    assert_eq!(said(loaded(2)).await, 0);
    assert_eq!(said(loaded(1)).await, 1);
    assert_eq!(said(HeartbeatRequest { status: AgentStatus::Busy.into(), ..alive(&agent) }).await, 0);
    assert_eq!(said(HeartbeatRequest { status: AgentStatus::Idle.into(), ..alive(&agent) }).await, 1);
    let silence = "update agents set heartbeat_time = now() - interval '61 s'";
    sqlx::query(silence).execute(&testing::pool(&platform)).await.unwrap();
    assert_eq!(found(&client).await.len(), 0);
    assert_eq!(said(alive(&agent)).await, 1);
}

#[tokio::test]
async fn a_skip_is_refused() {
    let (_platform, client) = start().await;
    let page = Some(PageRequest { skip: 1, ..Default::default() });
    let request = DiscoverAgentsRequest { page, capability: "code".to_owned(), ..Default::default() };
    let status = client.clone().discover_agents(request).await.unwrap_err();
    insta::assert_snapshot!(status.message(), @"page.skip: must be 0 with capability, which no index serves in this order; follow the page tokens");
}
