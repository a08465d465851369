//! Requests, made into rows once they are known to be right.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive};

use platform::{
    Error, Ids, Platform, UNSPECIFIED, UpdateMask, Violations, check_batch, check_batch_bytes, now, request_path,
    timestamp,
};
use prost_types::Duration;
use quire_proto::registry::v1::{Agent, HeartbeatRequest, RegisterAgentRequest, UpdateAgentRequest};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::lists::{
    ACTIVE, STATUSES, SUSPENDED,
    agents::{Change, Heartbeat, NewAgent},
};

const NAME_BYTES: RangeInclusive<usize> = 1..=256;
const SURFACE_BYTES: RangeInclusive<usize> = 0..=64;
const ENDPOINT_BYTES: RangeInclusive<usize> = 0..=1_024;
const CAPABILITY_BYTES: RangeInclusive<usize> = 1..=64;
/// The capacity of an agent that does not say it.
const DEFAULT_CAPACITY: i32 = 1;
/// 1 second to 1 day, in milliseconds.
const TIME_TO_LIVE: RangeInclusive<i64> = 1_000..=86_400_000;
/// For how long an agent that does not say it lives after a heartbeat: 60 seconds.
const DEFAULT_TIME_TO_LIVE: Duration = Duration { seconds: 60, nanos: 0 };

/// The agent that a request asks for.
pub(crate) fn new_agent(request: RegisterAgentRequest, platform: &Platform) -> Result<NewAgent, Error> {
    let mut violations = Violations::default();
    let new = read(&mut violations, String::new(), request, &platform.ids, now(&platform.clock));
    violations.check()?;
    Ok(new)
}

/// The agents that a batch asks for.
pub(crate) fn new_agents(requests: Vec<RegisterAgentRequest>, platform: &Platform) -> Result<Vec<NewAgent>, Error> {
    check_batch("requests", requests.len())?;
    let mut violations = Violations::default();
    check_unique(&mut violations, &requests);
    let register_time = now(&platform.clock);
    let mut new = Vec::with_capacity(requests.len());
    for (place, request) in requests.into_iter().enumerate() {
        new.push(read(&mut violations, request_path(place), request, &platform.ids, register_time));
    }
    violations.check()?;
    check_batch_bytes("the agents", new.iter().map(|new| new.agent.clone()))?;
    Ok(new)
}

/// The status that a request filters by, if it does.
pub(crate) fn status_filter(status: i32) -> Result<Option<&'static str>, Error> {
    let mut violations = Violations::default();
    let status = violations.one_of_if_given("status", status, &STATUSES);
    violations.check()?;
    Ok(status)
}

/// Which agent a request asks to change, and how.
pub(crate) fn change(request: UpdateAgentRequest, platform: &Platform) -> Result<(Uuid, Change), Error> {
    let agent = request.agent.unwrap_or_default();
    let mut mask = UpdateMask::new(request.update_mask);
    let mut violations = Violations::default();
    let id = violations.id("agent.id", &agent.id);
    let change = Change {
        name: mask.take("name", agent.name, String::is_empty),
        surface: mask.take("surface", agent.surface, String::is_empty),
        endpoint: mask.take("endpoint", agent.endpoint, String::is_empty),
        capabilities: mask.take("capabilities", agent.capabilities, Vec::is_empty),
        status: mask
            .take("status", agent.status, |&status| status == UNSPECIFIED)
            .and_then(|status| violations.one_of("agent.status", status, &STATUSES)),
        capacity: mask
            .take("capacity", agent.capacity, Option::is_none)
            .map(|capacity| capacity.unwrap_or(DEFAULT_CAPACITY)),
        time_to_live: mask
            .take("time_to_live", agent.time_to_live, Option::is_none)
            .map(|time_to_live| read_time_to_live(&mut violations, "agent.time_to_live", time_to_live)),
        metadata: mask.take("metadata", agent.metadata, BTreeMap::is_empty),
        expected_etag: agent.etag,
        new_etag: platform.ids.next(),
        update_time: now(&platform.clock),
    };
    mask.check(&mut violations);
    check_change(&mut violations, &change);
    violations.check()?;
    Ok((id, change))
}

/// Which agent lives, and how it is.
pub(crate) fn heartbeat(request: &HeartbeatRequest, platform: &Platform) -> Result<(Uuid, Heartbeat), Error> {
    let mut violations = Violations::default();
    let id = violations.id("id", &request.id);
    let status = violations.one_of_if_given("status", request.status, &STATUSES);
    if status == Some(SUSPENDED) {
        violations.add("status", "must not be suspended, which is for UpdateAgent to say");
    }
    request.load.iter().for_each(|&load| violations.at_least("load", load, 0));
    violations.check()?;
    Ok((id, Heartbeat { status, load: request.load, heartbeat_time: now(&platform.clock) }))
}

