//! Validates requests and converts them to rows.

use std::ops::RangeInclusive;

use platform::{Caller, Error, Field, Platform, Scope, Violations, now};
use quire_proto::identity::v1::{ApiKey, CreateApiKeyRequest, Device, RevokeSessionsRequest};
use time::{Duration, OffsetDateTime};
use tonic::Request;

use crate::{
    lists::{
        api_keys::{NewApiKey, UsableKey},
        sessions::{NewSession, Refresh},
    },
    secrets::{KeySecret, RefreshToken, hash, random},
};

const SUBJECT_BYTES: RangeInclusive<usize> = 1..=128;
/// The maximum length of the stored user agent. A longer one is truncated.
const USER_AGENT_BYTES: usize = 256;
/// The maximum lifetime of a session.
const SESSION_TIME_TO_LIVE: Duration = Duration::days(30);

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
    check_scopes(&scopes, |scope| api_key.scopes.contains(&scope.0))?;
    let create_time = now(&platform.clock);
    let expire_time = create_time + SESSION_TIME_TO_LIVE;
    let id = platform.ids.next();
    let token = RefreshToken { workspace: api_key.workspace_id, session_id: id, family: random()?, bytes: random()? };
    let new = NewSession {
        id,
        api_key_id: api_key.id,
        scopes: if scopes.is_empty() { api_key.scopes } else { scopes },
        ip: device.ip,
        user_agent: device.user_agent,
        create_time,
        expire_time: api_key.expire_time.map_or(expire_time, |key_ends| key_ends.min(expire_time)),
        family_hash: hash(&token.family),
        refresh_hash: hash(&token.bytes),
    };
    Ok((new, token))
}

/// The use of a refresh token, and the token that replaces it.
pub(crate) fn refresh(used: RefreshToken, now: OffsetDateTime) -> Result<(Refresh, RefreshToken), Error> {
    let refresh_hash = hash(&used.bytes);
    let next = RefreshToken { bytes: random()?, ..used };
    let refresh = Refresh {
        session_id: next.session_id,
        family_hash: hash(&next.family),
        refresh_hash,
        next_hash: hash(&next.bytes),
        now,
    };
    Ok((refresh, next))
}

/// The subject whose sessions to revoke.
pub(crate) fn subject(request: RevokeSessionsRequest) -> Result<String, Error> {
    let mut violations = Violations::default();
    violations.text("subject", &request.subject, SUBJECT_BYTES);
    violations.check()?;
    Ok(request.subject)
}

/// The API key to create, and its secret.
pub(crate) fn new_api_key(
    request: CreateApiKeyRequest,
    caller: &Caller,
    platform: &Platform,
) -> Result<(NewApiKey, KeySecret), Error> {
    let api_key = request.api_key.unwrap_or_default();
    let create_time = now(&platform.clock);
    let mut violations = Violations::default();
    violations.fields("api_key.", &api_key_fields(&api_key));
    let ApiKey { name, subject, scopes, expire_time, .. } = api_key;
    let expire_time = expire_time.map(|time| violations.time("api_key.expire_time", time));
    if expire_time.is_some_and(|expire_time| expire_time <= create_time) {
        violations.add("api_key.expire_time", "must be in the future");
    }
    violations.check()?;
    check_scopes(&scopes, |scope| caller.scopes.contains(scope))?;
    let secret = KeySecret { workspace: caller.workspace.clone(), id: platform.ids.next(), bytes: random()? };
    let secret_hash = hash(&secret.bytes);
    Ok((NewApiKey { id: secret.id, name, subject, scopes, create_time, expire_time, secret_hash }, secret))
}

/// The fields of an API key that callers write, except its expiry.
pub fn api_key_fields(api_key: &ApiKey) -> Vec<Field<'_>> {
    vec![
        Field::text("name", &api_key.name, 1..=128),
        Field::text("subject", &api_key.subject, SUBJECT_BYTES),
        Field::words("scopes", &api_key.scopes, 1),
    ]
}

/// Checks that the caller or the key has these scopes.
fn check_scopes(scopes: &[String], is_had: impl Fn(&Scope) -> bool) -> Result<(), Error> {
    let missing = scopes.iter().map(|scope| Scope(scope.clone())).find(|scope| !is_had(scope));
    missing.map_or(Ok(()), |scope| Err(Error::PermissionDenied(scope)))
}
