//! Agents: defaults, concurrent updates, and the largest page.
use crate::support::{Client, list, make, one, start, with};
use platform::Platform;
use prost_types::Duration;
use quire_proto::registry::v1::{
    Agent, AgentStatus, BatchRegisterAgentsRequest, ListAgentsRequest, UpdateAgentRequest,
};
use tonic::Status;

async fn update(client: &Client, agent: Agent, mask: &[&str]) -> Result<Agent, Status> {
    let mut request = UpdateAgentRequest { agent: Some(agent), ..Default::default() };
    request.update_mask.get_or_insert_default().paths = mask.iter().map(|&path| path.to_owned()).collect();
    Ok(client.clone().update_agent(request).await?.into_inner().agent.unwrap())
}

#[tokio::test]
async fn omitted_fields_have_defaults() {
    let (_platform, client): (Platform, _) = start().await;
    let agent = one(&client, "x").await;
    let Agent { id, etag, register_time, .. } = agent.clone();
    let expected = Agent {
        id: id.clone(),
        name: "x".into(),
        status: AgentStatus::Active.into(),
        capacity: Some(1),
        time_to_live: Some(Duration { seconds: 60, nanos: 0 }),
        etag,
        register_time,
        heartbeat_time: register_time,
        update_time: register_time,
        ..Default::default()
    };
    assert_eq!(agent, expected);
    // An explicit default equals an omitted value.
    let given = with(Agent { etag: String::new(), ..expected.clone() });
    let request = BatchRegisterAgentsRequest { requests: vec![given], pass_over_existing: true };
    assert_eq!(client.clone().batch_register_agents(request).await.unwrap().into_inner().agents, [agent]);
    // A field that the mask names and the request omits is reset to its default.
    let capacity = Agent { id: id.clone(), capacity: Some(7), time_to_live: None, ..Default::default() };
    let time_to_live = Some(Duration { seconds: 1, nanos: 0 });
    update(&client, Agent { time_to_live, ..capacity }, &["capacity", "time_to_live"]).await.unwrap();
    let cleared = update(&client, Agent { id, ..Default::default() }, &["capacity", "time_to_live"]).await.unwrap();
    assert_eq!((cleared.capacity, cleared.time_to_live), (expected.capacity, expected.time_to_live));
}

#[tokio::test]
async fn the_largest_page_fits_in_the_limits_of_clients() {
    let (_platform, client) = start().await;
    let agent = |place: usize| Agent {
        name: format!("{place:0256}"),
        surface: "x".repeat(64),
        endpoint: "x".repeat(1_024),
        capabilities: (0..32).map(|word| format!("{word:064}")).collect(),
        metadata: (0..64).map(|key| (format!("{key:064}"), "x".repeat(64))).collect(),
        ..Default::default()
    };
    make(&client, "default", &(0..200).map(|place| with(agent(place))).collect::<Vec<_>>()).await;
    assert_eq!(list(&client, &ListAgentsRequest::default()).await.len(), 200);
}
