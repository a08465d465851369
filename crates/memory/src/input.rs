//! Requests, made into rows once they are known to be right.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive};

use platform::{Error, Ids, Platform, UNSPECIFIED, UpdateMask, Violations, check_batch, now, request_path, timestamp};
use quire_proto::memory::v1::{
    ListMemoriesRequest, Memory, RecallMemoriesRequest, StoreMemoryRequest, UpdateMemoryRequest,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::lists::{
    SCOPES,
    memories::{Change, NewMemory},
};

const CONTENT_BYTES: RangeInclusive<usize> = 1..=256 << 10;
const TYPE_BYTES: RangeInclusive<usize> = 0..=64;
const SOURCE_BYTES: RangeInclusive<usize> = 0..=256;
/// Of a user, a team or a project.
const ID_BYTES: RangeInclusive<usize> = 0..=128;
const REPOSITORY_BYTES: RangeInclusive<usize> = 0..=256;
const AGENT_BYTES: RangeInclusive<usize> = 0..=256;
const CONFIDENCE: RangeInclusive<f64> = 0.0..=1.0;
/// The confidence in a memory that does not say it.
const DEFAULT_CONFIDENCE: f64 = 1.0;
const QUERY_BYTES: RangeInclusive<usize> = 1..=1_024;
/// Of a query. What it takes to rank a memory grows faster than they do.
const MAX_QUERY_WORDS: usize = 16;

/// The memory that a request asks for.
pub(crate) fn new_memory(request: StoreMemoryRequest, platform: &Platform) -> Result<NewMemory, Error> {
    let mut violations = Violations::default();
    let new = read(&mut violations, String::new(), request, &platform.ids, now(&platform.clock));
    violations.check()?;
    Ok(new)
}

/// The memories that a batch asks for.
pub(crate) fn new_memories(requests: Vec<StoreMemoryRequest>, platform: &Platform) -> Result<Vec<NewMemory>, Error> {
    check_batch("requests", requests.len())?;
    let mut violations = Violations::default();
    check_unique(&mut violations, &requests);
    let create_time = now(&platform.clock);
    let mut new = Vec::with_capacity(requests.len());
    for (place, request) in requests.into_iter().enumerate() {
        new.push(read(&mut violations, request_path(place), request, &platform.ids, create_time));
    }
    violations.check()?;
    Ok(new)
}

/// The scope that a request filters by, if it does.
pub(crate) fn scope_filter(scope: i32) -> Result<Option<&'static str>, Error> {
    let mut violations = Violations::default();
    let scope = violations.one_of_if_given("scope", scope, &SCOPES);
    violations.check()?;
    Ok(scope)
}

/// Which memory a request asks to change, and how.
pub(crate) fn change(request: UpdateMemoryRequest, platform: &Platform) -> Result<(Uuid, Change), Error> {
    let memory = request.memory.unwrap_or_default();
    let mut mask = UpdateMask::new(request.update_mask);
    let mut violations = Violations::default();
    let id = violations.id("memory.id", &memory.id);
    let change = Change {
        scope: mask
            .take("scope", memory.scope, |&scope| scope == UNSPECIFIED)
            .and_then(|scope| violations.one_of("memory.scope", scope, &SCOPES)),
        content: mask.take("content", memory.content, String::is_empty),
        r#type: mask.take("type", memory.r#type, String::is_empty),
        source: mask.take("source", memory.source, String::is_empty),
        confidence: mask
            .take("confidence", memory.confidence, Option::is_none)
            .map(|confidence| confidence.unwrap_or(DEFAULT_CONFIDENCE)),
        pinned: mask.take("pinned", memory.pinned, |pinned| !pinned),
        policy: mask.take("policy", memory.policy, |policy| !policy),
        user_id: mask.take("user_id", memory.user_id, String::is_empty),
        team_id: mask.take("team_id", memory.team_id, String::is_empty),
        project_id: mask.take("project_id", memory.project_id, String::is_empty),
        repository: mask.take("repository", memory.repository, String::is_empty),
        agent: mask.take("agent", memory.agent, String::is_empty),
        tags: mask.take("tags", memory.tags, Vec::is_empty),
        metadata: mask.take("metadata", memory.metadata, BTreeMap::is_empty),
        expected_etag: memory.etag,
        new_etag: platform.ids.next(),
        update_time: now(&platform.clock),
    };
    mask.check(&mut violations);
    check_change(&mut violations, &change);
    violations.check()?;
    Ok((id, change))
}

