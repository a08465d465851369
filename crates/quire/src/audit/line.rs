use std::{collections::HashMap, net::IpAddr};

use access::{Methods, Requirement};
use platform::{AuditCaller, AuditTarget};
use prost_types::Timestamp;
use serde_json::{Map, Value};
use tonic::Code;

/// The methods whose calls are audited whatever their outcome, by path.
pub(crate) type Kinds = HashMap<String, Kind>;

/// What a method does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It gives a credential for a secret.
    Login,
    /// It makes or ends keys or sessions.
    Change,
}

/// Why there is a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Login,
    Change,
    /// The caller is unknown.
    Refusal,
    /// The caller may not do this.
    Denial,
}

/// The reason of a call that names no valid workspace.
pub(crate) const WORKSPACE_INVALID: &str = "WORKSPACE_INVALID";

/// A line of the log.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) time: Timestamp,
    pub(crate) event: Event,
    pub(crate) method: String,
    pub(crate) code: Code,
    pub(crate) reason: Option<String>,
    pub(crate) who: AuditCaller,
    pub(crate) address: Option<IpAddr>,
    pub(crate) user_agent: Option<String>,
    pub(crate) target: AuditTarget,
    /// How many lines like this one were left out.
    pub(crate) suppressed_count: Option<u64>,
}

/// What the methods of the contract do. Of other methods, only refusals and denials are audited.
pub(crate) fn kinds(methods: &Methods) -> Kinds {
    let kind = |(path, requirement): (&str, &Requirement)| match requirement {
        Requirement::Nothing => Some((path.to_owned(), Kind::Login)),
        Requirement::Scope(scope) if scope.0 == "identity:read" => None,
        Requirement::Scope(_) | Requirement::AccessToken => {
            path.starts_with("/identity.").then(|| (path.to_owned(), Kind::Change))
        }
    };
    methods.iter().filter_map(kind).collect()
}

impl Event {
    /// The event of a call with this outcome, if it is audited.
    pub(crate) fn of(kind: Option<Kind>, code: Code, reason: Option<&'static str>) -> Option<Self> {
        match (kind, code) {
            (Some(Kind::Login), _) => Some(Self::Login),
            (_, Code::Unauthenticated) => Some(Self::Refusal),
            (_, Code::PermissionDenied) => Some(Self::Denial),
            _ if reason == Some(WORKSPACE_INVALID) => Some(Self::Denial),
            (Some(Kind::Change), _) => Some(Self::Change),
            (None, _) => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Change => "change",
            Self::Refusal => "refusal",
            Self::Denial => "denial",
        }
    }
}

impl Line {
    /// Whether something may have been made or ended. A call without a definite answer counts if its caller was known.
    pub(crate) fn may_have_effect(&self) -> bool {
        let is_unknown = matches!(
            self.code,
            Code::Cancelled | Code::DeadlineExceeded | Code::Unavailable | Code::Internal | Code::Unknown
        );
        match (self.code, self.target.ended_count) {
            (_, Some(1..)) => true,
            (Code::Ok, ended_count) => ended_count.is_none(),
            _ => is_unknown && self.who.subject.is_some(),
        }
    }

    /// The line as JSON, without a line break. Everything but printable ASCII is escaped.
    pub(crate) fn text(&self) -> String {
        let Self { time, event, method, code, reason, who, address, user_agent, target, suppressed_count } = self;
        let mut fields = vec![
            ("time", Some(time.to_string().into())),
            ("event", Some(event.name().into())),
            ("method", Some(method.as_str().into())),
            ("code", Some(code_name(*code).into())),
            ("reason", reason.as_deref().map(Value::from)),
            ("workspace", who.workspace.as_deref().map(Value::from)),
            ("subject", who.subject.as_deref().map(Value::from)),
            ("session_id", who.session_id.map(|id| id.to_string().into())),
            ("api_key_id", who.api_key_id.map(|id| id.to_string().into())),
            ("address", address.map(|address| address.to_string().into())),
            ("user_agent", user_agent.as_deref().map(Value::from)),
            ("suppressed_count", suppressed_count.map(Value::from)),
        ];
        if *target != AuditTarget::default() {
            fields.push(("target", Some(target_fields(target))));
        }
        ascii(&object(fields).to_string())
    }
}

fn target_fields(target: &AuditTarget) -> Value {
    let AuditTarget { api_key_id, session_id, subject, scopes, ended_count } = target;
    object(vec![
        ("api_key_id", api_key_id.map(|id| id.to_string().into())),
        ("session_id", session_id.map(|id| id.to_string().into())),
        ("subject", subject.as_deref().map(Value::from)),
        ("scopes", (!scopes.is_empty()).then(|| scopes.as_slice().into())),
        ("ended_count", ended_count.map(Value::from)),
    ])
}

/// The line that says how many lines could not be written.
pub(crate) fn lost(time: &Timestamp, count: u64) -> String {
    let fields = vec![
        ("time", Some(time.to_string().into())),
        ("event", Some("lost".into())),
        ("lost_count", Some(count.into())),
    ];
    object(fields).to_string()
}

/// An object of the fields that have a value.
fn object(fields: Vec<(&str, Option<Value>)>) -> Value {
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// Escapes everything but printable ASCII, so that no text of a caller can look like the end of a line or control a
/// terminal. JSON has such characters only in strings.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            ' '..='~' => text.push(character),
            _ => {
                let mut units = [0; 2];
                text.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    text
}

/// The name of a code, as in `PERMISSION_DENIED`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for character in format!("{code:?}").chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
}
