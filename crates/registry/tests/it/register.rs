//! RegisterAgent: what comes back, what is refused, and how much of each thing an agent can have.
use std::time::{Duration, UNIX_EPOCH};

use crate::support::{Client, by, from, get, named, start, start_on, told, walk, with};
use platform::{Clock, Platform, testing};
use prost_types::Duration as TimeToLive;
use quire_proto::registry::v1::{Agent, AgentStatus, RegisterAgentRequest};
use tonic::Status;
use uuid::Uuid;

async fn register(client: &Client, request: RegisterAgentRequest) -> Result<Agent, Status> {
    Ok(client.clone().register_agent(request).await?.into_inner().agent.unwrap())
}

/// Makes an agent, reads it again, and gives it once both answers agree.
async fn kept(client: &Client, request: RegisterAgentRequest) -> Agent {
    let agent = register(client, request).await.unwrap();
    assert_eq!(get(client, &agent.id).await.unwrap(), agent);
    agent
}

async fn refusal(client: &Client, request: RegisterAgentRequest) -> String {
    told(&register(client, request).await.unwrap_err())
}

/// How many agents there are in all.
async fn count(platform: &Platform) -> i64 {
    sqlx::query_scalar("select count(*) from agents").fetch_one(&testing::pool(platform)).await.unwrap()
}

#[tokio::test]
async fn a_new_agent_comes_back_as_it_is_kept() {
    let platform = Platform {
        clock: Clock::new(|| UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789)),
        ids: testing::counting(),
        ..testing::platform().await
    };
    let client = start_on(&platform).await;
    let given = Agent {
        name: "reviewer".into(),
        surface: "ci".into(),
        endpoint: "https://agents.example/reviewer".into(),
        capabilities: vec!["review".into(), "code".into()],
        status: AgentStatus::Busy.into(),
        load: 7,
        capacity: Some(0),
        time_to_live: Some(TimeToLive { seconds: 1, nanos: 1_000_000 }),
        metadata: [("team".into(), "web".into()), ("empty".into(), String::new())].into(),
        etag: "not read".into(),
        register_time: Some(Default::default()),
        heartbeat_time: Some(Default::default()),
        update_time: Some(Default::default()),
        ..Default::default()
    };
    let agent = kept(&client, with(given.clone())).await;

    // To the microsecond, which is what the database keeps: an answer says no more than a later read can.
    let register_time = agent.register_time.unwrap();
    assert_eq!((register_time.seconds, register_time.nanos), (1_700_000_000, 123_456_000));
    assert_eq!(
        agent,
        Agent {
            id: "00000000-0000-0000-0000-000000000001".into(),
            etag: "00000000-0000-0000-0000-000000000002".into(),
            register_time: Some(register_time),
            heartbeat_time: Some(register_time),
            update_time: Some(register_time),
            ..given
        }
    );
}

#[tokio::test]
async fn what_is_left_out_has_a_default() {
    let (_platform, client) = start().await;
    let agent = kept(&client, named("x")).await;
    let time_to_live = Some(TimeToLive { seconds: 60, nanos: 0 });
    let times = (agent.register_time, agent.heartbeat_time, agent.update_time);
    assert!(times.0.is_some() && times.0 == times.1 && times.1 == times.2);
    assert_eq!(
        agent,
        Agent {
            name: "x".into(),
            status: AgentStatus::Active.into(),
            capacity: Some(1),
            time_to_live,
            ..Agent {
                id: agent.id.clone(),
                etag: agent.etag.clone(),
                register_time: times.0,
                heartbeat_time: times.1,
                update_time: times.2,
                ..Default::default()
            }
        }
    );
}

#[tokio::test]
async fn an_id_may_be_given_and_otherwise_is_made() {
    let (_platform, client) = start().await;
    let given = |id: &str, name: &str| with(Agent { id: id.into(), name: name.into(), ..Default::default() });
    let agent = kept(&client, given("01934f6e-8a3b-4c21-9d55-0242ac120002", "given")).await;
    assert_eq!(agent.id, "01934f6e-8a3b-4c21-9d55-0242ac120002");
    let agent = kept(&client, given("ABCDEF00-0000-0000-0000-00000000000A", "upper case")).await;
    assert_eq!(agent.id, "abcdef00-0000-0000-0000-00000000000a");

    let first = kept(&client, named("made 1")).await;
    let second = kept(&client, named("made 2")).await;
    for agent in [&first, &second] {
        assert_eq!(agent.id.parse::<Uuid>().unwrap().get_version_num(), 7);
    }
    assert!(first.id < second.id, "ids are in the order in which they were made");
    assert_ne!(first.etag, second.etag);
}

