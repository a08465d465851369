//! StoreMemory: what comes back, what is refused, and how much of each thing a memory can have.
use std::time::{Duration, UNIX_EPOCH};

use crate::support::{Client, full, get, get_in, start, start_on, store, store_in, text, told};
use platform::{Clock, Platform, testing};
use quire_proto::memory::v1::{Memory, MemoryScope, StoreMemoryRequest};
use uuid::Uuid;

/// Makes a memory, reads it again, and gives it once both answers agree.
async fn kept(client: &Client, memory: Memory) -> Memory {
    let made = store(client, memory).await.unwrap();
    assert_eq!(get(client, &made.id).await.unwrap(), made);
    made
}

async fn refusal(client: &Client, memory: Memory) -> String {
    told(&store(client, memory).await.unwrap_err())
}

#[tokio::test]
async fn a_new_memory_comes_back_as_it_is_kept() {
    let platform = Platform {
        clock: Clock::new(|| UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789)),
        ids: testing::counting(),
        ..testing::platform().await
    };
    let client = start_on(&platform).await;
    let not_read = || (Some(Default::default()), "not read".to_owned());
    let (create_time, etag) = not_read();
    let made =
        kept(&client, Memory { etag, create_time, update_time: not_read().0, ..full("", "Ada likes tea") }).await;

    // To the microsecond, which is what the database keeps: an answer says no more than a later read can.
    let create_time = made.create_time.unwrap();
    assert_eq!((create_time.seconds, create_time.nanos), (1_700_000_000, 123_456_000));
    let expected = Memory {
        etag: "00000000-0000-0000-0000-000000000002".into(),
        create_time: Some(create_time),
        update_time: Some(create_time),
        ..full("00000000-0000-0000-0000-000000000001", "Ada likes tea")
    };
    assert_eq!(made, expected);
}

#[tokio::test]
async fn what_is_left_out_is_empty_and_sure() {
    let (_platform, client) = start().await;
    let made = kept(&client, text("x")).await;
    let Memory { id, etag, create_time, update_time, .. } = made.clone();
    assert_eq!(made, Memory { id, etag, create_time, update_time, confidence: Some(1.0), ..text("x") });
}

