//! BatchRegisterAgents: all or none, in the order of the requests.
use crate::support::{Client, alive, beat, by, get, make, named, start, told, walk, with};
use platform::testing;
use prost_types::Duration;
use quire_proto::registry::v1::{
    Agent, AgentStatus, BatchRegisterAgentsRequest, HeartbeatRequest, RegisterAgentRequest,
};
use tonic::{Code, Status};

async fn register(client: &Client, requests: &[RegisterAgentRequest]) -> Result<Vec<Agent>, Status> {
    let request = BatchRegisterAgentsRequest { requests: requests.to_vec(), ..Default::default() };
    Ok(client.clone().batch_register_agents(request).await?.into_inner().agents)
}

/// Asks for agents of which those that exist are passed over.
async fn register_missing(client: &Client, requests: &[RegisterAgentRequest]) -> Result<Vec<Agent>, Status> {
    let request = BatchRegisterAgentsRequest { requests: requests.to_vec(), pass_over_existing: true };
    Ok(client.clone().batch_register_agents(request).await?.into_inner().agents)
}

async fn refusal(client: &Client, requests: &[RegisterAgentRequest]) -> String {
    told(&register(client, requests).await.unwrap_err())
}

/// Names in neither ascending nor descending order.
fn shuffled(count: usize) -> Vec<RegisterAgentRequest> {
    (0..count).map(|place| named(format!("{:05}", place * 7_919 % 10_007))).collect()
}

const ID: &str = "abcdef00-8a3b-7c21-9d55-0242ac120002";
const OTHER_ID: &str = "abcdef00-8a3b-7c21-9d55-0242ac120003";

fn with_id(id: &str, name: &str) -> RegisterAgentRequest {
    with(Agent { id: id.into(), name: name.into(), ..Default::default() })
}

/// A request in which everything is given but, unless it is not empty, the id.
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
async fn a_thousand_are_made_at_once_and_answered_in_the_order_of_the_requests() {
    let (platform, client) = start().await;
    let requests = shuffled(1_000);
    let made = register(&client, &requests).await.unwrap();
    let asked = requests.into_iter().map(|request| request.agent.unwrap().name);
    assert!(asked.eq(made.iter().map(|agent| agent.name.clone())));
    assert!(made.iter().all(|agent| agent.register_time == made[0].register_time));
    assert_eq!(testing::rows(&platform, &["agents"]).await.len(), 1_000);
    for place in [0, 499, 999] {
        assert_eq!(get(&client, &made[place].id).await.unwrap(), made[place]);
    }
}

#[tokio::test]
async fn each_agent_has_its_own_of_everything() {
    let (_platform, client) = start().await;
    let requests = [full(ID, "a"), named("b"), full("", "c")];
    for (request, made) in requests.iter().zip(register(&client, &requests).await.unwrap()) {
        let asked = request.agent.clone().unwrap();
        assert_eq!((&made.name, &made.surface, &made.endpoint), (&asked.name, &asked.surface, &asked.endpoint));
        assert_eq!((&made.capabilities, &made.metadata), (&asked.capabilities, &asked.metadata));
        assert_eq!((made.load, made.status.max(1)), (asked.load, asked.status.max(1)));
        assert_eq!(made.capacity, asked.capacity.or(Some(1)));
        assert_eq!(get(&client, &made.id).await.unwrap(), made);
    }
}

