//! UpdateMemory: what the mask names, whose etag wins, and what is refused.
use crate::support::{
    Client, by, from, full, get, make, recalled, start, start_on, start_ticking, store, store_in, text, told, walk,
    words,
};
use futures_util::future::join_all;
use platform::{
    Platform,
    testing::{self, Hands},
};
use quire_proto::memory::v1::{Memory, MemoryScope, UpdateMemoryRequest};
use tonic::{Code, Status};

const ID: &str = "01934f6e-8a3b-7c21-9d55-0242ac120002";

/// Every field that can change.
const FIELDS: [&str; 14] = [
    "scope",
    "content",
    "type",
    "source",
    "confidence",
    "pinned",
    "policy",
    "user_id",
    "team_id",
    "project_id",
    "repository",
    "agent",
    "tags",
    "metadata",
];

async fn update_in(client: &Client, workspace: &str, memory: Memory, mask: &[&str]) -> Result<Memory, Status> {
    let mut request = UpdateMemoryRequest { memory: Some(memory), ..Default::default() };
    if !mask.is_empty() {
        request.update_mask.get_or_insert_default().paths = mask.iter().map(|&path| path.to_owned()).collect();
    }
    Ok(client.clone().update_memory(from(workspace, request)).await?.into_inner().memory.unwrap())
}

/// Asks for a change, as a caller of the workspace `default`.
async fn update(client: &Client, memory: Memory, mask: &[&str]) -> Result<Memory, Status> {
    update_in(client, "default", memory, mask).await
}

/// The memory with a field as another has it.
fn take(field: &str, mut memory: Memory, from: Memory) -> Memory {
    match field {
        "scope" => memory.scope = from.scope,
        "content" => memory.content = from.content,
        "type" => memory.r#type = from.r#type,
        "source" => memory.source = from.source,
        "confidence" => memory.confidence = from.confidence,
        "pinned" => memory.pinned = from.pinned,
        "policy" => memory.policy = from.policy,
        "user_id" => memory.user_id = from.user_id,
        "team_id" => memory.team_id = from.team_id,
        "project_id" => memory.project_id = from.project_id,
        "repository" => memory.repository = from.repository,
        "agent" => memory.agent = from.agent,
        "tags" => memory.tags = from.tags,
        "metadata" => memory.metadata = from.metadata,
        _ => panic!("{field} is not a field that can change"),
    }
    memory
}

/// The memory as it is but for what every change sets, which must be new.
fn as_before(before: &Memory, after: &Memory) -> Memory {
    let time = |memory: &Memory| memory.update_time.map(|time| (time.seconds, time.nanos));
    assert!(after.etag != before.etag && time(after) > time(before), "{after:?}");
    Memory { etag: before.etag.clone(), update_time: before.update_time, ..after.clone() }
}

#[tokio::test]
async fn the_mask_names_what_changes_and_the_rest_is_not_even_looked_at() {
    // A change is later than the one before also by a clock that stands still.
    let clock = Hands::at(1_800_000_000).clock();
    let client = start_on(&Platform { clock, ..testing::platform().await }).await;
    let mut before = store(&client, text("a")).await.unwrap();
    let asked = full(&before.id, "b");
    // What is not named is as wrong as it can be.
    let wrong = Memory {
        id: before.id.clone(),
        scope: 7,
        content: "\0".into(),
        r#type: "x".repeat(65),
        source: "\0".into(),
        confidence: Some(f64::NAN),
        user_id: "\0".into(),
        team_id: "\0".into(),
        project_id: "x".repeat(129),
        repository: "\0".into(),
        agent: "x".repeat(257),
        tags: vec![String::new(); 33],
        metadata: [(String::new(), "v".into())].into(),
        ..Default::default()
    };
    for field in FIELDS {
        let change = take(field, wrong.clone(), asked.clone());
        let after = update(&client, change, &[field]).await.unwrap();
        assert_eq!(as_before(&before, &after), take(field, before.clone(), asked.clone()), "{field}");
        assert_eq!(get(&client, &after.id).await.unwrap(), after);
        before = after;
    }
    let other = store(&client, text("a")).await.unwrap();
    let all = update(&client, Memory { id: other.id.clone(), ..asked.clone() }, &["*"]).await.unwrap();
    let Memory { id, etag, create_time, update_time, .. } = all.clone();
    assert_eq!(all, Memory { id, etag, create_time, update_time, ..asked });
}

