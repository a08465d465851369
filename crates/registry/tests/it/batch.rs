//! BatchRegisterAgents: all or none, in the order of the requests.
use crate::support::{Client, alive, beat, start, with};
use prost_types::Duration;
use quire_proto::registry::v1::{
    Agent, AgentStatus, BatchRegisterAgentsRequest, HeartbeatRequest, RegisterAgentRequest,
};
use tonic::{Code, Status};

async fn register(client: &Client, requests: &[RegisterAgentRequest]) -> Result<Vec<Agent>, Status> {
    let request = BatchRegisterAgentsRequest { requests: requests.to_vec(), ..Default::default() };
    Ok(client.clone().batch_register_agents(request).await?.into_inner().agents)
}

/// Registers agents and skips existing ones.
async fn register_missing(client: &Client, requests: &[RegisterAgentRequest]) -> Result<Vec<Agent>, Status> {
    let request = BatchRegisterAgentsRequest { requests: requests.to_vec(), pass_over_existing: true };
    Ok(client.clone().batch_register_agents(request).await?.into_inner().agents)
}

/// A request with every field set. The id can be empty.
fn full(id: &str, name: &str) -> RegisterAgentRequest {
    with(Agent {
        id: id.into(),
        name: name.into(),
        surface: "chat".into(),
        endpoint: "unix:/run/agent".into(),
        capabilities: vec!["b".into(), "a".into()],
        status: AgentStatus::Idle.into(),
        load: 3,
        capacity: Some(4),
        time_to_live: Some(Duration { seconds: 90, nanos: 0 }),
        metadata: [("team".into(), "web".into()), ("tier".into(), "1".into())].into(),
        ..Default::default()
    })
}

#[tokio::test]
async fn the_answer_to_a_batch_is_limited() {
    let (_platform, client) = start().await;
    let metadata = || (0..8).map(|key| (key.to_string(), "x".repeat(1_023))).collect();
    let agent = |place: usize| with(Agent { name: place.to_string(), metadata: metadata(), ..Default::default() });
    let requests: Vec<_> = (0..450).map(agent).collect();
    let refused = register(&client, &requests).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    insta::assert_snapshot!(refused.message(), @"requests: the agents must have at most 3670016 bytes in all");
    assert_eq!(register(&client, &requests[..400]).await.unwrap().len(), 400);
}

#[tokio::test]
async fn an_agent_with_heartbeats_is_skipped_as_identical() {
    let (_platform, client) = start().await;
    let made = register_missing(&client, &[full("", "a")]).await.unwrap().remove(0);
    let heartbeat = HeartbeatRequest { status: AgentStatus::Busy.into(), load: Some(9), ..alive(&made) };
    let heard = beat(&client, heartbeat).await.unwrap();
    assert_eq!((heard.status(), heard.load), (AgentStatus::Busy, 9));
    assert_eq!(register_missing(&client, &[full("", "a")]).await.unwrap(), [heard]);
}