/// The capability that a request asks for.
pub(crate) fn capability(capability: String) -> Result<String, Error> {
    let mut violations = Violations::default();
    violations.text("capability", &capability, CAPABILITY_BYTES);
    violations.check()?;
    Ok(capability)
}

/// Looks for ids and names that two requests of a batch give.
fn check_unique(violations: &mut Violations, requests: &[RegisterAgentRequest]) {
    let agents = || requests.iter().map(|request| request.agent.as_ref());
    violations.unique("agent.id", agents().map(|agent| Some(agent?.id.to_lowercase())));
    violations.unique("agent.name", agents().map(|agent| Some(agent?.name.clone())));
}

fn read(
    violations: &mut Violations,
    path: String,
    request: RegisterAgentRequest,
    ids: &Ids,
    register_time: OffsetDateTime,
) -> NewAgent {
    let agent = request.agent.unwrap_or_default();
    check_agent(violations, &path, &agent);
    let is_id_given = !agent.id.is_empty();
    let id = if is_id_given { violations.id(format_args!("{path}agent.id"), &agent.id) } else { ids.next() };
    let status = violations.one_of_if_given(format_args!("{path}agent.status"), agent.status, &STATUSES);
    let time_to_live = read_time_to_live(violations, format_args!("{path}agent.time_to_live"), agent.time_to_live);
    let status = status.unwrap_or(ACTIVE);
    let capacity = agent.capacity.unwrap_or(DEFAULT_CAPACITY);
    let etag = ids.next();
    let agent = Agent {
        id: id.to_string(),
        status: STATUSES.value(status).into(),
        capacity: Some(capacity),
        time_to_live: agent.time_to_live.or(Some(DEFAULT_TIME_TO_LIVE)),
        etag: etag.to_string(),
        register_time: Some(timestamp(register_time)),
        heartbeat_time: Some(timestamp(register_time)),
        update_time: Some(timestamp(register_time)),
        ..agent
    };
    NewAgent { path, is_id_given, id, status, capacity, time_to_live, etag, register_time, agent }
}

fn check_agent(violations: &mut Violations, path: &str, agent: &Agent) {
    violations.text(format_args!("{path}agent.name"), &agent.name, NAME_BYTES);
    violations.text(format_args!("{path}agent.surface"), &agent.surface, SURFACE_BYTES);
    violations.text(format_args!("{path}agent.endpoint"), &agent.endpoint, ENDPOINT_BYTES);
    violations.words(format_args!("{path}agent.capabilities"), &agent.capabilities);
    violations.at_least(format_args!("{path}agent.load"), agent.load, 0);
    agent.capacity.iter().for_each(|&capacity| violations.at_least(format_args!("{path}agent.capacity"), capacity, 0));
    violations.metadata(format_args!("{path}agent.metadata"), &agent.metadata);
}

fn check_change(violations: &mut Violations, change: &Change) {
    let Change { name, surface, endpoint, capabilities, capacity, metadata, expected_etag, .. } = change;
    violations.etag("agent.etag", expected_etag);
    name.iter().for_each(|name| violations.text("agent.name", name, NAME_BYTES));
    surface.iter().for_each(|surface| violations.text("agent.surface", surface, SURFACE_BYTES));
    endpoint.iter().for_each(|endpoint| violations.text("agent.endpoint", endpoint, ENDPOINT_BYTES));
    capabilities.iter().for_each(|capabilities| violations.words("agent.capabilities", capabilities));
    capacity.iter().for_each(|&capacity| violations.at_least("agent.capacity", capacity, 0));
    metadata.iter().for_each(|metadata| violations.metadata("agent.metadata", metadata));
}

/// A time to live in milliseconds; where none is given, the default.
fn read_time_to_live(violations: &mut Violations, field: impl Display, time_to_live: Option<Duration>) -> i64 {
    let Duration { seconds, nanos } = time_to_live.unwrap_or(DEFAULT_TIME_TO_LIVE);
    let milliseconds = seconds.saturating_mul(1_000).saturating_add(i64::from(nanos / 1_000_000));
    let is_whole = (0..1_000_000_000).contains(&nanos) && nanos % 1_000_000 == 0;
    if !is_whole || !TIME_TO_LIVE.contains(&milliseconds) {
        violations.add(field, "must be 1 second to 1 day, in whole milliseconds");
    }
    milliseconds
}