#[tokio::test]
async fn without_a_mask_what_is_given_changes() {
    let (_platform, client) = start().await;
    let mut before = store(&client, text("a")).await.unwrap();
    for field in FIELDS {
        let nothing = Memory { id: before.id.clone(), ..Default::default() };
        let after = update(&client, take(field, nothing, full("", "b")), &[]).await.unwrap();
        assert_eq!(as_before(&before, &after), take(field, before.clone(), full("", "b")), "{field}");
        before = after;
    }
    // Zero is given, where it can be told from nothing.
    let zero = Memory { id: before.id.clone(), confidence: Some(0.0), ..Default::default() };
    let after = update(&client, zero, &[]).await.unwrap();
    assert_eq!(as_before(&before, &after), Memory { confidence: Some(0.0), ..before });
}

#[tokio::test]
async fn what_the_mask_names_and_the_memory_leaves_out_is_cleared() {
    let (_platform, client) = start().await;
    let mut before = store(&client, full("", "a")).await.unwrap();
    for field in FIELDS.into_iter().filter(|field| !["scope", "content"].contains(field)) {
        let after = update(&client, Memory { id: before.id.clone(), ..Default::default() }, &[field]).await.unwrap();
        let cleared = take(field, before.clone(), Memory { confidence: Some(1.0), ..Default::default() });
        assert_eq!(as_before(&before, &after), cleared, "{field}");
        before = after;
    }
}

