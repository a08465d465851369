//! UpdateAgent: what the mask names, whose etag wins, and what is refused.
use crate::support::{
    Client, alive, beat, by, from, get, make, named, names, one, start, start_ticking, told, walk, with,
};
use futures_util::future::join_all;
use platform::testing;
use prost_types::Duration;
use quire_proto::registry::v1::{Agent, AgentStatus, ListAgentsRequest, UpdateAgentRequest};
use tonic::{Code, Status};
use uuid::Uuid;

async fn update_in(client: &Client, workspace: &str, agent: Agent, mask: &[&str]) -> Result<Agent, Status> {
    let mut request = UpdateAgentRequest { agent: Some(agent), ..Default::default() };
    if !mask.is_empty() {
        request.update_mask.get_or_insert_default().paths = mask.iter().map(|&path| path.to_owned()).collect();
    }
    Ok(client.clone().update_agent(from(workspace, request)).await?.into_inner().agent.unwrap())
}

/// Asks for a change, as a caller of the workspace `default`.
async fn update(client: &Client, agent: Agent, mask: &[&str]) -> Result<Agent, Status> {
    update_in(client, "default", agent, mask).await
}

/// A change of one field of an agent.
fn surface(of: &Agent, surface: &str) -> Agent {
    Agent { id: of.id.clone(), surface: surface.into(), ..Default::default() }
}

/// An agent of which every field that can change is set.
fn full(name: &str) -> Agent {
    Agent {
        name: name.into(),
        surface: "chat".into(),
        endpoint: "unix:/run/agent".into(),
        capabilities: vec!["z".into(), "a".into()],
        status: AgentStatus::Idle.into(),
        capacity: Some(4),
        time_to_live: Some(Duration { seconds: 90, nanos: 0 }),
        metadata: [("team".into(), "web".into()), ("tier".into(), "1".into())].into(),
        ..Default::default()
    }
}

fn full_of(id: &str) -> Agent {
    Agent { id: id.into(), ..full("y") }
}

async fn make_full(client: &Client, name: &str) -> Agent {
    make(client, "default", &[with(full(name))]).await.remove(0)
}

/// Every field that can change.
const FIELDS: [&str; 8] =
    ["name", "surface", "endpoint", "capabilities", "status", "capacity", "time_to_live", "metadata"];

/// The agent with the fields that are named as another has them.
fn changed(agent: Agent, by: &Agent, fields: &[&str]) -> Agent {
    let is_named = |field: &str| fields.contains(&field);
    let by = by.clone();
    Agent {
        name: if is_named("name") { by.name } else { agent.name },
        surface: if is_named("surface") { by.surface } else { agent.surface },
        endpoint: if is_named("endpoint") { by.endpoint } else { agent.endpoint },
        capabilities: if is_named("capabilities") { by.capabilities } else { agent.capabilities },
        status: if is_named("status") { by.status } else { agent.status },
        capacity: if is_named("capacity") { by.capacity } else { agent.capacity },
        time_to_live: if is_named("time_to_live") { by.time_to_live } else { agent.time_to_live },
        metadata: if is_named("metadata") { by.metadata } else { agent.metadata },
        ..agent
    }
}

