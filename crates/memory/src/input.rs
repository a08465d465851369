//! Requests, made into rows once they are known to be right.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive};

use platform::{Error, Ids, Platform, UpdateMask, Violations, check_batch, now, request_path};
use quire_proto::memory::v1::{
    ListMemoriesRequest, Memory, MemoryScope, RecallMemoriesRequest, StoreMemoryRequest, UpdateMemoryRequest,
};
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::rows::{Change, MemoryRow, NewMemory, SCOPES, scope_name};

const CONTENT_BYTES: RangeInclusive<usize> = 1..=256 << 10;
const TYPE_BYTES: RangeInclusive<usize> = 0..=64;
const SOURCE_BYTES: RangeInclusive<usize> = 0..=256;
/// Of a user, a team or a project.
const ID_BYTES: RangeInclusive<usize> = 0..=128;
const REPOSITORY_BYTES: RangeInclusive<usize> = 0..=256;
const AGENT_BYTES: RangeInclusive<usize> = 0..=256;
const CONFIDENCE: RangeInclusive<f64> = 0.0..=1.0;
const DEFAULT_CONFIDENCE: f64 = 1.0;
const QUERY_BYTES: RangeInclusive<usize> = 1..=1_024;
/// Of a query. What it takes to rank a memory grows faster than they do.
const MAX_QUERY_WORDS: usize = 16;
/// Of one to compare with, which may be any text.
const ETAG_BYTES: RangeInclusive<usize> = 0..=256;
/// What an update can change.
const MUTABLE: [&str; 14] = [
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

/// Which memory a request asks to change, and how.
pub(crate) fn change(request: UpdateMemoryRequest, platform: &Platform) -> Result<(Uuid, Change), Error> {
    let memory = request.memory.unwrap_or_default();
    let mut mask = UpdateMask::new(request.update_mask);
    let mut violations = Violations::default();
    let id = violations.id("memory.id", &memory.id);
    let scope = mask.take("scope", memory.scope, |scope| *scope == i32::from(MemoryScope::Unspecified));
    let confidence = mask.take("confidence", memory.confidence, Option::is_none);
    let change = Change {
        scope: scope.map(|scope| check_scope(&mut violations, "memory.scope", scope)),
        content: mask.take("content", memory.content, String::is_empty),
        r#type: mask.take("type", memory.r#type, String::is_empty),
        source: mask.take("source", memory.source, String::is_empty),
        confidence: confidence.map(|confidence| confidence.unwrap_or(DEFAULT_CONFIDENCE)),
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
    mask.check(&mut violations, &MUTABLE);
    violations.text("memory.etag", &change.expected_etag, ETAG_BYTES);
    change.check(&mut violations);
    violations.check()?;
    Ok((id, change))
}

impl Change {
    /// Looks at the fields that are given, but for the scope, which has been looked at.
    fn check(&self, violations: &mut Violations) {
        let texts = [
            ("memory.content", &self.content, CONTENT_BYTES),
            ("memory.type", &self.r#type, TYPE_BYTES),
            ("memory.source", &self.source, SOURCE_BYTES),
            ("memory.user_id", &self.user_id, ID_BYTES),
            ("memory.team_id", &self.team_id, ID_BYTES),
            ("memory.project_id", &self.project_id, ID_BYTES),
            ("memory.repository", &self.repository, REPOSITORY_BYTES),
            ("memory.agent", &self.agent, AGENT_BYTES),
        ];
        for (field, text, bytes) in texts {
            text.iter().for_each(|text| violations.text(field, text, bytes.clone()));
        }
        let Self { confidence, tags, metadata, .. } = self;
        confidence.iter().for_each(|&confidence| check_confidence(violations, "memory.confidence", confidence));
        tags.iter().for_each(|tags| violations.words("memory.tags", tags));
        metadata.iter().for_each(|metadata| violations.metadata("memory.metadata", metadata));
    }
}

/// The words that a request asks for, and where it looks for them: what it has in common with a request to list.
pub(crate) fn recall(request: RecallMemoriesRequest) -> Result<(String, ListMemoriesRequest), Error> {
    let RecallMemoriesRequest { page, order_by, query, agent, user_id, project_id, scope, repository, .. } = request;
    let RecallMemoriesRequest { r#type, tag, pinned, policy, .. } = request;
    let mut violations = Violations::default();
    violations.text("query", &query, QUERY_BYTES);
    let words = query.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()).count();
    if words > MAX_QUERY_WORDS {
        violations.add("query", format!("must have at most {MAX_QUERY_WORDS} words; it has {words}"));
    }
    violations.check()?;
    let request = ListMemoriesRequest {
        page,
        order_by,
        agent,
        user_id,
        project_id,
        scope,
        repository,
        r#type,
        tag,
        pinned,
        policy,
    };
    Ok((query, request))
}

/// The scope that a request filters by, if it does.
pub(crate) fn scope_filter(scope: i32) -> Result<Option<&'static str>, Error> {
    if scope == i32::from(MemoryScope::Unspecified) {
        return Ok(None);
    }
    let mut violations = Violations::default();
    let scope = check_scope(&mut violations, "scope", scope);
    violations.check()?;
    Ok(Some(scope))
}

/// Looks for ids that two requests of a batch give.
fn check_unique(violations: &mut Violations, requests: &[StoreMemoryRequest]) {
    let memories = requests.iter().enumerate().filter_map(|(place, request)| Some((place, request.memory.as_ref()?)));
    violations.unique(
        memories.map(|(place, memory)| (format!("{}memory.id", request_path(place)), memory.id.to_lowercase())),
    );
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
    NewMemory {
        memory: MemoryRow {
            id,
            scope: check_scope(violations, format_args!("{path}memory.scope"), memory.scope).to_owned(),
            content: memory.content,
            r#type: memory.r#type,
            source: memory.source,
            confidence: memory.confidence.unwrap_or(DEFAULT_CONFIDENCE),
            pinned: memory.pinned,
            policy: memory.policy,
            user_id: memory.user_id,
            team_id: memory.team_id,
            project_id: memory.project_id,
            repository: memory.repository,
            agent: memory.agent,
            tags: memory.tags,
            metadata: Json(memory.metadata),
            etag: ids.next(),
            create_time,
            update_time: create_time,
        },
        path,
    }
}

/// Looks at all fields but the id and the scope.
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

fn check_confidence(violations: &mut Violations, field: impl Display, confidence: f64) {
    if !CONFIDENCE.contains(&confidence) {
        violations.add(field, "must be 0 to 1");
    }
}

/// The name of a scope, which must be one of those that there are.
fn check_scope(violations: &mut Violations, field: impl Display, scope: i32) -> &'static str {
    scope_name(scope).unwrap_or_else(|| {
        let names: Vec<_> = SCOPES.iter().map(|(scope, _)| scope.as_str_name()).collect();
        violations.add(field, format!("must be one of {}", names.join(", ")));
        ""
    })
}