#[tokio::test]
async fn what_exists_is_not_made_again() {
    let (platform, client) = start().await;
    let id = "01934f6e-8a3b-7c21-9d55-0242ac120002";
    let request = with(Agent { id: id.into(), name: "reviewer".into(), ..Default::default() });
    let there = kept(&client, request.clone()).await;

    insta::assert_snapshot!(refusal(&client, request.clone()).await, @r#"
    AlreadyExists: registry.v1.Agent with agent.id "01934f6e-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "agent.id"}
      registry.v1.Agent "01934f6e-8a3b-7c21-9d55-0242ac120002"
    "#);
    let same_id = with(Agent { id: id.to_uppercase(), name: "other".into(), ..Default::default() });
    insta::assert_snapshot!(refusal(&client, same_id).await, @r#"
    AlreadyExists: registry.v1.Agent with agent.id "01934f6e-8a3b-7c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "agent.id"}
      registry.v1.Agent "01934f6e-8a3b-7c21-9d55-0242ac120002"
    "#);
    insta::assert_snapshot!(refusal(&client, named("reviewer")).await, @r#"
    AlreadyExists: registry.v1.Agent with agent.name "reviewer" already exists
      ALREADY_EXISTS of quire {"field": "agent.name"}
      registry.v1.Agent "reviewer"
    "#);

    // Nothing of the refused is there, and what was there is as it was.
    assert_eq!(walk(&client, &by("")).await, [there]);

    // Names are compared byte by byte: another case or another way to write é is another name.
    for name in ["Reviewer", "reviewer ", "caf\u{e9}", "cafe\u{301}"] {
        kept(&client, named(name)).await;
    }
    // Both are unique in a workspace, not beyond it.
    client.clone().register_agent(from("other", request)).await.unwrap();
    assert_eq!(count(&platform).await, 6);
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (platform, client) = start().await;
    let agent = || Agent { name: "x".into(), ..Default::default() };
    let able =
        |words: &[&str]| with(Agent { capabilities: words.iter().map(|&word| word.into()).collect(), ..agent() });
    let entry = |key: &str, value: &str| with(Agent { metadata: [(key.into(), value.into())].into(), ..agent() });
    let lives = |seconds, nanos| with(Agent { time_to_live: Some(TimeToLive { seconds, nanos }), ..agent() });
    let requests = [
        ("nothing at all", RegisterAgentRequest::default()),
        ("NUL in the name", named("a\0b")),
        ("257 bytes of name", named("é".repeat(128) + "x")),
        ("no UUID", with(Agent { id: "01934f6e8a3b7c219d550242ac120002".into(), ..agent() })),
        ("65 bytes of surface", with(Agent { surface: "x".repeat(65), ..agent() })),
        ("1,025 bytes of endpoint", with(Agent { endpoint: "x".repeat(1_025), ..agent() })),
        ("a capability twice, one empty, one long", able(&["a", "", "a", &"x".repeat(65)])),
        ("33 capabilities", with(Agent { capabilities: vec!["x".into(); 33], ..agent() })),
        ("a status that is none", with(Agent { status: 7, ..agent() })),
        ("a negative status", with(Agent { status: -1, ..agent() })),
        ("negative load and capacity", with(Agent { load: -1, capacity: Some(-1), ..agent() })),
        ("half a second", lives(0, 500_000_000)),
        ("half a millisecond too much", lives(1, 500_000)),
        ("a day and a millisecond", lives(86_400, 1_000_000)),
        ("a time that is none", lives(1, 1_000_000_000)),
        ("a negative part", lives(2, -1_000_000)),
        ("no end of time", lives(i64::MAX, 999_999_999)),
        ("a key and a value", entry("\0", &"x".repeat(1_025))),
    ];
    let mut answers = String::new();
    for (what, request) in requests {
        let answer = refusal(&client, request).await;
        answers += &format!("{what}\n{answer}\n");
    }
    insta::assert_snapshot!(answers, @"
    nothing at all
    InvalidArgument: agent.name: must have 1 to 256 bytes; it has 0
      agent.name: must have 1 to 256 bytes; it has 0
    NUL in the name
    InvalidArgument: agent.name: must not contain NUL
      agent.name: must not contain NUL
    257 bytes of name
    InvalidArgument: agent.name: must have 1 to 256 bytes; it has 257
      agent.name: must have 1 to 256 bytes; it has 257
    no UUID
    InvalidArgument: agent.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      agent.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    65 bytes of surface
    InvalidArgument: agent.surface: must have 0 to 64 bytes; it has 65
      agent.surface: must have 0 to 64 bytes; it has 65
    1,025 bytes of endpoint
    InvalidArgument: agent.endpoint: must have 0 to 1024 bytes; it has 1025
      agent.endpoint: must have 0 to 1024 bytes; it has 1025
    a capability twice, one empty, one long
    InvalidArgument: agent.capabilities[1]: must have 1 to 64 bytes; it has 0; agent.capabilities[2]: must not be given twice; agent.capabilities[3]: must have 1 to 64 bytes; it has 65
      agent.capabilities[1]: must have 1 to 64 bytes; it has 0
      agent.capabilities[2]: must not be given twice
      agent.capabilities[3]: must have 1 to 64 bytes; it has 65
    33 capabilities
    InvalidArgument: agent.capabilities: must be at most 32; there are 33
      agent.capabilities: must be at most 32; there are 33
    a status that is none
    InvalidArgument: agent.status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
      agent.status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
    a negative status
    InvalidArgument: agent.status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
      agent.status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
    negative load and capacity
    InvalidArgument: agent.capacity: must be at least 0; agent.load: must be at least 0
      agent.capacity: must be at least 0
      agent.load: must be at least 0
    half a second
    InvalidArgument: agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
      agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
    half a millisecond too much
    InvalidArgument: agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
      agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
    a day and a millisecond
    InvalidArgument: agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
      agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
    a time that is none
    InvalidArgument: agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
      agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
    a negative part
    InvalidArgument: agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
      agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
    no end of time
    InvalidArgument: agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
      agent.time_to_live: must be 1 second to 1 day, in whole milliseconds
    a key and a value
    InvalidArgument: agent.metadata: a value must have at most 1024 bytes; one has 1025; agent.metadata: must not contain NUL
      agent.metadata: a value must have at most 1024 bytes; one has 1025
      agent.metadata: must not contain NUL
    ");
    assert_eq!(count(&platform).await, 0);
}

#[tokio::test]
async fn each_limit_can_be_reached() {
    let (_platform, client) = start().await;
    let day = TimeToLive { seconds: 86_400, nanos: 0 };
    let second = TimeToLive { seconds: 1, nanos: 0 };
    for (name, time_to_live) in [("😀".repeat(64), day), ("x".into(), second)] {
        let given = Agent {
            name,
            surface: "é".repeat(32),
            endpoint: "é".repeat(512),
            capabilities: (0..32).rev().map(|word| format!("{word:064}")).collect(),
            load: i32::MAX,
            capacity: Some(i32::MAX),
            time_to_live: Some(time_to_live),
            metadata: (0..64).map(|key| (format!("{key:064}"), "x".repeat(64))).collect(),
            ..Default::default()
        };
        let kept = kept(&client, with(given.clone())).await;
        assert_eq!((kept.name, kept.surface, kept.endpoint), (given.name, given.surface, given.endpoint));
        assert_eq!((kept.capabilities, kept.metadata), (given.capabilities, given.metadata));
        assert_eq!((kept.load, kept.capacity, kept.time_to_live), (given.load, given.capacity, given.time_to_live));
    }
}

#[tokio::test]
async fn each_status_is_kept() {
    let (_platform, client) = start().await;
    for status in 1..=6 {
        let agent = Agent { name: status.to_string(), status, ..Default::default() };
        assert_eq!(kept(&client, with(agent)).await.status, status);
    }
}
