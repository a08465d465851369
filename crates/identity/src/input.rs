//! Validates requests and converts them to rows.

use std::ops::RangeInclusive;

use platform::{Caller, Error, Field, Platform, Scope, Violations, now, parse_id};
use prost_types::Timestamp;
use quire_proto::identity::v1::{ApiKey, CreateApiKeyRequest, Device, RevokeSessionsRequest};
use time::{Duration, OffsetDateTime};
use tonic::Request;
use uuid::Uuid;

use crate::{
    lists::{
        api_keys::{NewApiKey, UsableKey},
        sessions::NewSession,
    },
    secrets::{KeySecret, RefreshToken, hash, random},
};

const SUBJECT_BYTES: RangeInclusive<usize> = 1..=128;
/// The maximum length of the stored user agent. A longer one is truncated.
const USER_AGENT_BYTES: usize = 256;
/// The maximum time to live of a key: 100 years.
const MAX_TIME_TO_LIVE: Duration = Duration::days(36_525);
/// The scope that allows keys for other subjects than the caller's own.
const ANY_SUBJECT: &str = "identity:any_subject";

/// The device of a call: the IP address and the user agent.
pub(crate) fn device<T>(request: &Request<T>) -> Device {
    let ip = request.remote_addr().map(|address| address.ip().to_canonical().to_string());
    let user_agent = request.metadata().get("user-agent").and_then(|value| value.to_str().ok());
    Device {
        ip: ip.unwrap_or_default(),
        // Each character is one byte, because `to_str` accepts only ASCII.
        user_agent: user_agent.unwrap_or_default().chars().take(USER_AGENT_BYTES).collect(),
    }
}

/// The session to create with this API key, and its first refresh token.
pub(crate) fn new_session(
    api_key: UsableKey,
    scopes: Vec<String>,
    device: Device,
    platform: &Platform,
) -> Result<(NewSession, RefreshToken), Error> {
    let mut violations = Violations::default();
    violations.words("scopes", &scopes);
    violations.check()?;
    if let Some(missing) = scopes.iter().find(|scope| !api_key.scopes.contains(scope)) {
        return Err(Error::PermissionDenied(Scope(missing.clone())));
    }
    let id = platform.ids.next();
    let token = RefreshToken { workspace: api_key.workspace_id, session_id: id, family: random()?, bytes: random()? };
    let new = NewSession {
        id,
        api_key_id: api_key.id,
        scopes: if scopes.is_empty() { api_key.scopes } else { scopes },
        ip: device.ip,
        user_agent: device.user_agent,
        family_hash: hash(&token.family),
        refresh_hash: hash(&token.bytes),
    };
    Ok((new, token))
}

/// The subject whose sessions to revoke.
pub(crate) fn subject(request: RevokeSessionsRequest) -> Result<String, Error> {
    let mut violations = Violations::default();
    violations.text("subject", &request.subject, SUBJECT_BYTES);
    violations.check()?;
    Ok(request.subject)
}

/// The key whose descendants to list, if any.
pub(crate) fn ancestor_id(id: Option<&str>) -> Result<Option<Uuid>, Error> {
    id.map(|id| parse_id("ancestor_id", id)).transpose()
}

/// The API key to create, and its secret.
pub(crate) fn new_api_key(
    request: CreateApiKeyRequest,
    caller: &Caller,
    platform: &Platform,
) -> Result<(NewApiKey, KeySecret), Error> {
    let CreateApiKeyRequest { api_key, time_to_live } = request;
    let api_key = api_key.unwrap_or_default();
    let mut violations = Violations::default();
    violations.fields("api_key.", &api_key_fields(&api_key));
    let ApiKey { name, subject, scopes, expire_time, .. } = api_key;
    let expire_time = expire_time_of(&mut violations, expire_time, time_to_live, now(&platform.clock));
    violations.check()?;
    caller.check_all(&scopes)?;
    if subject != caller.subject {
        caller.check(&Scope(ANY_SUBJECT.to_owned()))?;
    }
    let secret = KeySecret { workspace: caller.workspace.clone(), id: platform.ids.next(), bytes: random()? };
    let secret_hash = hash(&secret.bytes);
    Ok((NewApiKey { id: secret.id, name, subject, scopes, expire_time, secret_hash }, secret))
}

/// When a key expires, by a time or by a duration from now.
fn expire_time_of(
    violations: &mut Violations,
    expire_time: Option<Timestamp>,
    time_to_live: Option<prost_types::Duration>,
    now: OffsetDateTime,
) -> Option<OffsetDateTime> {
    let expire_time = expire_time.map(|time| violations.time("api_key.expire_time", time));
    if expire_time.is_some_and(|expire_time| expire_time <= now) {
        violations.add("api_key.expire_time", "must be in the future");
    }
    let Some(given) = time_to_live else { return expire_time };
    if expire_time.is_some() {
        violations.add("time_to_live", "must not be given with api_key.expire_time");
    }
    let time_to_live = Duration::new(given.seconds, given.nanos);
    if !time_to_live.is_positive() || time_to_live > MAX_TIME_TO_LIVE {
        violations.add("time_to_live", "must be more than nothing, and at most 100 years");
        return None;
    }
    now.checked_add(time_to_live)
}

/// The fields of an API key that callers write, except its expiry.
pub fn api_key_fields(api_key: &ApiKey) -> Vec<Field<'_>> {
    vec![
        Field::text("name", &api_key.name, 1..=128),
        Field::text("subject", &api_key.subject, SUBJECT_BYTES),
        Field::words("scopes", &api_key.scopes, 1),
    ]
}