/// An agent that has another value than [`full`] in every field that can change.
fn other(name: &str) -> Agent {
    Agent {
        name: name.into(),
        surface: "ci".into(),
        endpoint: "https://agents.example".into(),
        capabilities: vec!["new".into()],
        status: AgentStatus::Suspended.into(),
        capacity: Some(0),
        time_to_live: Some(Duration { seconds: 1, nanos: 5_000_000 }),
        metadata: [("k".into(), "v".into())].into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn the_mask_names_what_changes_and_the_rest_is_not_even_looked_at() {
    let (_platform, client) = start_ticking().await;
    // What is not named is as wrong as it can be.
    let wrong = Agent {
        name: "\0".into(),
        surface: "x".repeat(65),
        endpoint: "\0".into(),
        capabilities: vec![String::new(); 33],
        status: 7,
        load: -7,
        capacity: Some(-1),
        time_to_live: Some(Duration::default()),
        metadata: [(String::new(), "v".into())].into(),
        register_time: Some(Default::default()),
        ..Default::default()
    };
    let masks = FIELDS.map(|field| vec![field]);
    let masks = masks.into_iter().chain([vec!["status", "name", "status"], vec!["*"], vec!["name", "*"]]);
    for (place, mask) in masks.enumerate() {
        let before = make_full(&client, &format!("before {place}")).await;
        let fields: &[&str] = if mask.contains(&"*") { &FIELDS } else { &mask };
        let asked = other(&format!("after {place}"));
        let change = changed(Agent { id: before.id.clone(), ..wrong.clone() }, &asked, fields);
        let after = update(&client, change, &mask).await.unwrap();
        assert_ne!(after.etag, before.etag);
        assert!(after.update_time.unwrap().seconds > before.update_time.unwrap().seconds);
        let expected = changed(before, &asked, fields);
        let expected = Agent { etag: after.etag.clone(), update_time: after.update_time, ..expected };
        assert_eq!(after, expected, "{mask:?}");
        assert_eq!(get(&client, &after.id).await.unwrap(), after, "{mask:?}");
    }
}

#[tokio::test]
async fn without_a_mask_what_is_given_changes() {
    let (_platform, client) = start().await;
    for (place, field) in FIELDS.into_iter().enumerate() {
        let before = make_full(&client, &format!("before {place}")).await;
        let asked = other(&format!("after {place}"));
        let change = changed(Agent { id: before.id.clone(), ..Default::default() }, &asked, &[field]);
        let after = update(&client, change, &[]).await.unwrap();
        let expected = changed(before, &asked, &[field]);
        assert_eq!(after, Agent { etag: after.etag.clone(), update_time: after.update_time, ..expected });
    }
}

#[tokio::test]
async fn what_the_mask_names_and_the_agent_leaves_out_gets_its_default() {
    let (_platform, client) = start().await;
    let defaults =
        Agent { capacity: Some(1), time_to_live: Some(Duration { seconds: 60, nanos: 0 }), ..Agent::default() };
    let clearable = ["surface", "endpoint", "capabilities", "capacity", "time_to_live", "metadata"];
    for mask in clearable.iter().map(std::slice::from_ref).chain([&clearable[..]]) {
        let before = make_full(&client, &mask.concat()).await;
        let after = update(&client, Agent { id: before.id.clone(), ..Default::default() }, mask).await.unwrap();
        let expected = changed(before, &defaults, mask);
        assert_eq!(after, Agent { etag: after.etag.clone(), update_time: after.update_time, ..expected });
    }
}

#[tokio::test]
async fn an_etag_that_is_given_must_be_the_current_one() {
    let (platform, client) = start().await;
    let first = one(&client, "x").await;
    let with_etag = |etag: &str, to: &str| Agent { etag: etag.into(), ..surface(&first, to) };
    let second = update(&client, with_etag(&first.etag, "a"), &[]).await.unwrap();
    // A heartbeat is not a change.
    assert_eq!(beat(&client, alive(&first)).await.unwrap().etag, second.etag);
    let third = update(&client, with_etag(&second.etag, "b"), &["surface"]).await.unwrap();
    // One that is left out is not looked at.
    update(&client, surface(&first, "c"), &["surface"]).await.unwrap();

    let before = testing::rows(&platform, &["agents"]).await;
    let mut answers = Vec::new();
    for etag in [&first.etag, &second.etag, &third.etag, "x", " ", "01934f6e-8a3b-7c21-9d55-0242ac120002"] {
        let status = update(&client, with_etag(etag, "stale"), &[]).await.unwrap_err();
        answers.push(told(&status).replace(&first.id, "<id>"));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @r#"
    Aborted: registry.v1.Agent with agent.id "<id>" has changed meanwhile; read it again
      ABORTED of quire {"field": "agent.id"}
      registry.v1.Agent "<id>"
    "#);
    assert_eq!(testing::rows(&platform, &["agents"]).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_changes_with_one_etag_one_wins() {
    let (_platform, client) = start().await;
    for round in 0..5 {
        let before = one(&client, &format!("x{round}")).await;
        let change = |place: usize| Agent { etag: before.etag.clone(), ..surface(&before, &place.to_string()) };
        let answers = join_all((0..20).map(|place| update(&client, change(place), &[]))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        let won: Vec<_> = won.into_iter().map(Result::unwrap).collect();
        assert_eq!(won, [get(&client, &before.id).await.unwrap()]);
        assert!(lost.into_iter().all(|lost| lost.unwrap_err().code() == Code::Aborted));
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_not_given_again() {
    let (platform, client) = start().await;
    let made = make(&client, "default", &[named("a"), named("b")]).await;
    make(&client, "other", &[named("c")]).await;
    let before = testing::rows(&platform, &["agents"]).await;
    let named = |name: &str| Agent { name: name.into(), ..surface(&made[0], "chat") };
    let taken = told(&update(&client, named("b"), &["name", "surface"]).await.unwrap_err());
    insta::assert_snapshot!(taken, @r#"
    AlreadyExists: registry.v1.Agent with agent.name "b" already exists
      ALREADY_EXISTS of quire {"field": "agent.name"}
      registry.v1.Agent "b"
    "#);
    assert_eq!(testing::rows(&platform, &["agents"]).await, before);
    // Its own name, and one of another workspace, are not in the way; what it gives up is free.
    for name in ["a", "c"] {
        assert_eq!(update(&client, named(name), &["name"]).await.unwrap().name, name);
    }
    one(&client, "a").await;
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (platform, client) = start().await;
    let id = one(&client, "x").await.id;
    let before = testing::rows(&platform, &["agents"]).await;
    let agent = || Agent { id: id.clone(), ..Default::default() };
    let requests: [(&str, Agent, &[&str]); 13] = [
        ("nothing to change", agent(), &[]),
        ("nothing but what heartbeats say", Agent { load: 7, ..agent() }, &[]),
        ("no id", Agent { id: String::new(), ..full("y") }, &["*"]),
        ("a field that is none among others", full_of(&id), &["name", "title"]),
        ("fields that the service sets", full_of(&id), &["load", "etag", "heartbeat_time"]),
        ("a name cleared", agent(), &["name"]),
        ("a status that is not given", Agent { name: "y".into(), ..agent() }, &["name", "status"]),
        ("all but the status", Agent { status: 0, ..full_of(&id) }, &["*"]),
        ("a status that is none", Agent { status: 7, ..agent() }, &[]),
        ("a negative capacity", Agent { capacity: Some(-1), ..agent() }, &[]),
        ("a time to live that is none", Agent { time_to_live: Some(Duration::default()), ..agent() }, &[]),
        ("an endpoint", Agent { endpoint: "x".repeat(1_025), ..agent() }, &["endpoint"]),
        ("a capability", Agent { capabilities: vec!["a".into(), "a".into()], ..agent() }, &["capabilities"]),
    ];
    let mut answers = String::new();
    for (what, agent, mask) in requests {
        let answer = told(&update(&client, agent, mask).await.unwrap_err());
        answers += &format!("{what}\n{answer}\n");
    }
    insta::assert_snapshot!(answers, @"
    nothing to change
    InvalidArgument: update_mask: must name fields to change, out of name, surface, endpoint, capabilities, status, capacity, time_to_live, metadata
      update_mask: must name fields to change, out of name, surface, endpoint, capabilities, status, capacity, time_to_live, metadata
    nothing but what heartbeats say
    InvalidArgument: update_mask: must name fields to change, out of name, surface, endpoint, capabilities, status, capacity, time_to_live, metadata
      update_mask: must name fields to change, out of name, surface, endpoint, capabilities, status, capacity, time_to_live, metadata
    no id
    InvalidArgument: agent.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      agent.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    a field that is none among others
    InvalidArgument: update_mask: must name fields to change, out of name, surface, endpoint, capabilities, status, capacity, time_to_live, metadata
      update_mask: must name fields to change, out of name, surface, endpoint, capabilities, status, capacity, time_to_live, metadata
    fields that the service sets
    InvalidArgument: update_mask: must name fields to change, out of name, surface, endpoint, capabilities, status, capacity, time_to_live, metadata
      update_mask: must name fields to change, out of name, surface, endpoint, capabilities, status, capacity, time_to_live, metadata
    a name cleared
    InvalidArgument: agent.name: must have 1 to 256 bytes; it has 0
      agent.name: must have 1 to 256 bytes; it has 0
    a status that is not given
    InvalidArgument: agent.status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
      agent.status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
    all but the status
    InvalidArgument: agent.status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
      agent.status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
    a status that is none
    InvalidArgument: agent.status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
      agent.status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
    a negative capacity
    InvalidArgument: agent.capacity: must be at least 0
      agent.capacity: must be at least 0
    a time to live that is none
    InvalidArgument: agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
      agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
    an endpoint
    InvalidArgument: agent.endpoint: must have 0 to 1024 bytes; it has 1025
      agent.endpoint: must have 0 to 1024 bytes; it has 1025
    a capability
    InvalidArgument: agent.capabilities[1]: must not be given twice
      agent.capabilities[1]: must not be given twice
    ");
    assert_eq!(testing::rows(&platform, &["agents"]).await, before);
}

#[tokio::test]
async fn what_another_workspace_has_is_as_if_it_were_nowhere() {
    let (platform, client) = start().await;
    let id = Uuid::from_u128(1).to_string();
    let refusal = async |agent: Agent| told(&update_in(&client, "theirs", agent, &[]).await.unwrap_err());
    let nowhere = refusal(full_of(&id)).await;
    insta::assert_snapshot!(nowhere, @r#"
    NotFound: registry.v1.Agent with agent.id "00000000-0000-0000-0000-000000000001" does not exist
      NOT_FOUND of quire {"field": "agent.id"}
      registry.v1.Agent "00000000-0000-0000-0000-000000000001"
    "#);
    let ours = make(&client, "ours", &[with(full_of(&id))]).await.remove(0);
    let before = testing::rows(&platform, &["agents"]).await;
    assert_eq!(refusal(Agent { etag: ours.etag, ..full_of(&id) }).await, nowhere);
    assert_eq!(testing::rows(&platform, &["agents"]).await, before);
}

#[tokio::test]
async fn a_changed_agent_is_where_its_new_values_belong() {
    let (_platform, client) = start_ticking().await;
    let made = [one(&client, "a").await, one(&client, "b").await, one(&client, "c").await];
    let change = Agent { status: AgentStatus::Busy.into(), name: "d".into(), ..surface(&made[0], "new") };
    let changed = update(&client, change, &[]).await.unwrap();
    assert_eq!(names(&walk(&client, &by("")).await), ["c", "b", "d"]);
    assert_eq!(names(&walk(&client, &by("name")).await), ["b", "c", "d"]);
    let of_surface = ListAgentsRequest { surface: Some("new".into()), ..by("") };
    let of_status = ListAgentsRequest { status: AgentStatus::Busy.into(), ..by("") };
    for filtered in [of_surface, of_status] {
        assert_eq!(walk(&client, &filtered).await, std::slice::from_ref(&changed));
    }
}
