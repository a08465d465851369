//! Validates requests and converts them to rows.

use std::ops::RangeInclusive;

use platform::{
    Caller, Error, Ids, Platform, UNSPECIFIED, Violations, check_batch_bytes, read_batch, read_one, timestamp,
};
use quire_proto::registry::v1::{Agent, AgentStatus, HeartbeatRequest, RegisterAgentRequest};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::lists::{
    STATUSES, SUSPENDED,
    agents::{self, Heartbeat, NewAgent},
};

const CAPABILITY_BYTES: RangeInclusive<usize> = 1..=64;

/// The agent to register.
pub(crate) fn new_agent(
    request: RegisterAgentRequest,
    caller: &Caller,
    platform: &Platform,
) -> Result<NewAgent, Error> {
    Ok(read_one(platform, request, read)?.registered_by(caller))
}

/// The agents of a batch to register. If `may_repeat`, several can have the same id or name.
pub(crate) fn new_agents(
    requests: Vec<RegisterAgentRequest>,
    may_repeat: bool,
    caller: &Caller,
    platform: &Platform,
) -> Result<Vec<NewAgent>, Error> {
    let new = read_batch(
        platform,
        "requests",
        requests,
        may_repeat,
        &[
            ("agent.id", |request| Some(request.agent.as_ref()?.id.to_lowercase())),
            ("agent.name", |request| Some(request.agent.as_ref()?.name.clone())),
        ],
        read,
    )?;
    check_batch_bytes("the agents", new.iter().map(|new| new.agent.clone()))?;
    Ok(new.into_iter().map(|new| new.registered_by(caller)).collect())
}

/// The status to filter by, if any.
pub(crate) fn status_filter(status: i32) -> Result<Option<&'static str>, Error> {
    let mut violations = Violations::default();
    let status = violations.one_of_if_given("status", status, &STATUSES);
    violations.check()?;
    Ok(status)
}

/// The id of the agent, and its heartbeat.
pub(crate) fn heartbeat(request: &HeartbeatRequest) -> Result<(Uuid, Heartbeat), Error> {
    let mut violations = Violations::default();
    let id = violations.id("id", &request.id);
    let status = violations.one_of_if_given("status", request.status, &STATUSES);
    if status == Some(SUSPENDED) {
        violations.add("status", "must not be suspended; use UpdateAgent to suspend an agent");
    }
    request.load.iter().for_each(|&load| violations.at_least("load", load, 0));
    violations.check()?;
    Ok((id, Heartbeat { status, load: request.load }))
}

/// The capability to find agents by.
pub(crate) fn capability(capability: String) -> Result<String, Error> {
    let mut violations = Violations::default();
    violations.text("capability", &capability, CAPABILITY_BYTES);
    violations.check()?;
    Ok(capability)
}

fn read(
    violations: &mut Violations,
    path: String,
    request: RegisterAgentRequest,
    ids: &Ids,
    register_time: OffsetDateTime,
) -> NewAgent {
    let mut agent = request.agent.unwrap_or_default();
    if agent.status == UNSPECIFIED {
        agent.status = AgentStatus::Active.into();
    }
    agents::fill(&mut agent);
    violations.fields(&format!("{path}agent."), &agents::agent_fields(&agent));
    if request.take_over && !path.is_empty() {
        violations.add(format_args!("{path}take_over"), "must be false in a batch; use RegisterAgent");
    }
    let is_id_given = !agent.id.is_empty();
    let id = violations.id_or_new(format_args!("{path}agent.id"), &agent.id, ids);
    let etag = ids.next();
    let agent = Agent {
        id: id.to_string(),
        etag: etag.to_string(),
        register_time: Some(timestamp(register_time)),
        heartbeat_time: Some(timestamp(register_time)),
        update_time: Some(timestamp(register_time)),
        ..agent
    };
    NewAgent { path, is_id_given, id, etag, register_time, agent }
}