#[tokio::test]
async fn an_id_may_be_given_and_otherwise_is_made() {
    let (platform, client) = start().await;
    let given = "01934f6e-8a3b-4c21-9d55-0242ac120002";
    assert_eq!(kept(&client, full(given, "given")).await.id, given);
    let made = kept(&client, text("made")).await.id.parse::<Uuid>().unwrap();
    assert_eq!(made.get_version_num(), 7);

    let before = testing::rows(&platform, &["memories"]).await;
    insta::assert_snapshot!(refusal(&client, full(&given.to_uppercase(), "given")).await, @r#"
    AlreadyExists: memory.v1.Memory with memory.id "01934f6e-8a3b-4c21-9d55-0242ac120002" already exists
      ALREADY_EXISTS of quire {"field": "memory.id"}
      memory.v1.Memory "01934f6e-8a3b-4c21-9d55-0242ac120002"
    "#);
    assert_eq!(testing::rows(&platform, &["memories"]).await, before);
    // In another workspace it is free.
    let theirs = store_in(&client, "theirs", text("another")).await.unwrap();
    let theirs = store_in(&client, "theirs", Memory { id: given.into(), ..theirs }).await.unwrap();
    assert_eq!(get_in(&client, "theirs", given).await.unwrap(), theirs);
    assert_eq!(get(&client, given).await.unwrap().content, "given");
}

#[tokio::test]
async fn every_scope_and_every_confidence_from_0_to_1_is_kept() {
    let (_platform, client) = start().await;
    let scopes =
        [MemoryScope::User, MemoryScope::Team, MemoryScope::Organization, MemoryScope::Agent, MemoryScope::Project];
    for scope in scopes {
        assert_eq!(kept(&client, Memory { scope: scope.into(), ..text("x") }).await.scope(), scope);
    }
    for confidence in [0.0, f64::MIN_POSITIVE, 0.1, 1.0 - f64::EPSILON, 1.0] {
        let made = kept(&client, Memory { confidence: Some(confidence), ..text("x") }).await;
        assert_eq!(made.confidence, Some(confidence));
    }
}

#[tokio::test]
async fn as_much_as_is_allowed_is_kept() {
    let (_platform, client) = start().await;
    let most = Memory {
        // No bytes that compress well.
        content: (0..1 << 15)
            .map(|number: u64| format!("{:07x} ", number.wrapping_mul(0x9e37_79b9) & 0xfff_ffff))
            .collect(),
        r#type: "é".repeat(32),
        source: "x".repeat(256),
        user_id: "x".repeat(128),
        team_id: "x".repeat(128),
        project_id: "x".repeat(128),
        repository: "x".repeat(256),
        agent: "x".repeat(256),
        tags: (0..32).map(|tag| format!("{tag:064}")).collect(),
        metadata: (0..64).map(|key| (format!("{key:064}"), "x".repeat(64))).collect(),
        ..full("", "")
    };
    assert_eq!(most.content.len(), 256 << 10);
    let made = kept(&client, most.clone()).await;
    let Memory { id, etag, create_time, update_time, .. } = made.clone();
    assert_eq!(made, Memory { id, etag, create_time, update_time, ..most });
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (platform, client) = start().await;
    let x = |bytes: usize| "x".repeat(bytes);
    let confidence = |confidence| Memory { confidence: Some(confidence), ..text("x") };
    let memories = [
        ("nothing", Memory::default()),
        ("a scope that is none", Memory { scope: 6, ..text("x") }),
        ("a negative scope", Memory { scope: -1, ..text("x") }),
        ("no UUID", Memory { id: "x".into(), ..text("x") }),
        ("a byte too much content", text(x((256 << 10) + 1))),
        ("NUL in the content", text("a\0b")),
        ("a confidence below 0", confidence(-f64::MIN_POSITIVE)),
        ("a confidence above 1", confidence(1.0 + f64::EPSILON)),
        ("a confidence that is no number", confidence(f64::NAN)),
        ("a confidence without end", confidence(f64::INFINITY)),
        ("tags", Memory { tags: vec!["a".into(), String::new(), "a".into()], ..text("x") }),
        ("metadata", Memory { metadata: [(String::new(), x(1_025))].into(), ..text("x") }),
        (
            "a byte too much of everything else",
            Memory {
                r#type: x(65),
                source: x(257),
                user_id: x(129),
                team_id: x(129),
                project_id: x(129),
                repository: x(257),
                agent: x(257),
                ..text("x")
            },
        ),
        (
            "NUL in everything else",
            Memory {
                r#type: "\0".into(),
                source: "\0".into(),
                user_id: "\0".into(),
                team_id: "\0".into(),
                project_id: "\0".into(),
                repository: "\0".into(),
                agent: "\0".into(),
                ..text("x")
            },
        ),
    ];
    let mut answers = String::new();
    for (what, memory) in memories {
        answers += &format!("{what}\n{}\n", refusal(&client, memory).await);
    }
    insta::assert_snapshot!(answers, @"
    nothing
    InvalidArgument: memory.scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT; memory.content: must have 1 to 262144 bytes; it has 0
      memory.scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT
      memory.content: must have 1 to 262144 bytes; it has 0
    a scope that is none
    InvalidArgument: memory.scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT
      memory.scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT
    a negative scope
    InvalidArgument: memory.scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT
      memory.scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT
    no UUID
    InvalidArgument: memory.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      memory.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    a byte too much content
    InvalidArgument: memory.content: must have 1 to 262144 bytes; it has 262145
      memory.content: must have 1 to 262144 bytes; it has 262145
    NUL in the content
    InvalidArgument: memory.content: must not contain NUL
      memory.content: must not contain NUL
    a confidence below 0
    InvalidArgument: memory.confidence: must be 0 to 1
      memory.confidence: must be 0 to 1
    a confidence above 1
    InvalidArgument: memory.confidence: must be 0 to 1
      memory.confidence: must be 0 to 1
    a confidence that is no number
    InvalidArgument: memory.confidence: must be 0 to 1
      memory.confidence: must be 0 to 1
    a confidence without end
    InvalidArgument: memory.confidence: must be 0 to 1
      memory.confidence: must be 0 to 1
    tags
    InvalidArgument: memory.tags[1]: must have 1 to 64 bytes; it has 0; memory.tags[2]: must not be given twice
      memory.tags[1]: must have 1 to 64 bytes; it has 0
      memory.tags[2]: must not be given twice
    metadata
    InvalidArgument: memory.metadata: a key must have 1 to 64 bytes; one has 0
      memory.metadata: a key must have 1 to 64 bytes; one has 0
    a byte too much of everything else
    InvalidArgument: memory.type: must have 0 to 64 bytes; it has 65; memory.source: must have 0 to 256 bytes; it has 257; memory.user_id: must have 0 to 128 bytes; it has 129; memory.team_id: must have 0 to 128 bytes; it has 129; memory.project_id: must have 0 to 128 bytes; it has 129; memory.repository: must have 0 to 256 bytes; it has 257; memory.agent: must have 0 to 256 bytes; it has 257
      memory.type: must have 0 to 64 bytes; it has 65
      memory.source: must have 0 to 256 bytes; it has 257
      memory.user_id: must have 0 to 128 bytes; it has 129
      memory.team_id: must have 0 to 128 bytes; it has 129
      memory.project_id: must have 0 to 128 bytes; it has 129
      memory.repository: must have 0 to 256 bytes; it has 257
      memory.agent: must have 0 to 256 bytes; it has 257
    NUL in everything else
    InvalidArgument: memory.type: must not contain NUL; memory.source: must not contain NUL; memory.user_id: must not contain NUL; memory.team_id: must not contain NUL; memory.project_id: must not contain NUL; memory.repository: must not contain NUL; memory.agent: must not contain NUL
      memory.type: must not contain NUL
      memory.source: must not contain NUL
      memory.user_id: must not contain NUL
      memory.team_id: must not contain NUL
      memory.project_id: must not contain NUL
      memory.repository: must not contain NUL
      memory.agent: must not contain NUL
    ");
    let nothing = client.clone().store_memory(StoreMemoryRequest::default()).await.unwrap_err();
    assert_eq!(told(&nothing), refusal(&client, Memory::default()).await);
    assert_eq!(testing::rows(&platform, &["memories"]).await, [""; 0]);
}