/// The words that a request asks for, the scope that it filters by, and what else it has in common with a request to list.
pub(crate) fn recall(
    request: RecallMemoriesRequest,
) -> Result<(String, Option<&'static str>, ListMemoriesRequest), Error> {
    let mut violations = Violations::default();
    violations.text("query", &request.query, QUERY_BYTES);
    let words = request.query.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()).count();
    if words > MAX_QUERY_WORDS {
        violations.add("query", format!("must have at most {MAX_QUERY_WORDS} words; it has {words}"));
    }
    let scope = violations.one_of_if_given("scope", request.scope, &SCOPES);
    violations.check()?;
    let memories = ListMemoriesRequest {
        page: request.page,
        order_by: request.order_by,
        agent: request.agent,
        user_id: request.user_id,
        project_id: request.project_id,
        scope: request.scope,
        repository: request.repository,
        r#type: request.r#type,
        tag: request.tag,
        pinned: request.pinned,
        policy: request.policy,
    };
    Ok((request.query, scope, memories))
}

/// Looks for ids that two requests of a batch give.
fn check_unique(violations: &mut Violations, requests: &[StoreMemoryRequest]) {
    let memories = || requests.iter().map(|request| request.memory.as_ref());
    violations.unique("memory.id", memories().map(|memory| Some(memory?.id.to_lowercase())));
}

fn read(
    violations: &mut Violations,
    path: String,
    request: StoreMemoryRequest,
    ids: &Ids,
    create_time: OffsetDateTime,
) -> NewMemory {
    let memory = request.memory.unwrap_or_default();
    check_memory(violations, &path, &memory);
    let is_id_given = !memory.id.is_empty();
    let id = if is_id_given { violations.id(format_args!("{path}memory.id"), &memory.id) } else { ids.next() };
    let scope = violations.one_of(format_args!("{path}memory.scope"), memory.scope, &SCOPES).unwrap_or_default();
    let confidence = memory.confidence.unwrap_or(DEFAULT_CONFIDENCE);
    let etag = ids.next();
    let memory = Memory {
        id: id.to_string(),
        confidence: Some(confidence),
        etag: etag.to_string(),
        create_time: Some(timestamp(create_time)),
        update_time: Some(timestamp(create_time)),
        ..memory
    };
    NewMemory { path, id, scope, confidence, etag, create_time, memory }
}

fn check_memory(violations: &mut Violations, path: &str, memory: &Memory) {
    violations.text(format_args!("{path}memory.content"), &memory.content, CONTENT_BYTES);
    violations.text(format_args!("{path}memory.type"), &memory.r#type, TYPE_BYTES);
    violations.text(format_args!("{path}memory.source"), &memory.source, SOURCE_BYTES);
    let confidence = memory.confidence.unwrap_or(DEFAULT_CONFIDENCE);
    check_confidence(violations, format_args!("{path}memory.confidence"), confidence);
    violations.text(format_args!("{path}memory.user_id"), &memory.user_id, ID_BYTES);
    violations.text(format_args!("{path}memory.team_id"), &memory.team_id, ID_BYTES);
    violations.text(format_args!("{path}memory.project_id"), &memory.project_id, ID_BYTES);
    violations.text(format_args!("{path}memory.repository"), &memory.repository, REPOSITORY_BYTES);
    violations.text(format_args!("{path}memory.agent"), &memory.agent, AGENT_BYTES);
    violations.words(format_args!("{path}memory.tags"), &memory.tags);
    violations.metadata(format_args!("{path}memory.metadata"), &memory.metadata);
}

fn check_change(violations: &mut Violations, change: &Change) {
    let Change { content, r#type, source, confidence, user_id, team_id, project_id, .. } = change;
    let Change { repository, agent, tags, metadata, expected_etag, .. } = change;
    violations.etag("memory.etag", expected_etag);
    content.iter().for_each(|content| violations.text("memory.content", content, CONTENT_BYTES));
    r#type.iter().for_each(|r#type| violations.text("memory.type", r#type, TYPE_BYTES));
    source.iter().for_each(|source| violations.text("memory.source", source, SOURCE_BYTES));
    confidence.iter().for_each(|&confidence| check_confidence(violations, "memory.confidence", confidence));
    user_id.iter().for_each(|user_id| violations.text("memory.user_id", user_id, ID_BYTES));
    team_id.iter().for_each(|team_id| violations.text("memory.team_id", team_id, ID_BYTES));
    project_id.iter().for_each(|project_id| violations.text("memory.project_id", project_id, ID_BYTES));
    repository.iter().for_each(|repository| violations.text("memory.repository", repository, REPOSITORY_BYTES));
    agent.iter().for_each(|agent| violations.text("memory.agent", agent, AGENT_BYTES));
    tags.iter().for_each(|tags| violations.words("memory.tags", tags));
    metadata.iter().for_each(|metadata| violations.metadata("memory.metadata", metadata));
}

fn check_confidence(violations: &mut Violations, field: impl Display, confidence: f64) {
    if !CONFIDENCE.contains(&confidence) {
        violations.add(field, "must be 0 to 1");
    }
}