#[tokio::test]
async fn an_etag_that_is_given_must_be_the_current_one() {
    let (platform, client) = start().await;
    let first = store(&client, full(ID, "a")).await.unwrap();
    let with = |etag: &str, content: &str| Memory { id: ID.into(), etag: etag.into(), ..text(content) };
    let second = update(&client, with(&first.etag, "b"), &["content"]).await.unwrap();
    // One that is left out is not looked at, and what changes nothing else is a change too.
    let third = update(&client, with("", "b"), &["content"]).await.unwrap();

    let before = testing::rows(&platform, &["memories"]).await;
    let mut answers = Vec::new();
    for etag in [&first.etag, &second.etag, "x", " ", &third.etag.to_uppercase()] {
        answers.push(told(&update(&client, with(etag, "stale"), &[]).await.unwrap_err()));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @r#"
    Aborted: memory.v1.Memory with memory.id "01934f6e-8a3b-7c21-9d55-0242ac120002" has changed meanwhile; read it again
      ABORTED of quire {"field": "memory.id"}
      memory.v1.Memory "01934f6e-8a3b-7c21-9d55-0242ac120002"
    "#);
    assert_eq!(testing::rows(&platform, &["memories"]).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_changes_with_one_etag_one_wins() {
    let (_platform, client) = start().await;
    for _ in 0..5 {
        let before = store(&client, text("before")).await.unwrap();
        let change = |place: usize| Memory { content: place.to_string(), ..before.clone() };
        let answers = join_all((0..20).map(|place| update(&client, change(place), &["content"]))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        let won: Vec<_> = won.into_iter().map(Result::unwrap).collect();
        assert_eq!(won, [get(&client, &before.id).await.unwrap()]);
        assert!(lost.into_iter().all(|lost| lost.unwrap_err().code() == Code::Aborted));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_other_fields_at_once_are_all_kept() {
    let (_platform, client) = start().await;
    for _ in 0..5 {
        let before = store(&client, text("before")).await.unwrap();
        let asked = full(&before.id, "after");
        join_all(FIELDS.map(async |field| update(&client, asked.clone(), &[field]).await.unwrap())).await;
        let kept = get(&client, &before.id).await.unwrap();
        let Memory { etag, create_time, update_time, .. } = kept.clone();
        assert_eq!(kept, Memory { etag, create_time, update_time, ..asked });
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (platform, client) = start().await;
    store(&client, full(ID, "x")).await.unwrap();
    let before = testing::rows(&platform, &["memories"]).await;
    let memory = || Memory { id: ID.into(), ..Default::default() };
    let x = |bytes: usize| "x".repeat(bytes);
    let requests: [(&str, Memory, &[&str]); 13] = [
        ("nothing to change", memory(), &[]),
        ("nothing at all", Memory::default(), &[]),
        ("no UUID", full("x", "y"), &["*"]),
        ("a field that is none", full(ID, "y"), &["content", "title"]),
        ("fields that the service sets", full(ID, "y"), &["id", "etag", "create_time", "update_time"]),
        ("an empty path", full(ID, "y"), &[""]),
        ("a scope and a content cleared", memory(), &["scope", "content"]),
        ("a scope that is none", Memory { scope: 6, ..memory() }, &[]),
        ("a confidence that is no number", Memory { confidence: Some(f64::NAN), ..memory() }, &[]),
        ("an etag of 257 bytes", Memory { etag: x(257), ..full(ID, "y") }, &[]),
        ("tags", Memory { tags: vec!["a".into(), "a".into()], ..memory() }, &[]),
        ("metadata", Memory { metadata: [("\0".into(), x(1_025))].into(), ..memory() }, &[]),
        (
            "a byte too much of everything else",
            Memory {
                content: x((256 << 10) + 1),
                r#type: x(65),
                source: x(257),
                user_id: x(129),
                team_id: x(129),
                project_id: x(129),
                repository: x(257),
                agent: x(257),
                ..memory()
            },
            &[],
        ),
    ];
    let mut answers = String::new();
    for (what, memory, mask) in requests {
        let answer = told(&update(&client, memory, mask).await.unwrap_err());
        answers += &format!("{what}\n{answer}\n");
    }
    insta::assert_snapshot!(answers, @"
    nothing to change
    InvalidArgument: update_mask: must name fields to change, out of scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent, tags, metadata
      update_mask: must name fields to change, out of scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent, tags, metadata
    nothing at all
    InvalidArgument: memory.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002; update_mask: must name fields to change, out of scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent, tags, metadata
      memory.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      update_mask: must name fields to change, out of scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent, tags, metadata
    no UUID
    InvalidArgument: memory.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      memory.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    a field that is none
    InvalidArgument: update_mask: must name fields to change, out of scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent, tags, metadata
      update_mask: must name fields to change, out of scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent, tags, metadata
    fields that the service sets
    InvalidArgument: update_mask: must name fields to change, out of scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent, tags, metadata
      update_mask: must name fields to change, out of scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent, tags, metadata
    an empty path
    InvalidArgument: update_mask: must name fields to change, out of scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent, tags, metadata
      update_mask: must name fields to change, out of scope, content, type, source, confidence, pinned, policy, user_id, team_id, project_id, repository, agent, tags, metadata
    a scope and a content cleared
    InvalidArgument: memory.scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT; memory.content: must have 1 to 262144 bytes; it has 0
      memory.scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT
      memory.content: must have 1 to 262144 bytes; it has 0
    a scope that is none
    InvalidArgument: memory.scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT
      memory.scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT
    a confidence that is no number
    InvalidArgument: memory.confidence: must be 0 to 1
      memory.confidence: must be 0 to 1
    an etag of 257 bytes
    InvalidArgument: memory.etag: must have 0 to 256 bytes; it has 257
      memory.etag: must have 0 to 256 bytes; it has 257
    tags
    InvalidArgument: memory.tags[1]: must not be given twice
      memory.tags[1]: must not be given twice
    metadata
    InvalidArgument: memory.metadata: a value must have at most 1024 bytes; one has 1025; memory.metadata: must not contain NUL
      memory.metadata: a value must have at most 1024 bytes; one has 1025
      memory.metadata: must not contain NUL
    a byte too much of everything else
    InvalidArgument: memory.content: must have 1 to 262144 bytes; it has 262145; memory.type: must have 0 to 64 bytes; it has 65; memory.source: must have 0 to 256 bytes; it has 257; memory.user_id: must have 0 to 128 bytes; it has 129; memory.team_id: must have 0 to 128 bytes; it has 129; memory.project_id: must have 0 to 128 bytes; it has 129; memory.repository: must have 0 to 256 bytes; it has 257; memory.agent: must have 0 to 256 bytes; it has 257
      memory.content: must have 1 to 262144 bytes; it has 262145
      memory.type: must have 0 to 64 bytes; it has 65
      memory.source: must have 0 to 256 bytes; it has 257
      memory.user_id: must have 0 to 128 bytes; it has 129
      memory.team_id: must have 0 to 128 bytes; it has 129
      memory.project_id: must have 0 to 128 bytes; it has 129
      memory.repository: must have 0 to 256 bytes; it has 257
      memory.agent: must have 0 to 256 bytes; it has 257
    ");
    assert_eq!(testing::rows(&platform, &["memories"]).await, before);
}

#[tokio::test]
async fn what_another_workspace_has_is_as_if_it_were_nowhere() {
    let (platform, client) = start().await;
    let refusal = async |memory: Memory| told(&update_in(&client, "theirs", memory, &[]).await.unwrap_err());
    let nowhere = refusal(full(ID, "y")).await;
    insta::assert_snapshot!(nowhere, @r#"
    NotFound: memory.v1.Memory with memory.id "01934f6e-8a3b-7c21-9d55-0242ac120002" does not exist
      NOT_FOUND of quire {"field": "memory.id"}
      memory.v1.Memory "01934f6e-8a3b-7c21-9d55-0242ac120002"
    "#);
    let ours = store_in(&client, "ours", full(ID, "x")).await.unwrap();
    let before = testing::rows(&platform, &["memories"]).await;
    // An etag does not make it a conflict.
    assert_eq!(refusal(Memory { etag: ours.etag, ..full(ID, "y") }).await, nowhere);
    assert_eq!(testing::rows(&platform, &["memories"]).await, before);
}

#[tokio::test]
async fn a_changed_memory_is_where_its_new_values_belong() {
    let (_platform, client) = start_ticking().await;
    for content in ["green tea", "black tea", "coffee"] {
        make(&client, "default", &[text(content)]).await;
    }
    let first = walk(&client, &by("create_time")).await.remove(0);
    let change = Memory { content: "cocoa".into(), agent: "scribe".into(), scope: 4, ..first.clone() };
    update(&client, change, &["content", "agent", "scope"]).await.unwrap();
    let contents = async |request| {
        let memories = walk(&client, &request).await;
        memories.into_iter().map(|memory| memory.content).collect::<Vec<_>>()
    };
    assert_eq!(contents(by("create_time desc")).await, ["coffee", "black tea", "cocoa"]);
    assert_eq!(contents(by("update_time desc")).await, ["cocoa", "coffee", "black tea"]);
    let mut filtered = by("");
    filtered.agent = Some("scribe".into());
    filtered.set_scope(MemoryScope::Agent);
    assert_eq!(contents(filtered).await, ["cocoa"]);
    assert_eq!(recalled(&client, &words("tea")).await, ["black tea"]);
    assert_eq!(recalled(&client, &words("cocoa")).await, ["cocoa"]);
}
