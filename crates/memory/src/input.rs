//! Validates requests and converts them to rows.

use std::ops::RangeInclusive;

use platform::{Error, Ids, Platform, Violations, read_batch, read_one, timestamp};
use quire_proto::memory::v1::{ListMemoriesRequest, Memory, RecallMemoriesRequest, StoreMemoryRequest};
use time::OffsetDateTime;

use crate::{
    lists::{
        SCOPES,
        memories::{self, NewMemory},
    },
    words::{WordQuery, take_apart},
};

/// As long as a content, so that every word of a content can be a query.
const QUERY_BYTES: RangeInclusive<usize> = 1..=256 << 10;

/// The memory to store.
pub(crate) fn new_memory(request: StoreMemoryRequest, platform: &Platform) -> Result<NewMemory, Error> {
    read_one(platform, request, read)
}

/// The memories of a batch to store. If `may_repeat`, several can have the same id.
pub(crate) fn new_memories(
    requests: Vec<StoreMemoryRequest>,
    may_repeat: bool,
    platform: &Platform,
) -> Result<Vec<NewMemory>, Error> {
    let id = |request: &StoreMemoryRequest| Some(request.memory.as_ref()?.id.to_lowercase());
    read_batch(platform, "requests", requests, may_repeat, &[("memory.id", id)], read)
}

/// The scope to filter by, if any.
pub(crate) fn scope_filter(scope: i32) -> Result<Option<&'static str>, Error> {
    let mut violations = Violations::default();
    let scope = violations.one_of_if_given("scope", scope, &SCOPES);
    violations.check()?;
    Ok(scope)
}

/// The words to search for, the scope to filter by, and the other filters as a request of ListMemories.
pub(crate) async fn recall(
    request: RecallMemoriesRequest,
) -> Result<(WordQuery, Option<&'static str>, ListMemoriesRequest), Error> {
    let mut violations = Violations::default();
    violations.text("query", &request.query, QUERY_BYTES);
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
    Ok((take_apart(&request.query, WordQuery::new).await?, scope, memories))
}

fn read(
    violations: &mut Violations,
    path: String,
    request: StoreMemoryRequest,
    ids: &Ids,
    create_time: OffsetDateTime,
) -> NewMemory {
    let mut memory = request.memory.unwrap_or_default();
    memories::fill(&mut memory);
    violations.fields(&format!("{path}memory."), &memories::fields(&memory));
    let id = violations.id_or_new(format_args!("{path}memory.id"), &memory.id, ids);
    let etag = ids.next();
    let memory = Memory {
        id: id.to_string(),
        etag: etag.to_string(),
        create_time: Some(timestamp(create_time)),
        update_time: Some(timestamp(create_time)),
        ..memory
    };
    NewMemory { path, id, etag, create_time, memory, words: String::new() }
}