#[tokio::test]
async fn a_batch_has_1_to_1000_requests() {
    let (platform, client) = start().await;
    insta::assert_snapshot!(refusal(&client, &[]).await, @"
    InvalidArgument: requests: must be 1 to 1000; there are 0
      requests: must be 1 to 1000; there are 0
    ");
    insta::assert_snapshot!(refusal(&client, &shuffled(1_001)).await, @"
    InvalidArgument: requests: must be 1 to 1000; there are 1001
      requests: must be 1 to 1000; there are 1001
    ");
    assert_eq!(testing::rows(&platform, &["agents"]).await, [""; 0]);
}

#[tokio::test]
async fn one_wrong_request_and_nothing_is_made() {
    let (platform, client) = start().await;
    let mut requests = shuffled(10);
    requests[3] = with(Agent { id: "x".into(), status: 7, load: -1, ..Default::default() });
    requests[7] = with(Agent { name: "y".into(), time_to_live: Some(Duration::default()), ..Default::default() });
    insta::assert_snapshot!(refusal(&client, &requests).await, @"
    InvalidArgument: requests[3].agent.name: must have 1 to 256 bytes; it has 0; requests[3].agent.status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE; requests[3].agent.load: must be at least 0; requests[3].agent.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002; requests[7].agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
      requests[3].agent.name: must have 1 to 256 bytes; it has 0
      requests[3].agent.status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
      requests[3].agent.load: must be at least 0
      requests[3].agent.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      requests[7].agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
    ");
    assert_eq!(testing::rows(&platform, &["agents"]).await, [""; 0]);
}

#[tokio::test]
async fn no_two_of_a_batch_have_the_same_id_or_name() {
    let (platform, client) = start().await;
    let mut requests = shuffled(10);
    requests[2] = with_id(ID, "a");
    requests[4] = named("b");
    requests[6] = with_id(&ID.to_uppercase(), "c");
    requests[9] = named("b");
    insta::assert_snapshot!(refusal(&client, &requests).await, @"
    InvalidArgument: requests[6].agent.id: must not be that of another request of the batch; requests[9].agent.name: must not be that of another request of the batch
      requests[6].agent.id: must not be that of another request of the batch
      requests[9].agent.name: must not be that of another request of the batch
    ");
    assert_eq!(testing::rows(&platform, &["agents"]).await, [""; 0]);
}

#[tokio::test]
async fn one_that_exists_and_nothing_is_made() {
    let (platform, client) = start().await;
    let there = register(&client, &[with_id(ID, "taken")]).await.unwrap();
    // What another workspace has is not in the way.
    make(&client, "other", &shuffled(10)).await;

    let mut requests = shuffled(10);
    requests[5] = named("taken");
    insta::assert_snapshot!(refusal(&client, &requests).await, @r#"
    AlreadyExists: registry.v1.Agent with requests[5].agent.name "taken" already exists
      ALREADY_EXISTS of quire {"field": "requests[5].agent.name"}
      registry.v1.Agent "taken"
    "#);
    requests[5] = with_id(ID, "free");
    insta::assert_snapshot!(refusal(&client, &requests).await, @r#"
    AlreadyExists: registry.v1.Agent with requests[5].agent.id "abcdef00-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "requests[5].agent.id"}
      registry.v1.Agent "abcdef00-8a3b-7c21-9d55-0242ac120002"
    "#);
    assert_eq!(testing::rows(&platform, &["agents"]).await.len(), 11);
    assert_eq!(walk(&client, &by("")).await, there);
}

#[tokio::test]
async fn what_a_batch_may_ask_for_its_answer_can_hold() {
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
async fn what_exists_as_asked_for_is_passed_over() {
    let (platform, client) = start().await;
    // What another workspace has is not what exists.
    make(&client, "other", &[full("", "a"), full(ID, "b")]).await;
    let requests = [full("", "a"), full(ID, "b"), full("", "c"), full(OTHER_ID, "d"), named("e")];
    let first = register_missing(&client, &requests[1..3]).await.unwrap();
    let all = register_missing(&client, &requests).await.unwrap();
    assert_eq!(crate::support::names(&all), ["a", "b", "c", "d", "e"]);
    assert_eq!(all[1..3], first);
    assert_eq!((all[1].id.as_str(), all[3].id.as_str()), (ID, OTHER_ID));

    // All of it again, in another order, whether the ids are given or not, and whether defaults are, is what there is.
    let before = testing::rows(&platform, &["agents"]).await;
    let given = [4, 2, 0, 3, 1].map(|place| {
        let agent = requests[place].agent.clone().unwrap();
        let (capacity, time_to_live) = (all[place].capacity, all[place].time_to_live);
        with(Agent { id: all[place].id.to_uppercase(), capacity, time_to_live, ..agent })
    });
    let answered = register_missing(&client, &given).await.unwrap();
    assert_eq!(answered, [4, 2, 0, 3, 1].map(|place: usize| all[place].clone()));
    assert_eq!(testing::rows(&platform, &["agents"]).await, before);
    // Without the flag they are in the way.
    assert_eq!(register(&client, &requests).await.unwrap_err().code(), Code::AlreadyExists);
}

#[tokio::test]
async fn an_agent_that_has_told_of_itself_since_is_still_the_one_asked_for() {
    let (_platform, client) = start().await;
    let made = register_missing(&client, &[full("", "a")]).await.unwrap().remove(0);
    let heartbeat = HeartbeatRequest { status: AgentStatus::Busy.into(), load: Some(9), ..alive(&made) };
    let heard = beat(&client, heartbeat).await.unwrap();
    assert_eq!((heard.status(), heard.load), (AgentStatus::Busy, 9));
    assert_eq!(register_missing(&client, &[full("", "a")]).await.unwrap(), [heard]);
}

#[tokio::test]
async fn what_exists_otherwise_than_asked_for_is_in_the_way() {
    let (platform, client) = start().await;
    register_missing(&client, &[full(ID, "a")]).await.unwrap();
    register_missing(&client, &[full("", "b")]).await.unwrap();
    let before = testing::rows(&platform, &["agents"]).await;
    let changes: [fn(&mut Agent); 8] = [
        |agent| agent.surface.clear(),
        |agent| agent.endpoint.push('x'),
        |agent| agent.capabilities.reverse(),
        |agent| agent.capabilities.truncate(1),
        |agent| agent.capacity = None,
        |agent| agent.time_to_live = None,
        |agent| agent.metadata.values_mut().for_each(|value| value.push('x')),
        |agent| drop(agent.metadata.pop_first()),
    ];
    let mut answers = Vec::new();
    for (id, name) in [(ID, "a"), ("", "b")] {
        for change in changes {
            let mut agent = full(id, name).agent.unwrap();
            change(&mut agent);
            answers.push(told(&register_missing(&client, &[named("new"), with(agent)]).await.unwrap_err()));
        }
    }
    // Another id, another name, and the id of one with the name of another.
    for request in [full(OTHER_ID, "a"), full(ID, "c"), full(ID, "b")] {
        answers.push(told(&register_missing(&client, &[request]).await.unwrap_err()));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @r#"
    AlreadyExists: registry.v1.Agent with requests[1].agent.id "abcdef00-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "requests[1].agent.id"}
      registry.v1.Agent "abcdef00-8a3b-7c21-9d55-0242ac120002"
    AlreadyExists: registry.v1.Agent with requests[1].agent.name "b" already exists
      ALREADY_EXISTS of quire {"field": "requests[1].agent.name"}
      registry.v1.Agent "b"
    AlreadyExists: registry.v1.Agent with requests[0].agent.name "a" already exists
      ALREADY_EXISTS of quire {"field": "requests[0].agent.name"}
      registry.v1.Agent "a"
    AlreadyExists: registry.v1.Agent with requests[0].agent.id "abcdef00-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "requests[0].agent.id"}
      registry.v1.Agent "abcdef00-8a3b-7c21-9d55-0242ac120002"
    "#);
    assert_eq!(testing::rows(&platform, &["agents"]).await, before);
}

/// They take what they have in common in the same order, so that none waits for another that waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_overlap_in_other_orders_are_all_done() {
    let (platform, client) = start().await;
    for round in 0..6 {
        let forward: Vec<_> = (0..400).map(|number| named(format!("{round}/{number:03}"))).collect();
        let batches = [forward.clone(), forward.iter().rev().cloned().collect(), forward[200..].to_vec(), forward];
        let answers = batches.each_ref().map(|requests| register_missing(&client, requests));
        for answer in futures_util::future::join_all(answers).await {
            answer.unwrap();
        }
    }
    assert_eq!(testing::rows(&platform, &["agents"]).await.len(), 2_400);
}
