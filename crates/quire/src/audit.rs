//! The audit log: a line for each login, each key or session made or ended, and each refused or denied call.

mod allowance;
mod file;
mod line;
mod writer;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use access::Methods;
use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Uri,
        header::{AUTHORIZATION, USER_AGENT},
    },
};
use platform::{Audit, AuditCaller, Caller, Clock, now, timestamp};
use tonic::{Code, Status, transport::server::TcpConnectInfo};
use tonic_types::StatusExt;

pub(crate) use self::line::WORKSPACE_INVALID;
use self::{
    allowance::{Allowances, Origin},
    file::RotatedFile,
    line::{Event, Line, kinds},
    writer::{Sink, Writer},
};
use crate::{arguments::AuditLog as Arguments, error::Error};

/// The maximum length of a user agent in a line. A longer one is cut.
const USER_AGENT_CHARACTERS: usize = 256;
/// The maximum length of a method in a line. Callers can send any text as a method.
const METHOD_CHARACTERS: usize = 128;

/// Writes the audit log. Clones write to the same log.
#[derive(Debug, Clone)]
pub(crate) struct AuditLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kinds: line::Kinds,
    clock: Clock,
    allowances: Arc<Mutex<Allowances>>,
    writer: Writer,
}

impl AuditLog {
    /// Writes to the file of the arguments, or else to the program's log, as events of the target `audit`.
    pub(crate) fn open(arguments: &Arguments, methods: &Methods, clock: Clock) -> Result<Self, Error> {
        let sink = match &arguments.audit_log {
            Some(path) => {
                let file = RotatedFile::open(path, arguments.file_bytes(), arguments.audit_log_files);
                Sink::File(file.map_err(|source| Error::File { path: path.clone(), source })?)
            }
            None => Sink::Log,
        };
        let allowances = Arc::new(Mutex::new(Allowances::new()));
        let writer = Writer::start(sink, Arc::clone(&allowances), clock.clone())?;
        Ok(Self(Arc::new(Shared { kinds: kinds(methods), clock, allowances, writer })))
    }

    /// Starts to audit a call, and adds an [`Audit`] for its handler to its extensions.
    pub(crate) fn begin(&self, request: &mut Request) -> AuditedCall {
        let notes = Audit::default();
        request.extensions_mut().insert(notes.clone());
        let peer = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        AuditedCall {
            log: self.clone(),
            notes,
            uri: request.uri().clone(),
            address: peer.map(|peer| peer.ip().to_canonical()),
            user_agent: request.headers().get(USER_AGENT).cloned(),
            has_credential: request.headers().contains_key(AUTHORIZATION),
            code: Code::Cancelled,
            reason: None,
        }
    }

    /// Writes what is left, for a bounded time.
    pub(crate) async fn close(&self) {
        self.0.writer.close().await;
    }

    /// Writes a line, unless its origin has had too many about calls without effect.
    fn write(&self, line: Line) {
        let is_admitted = line.may_have_effect() || {
            let mut allowances = self.0.allowances.lock().unwrap_or_else(PoisonError::into_inner);
            allowances.admit(Origin::of(&line), &line)
        };
        if is_admitted {
            self.0.writer.write(line.text());
        }
    }
}

/// Notes who makes an admitted or denied call.
pub(crate) fn note_caller(request: &Request) {
    if let Some(caller) = request.extensions().get::<Caller>() {
        Audit::of_http(request).note(|notes| notes.who = AuditCaller::from(caller));
    }
}

/// A call. It is audited when it is dropped: with its answer, or as CANCELLED if the caller has hung up.
#[derive(Debug)]
pub(crate) struct AuditedCall {
    log: AuditLog,
    notes: Audit,
    uri: Uri,
    address: Option<IpAddr>,
    user_agent: Option<HeaderValue>,
    has_credential: bool,
    code: Code,
    /// The reason that the answer tells.
    reason: Option<String>,
}

impl AuditedCall {
    /// Takes the outcome from an answer's headers.
    pub(crate) fn is_answered_with(&mut self, headers: &HeaderMap) {
        let status = Status::from_header_map(headers);
        self.code = status.as_ref().map_or(Code::Ok, Status::code);
        self.reason = status.and_then(|status| status.get_details_error_info()).map(|info| info.reason);
    }

    /// Why the call failed. An answer does not tell why a caller is unknown.
    fn reason(&self, noted: Option<&'static str>, event: Event) -> Option<String> {
        let supposed = match (self.code, event, self.has_credential) {
            (Code::Unauthenticated, Event::Login, _) => Some("SECRET_INVALID"),
            (Code::Unauthenticated, _, true) => Some("ACCESS_TOKEN_INVALID"),
            (Code::Unauthenticated, _, false) => Some("CREDENTIAL_MISSING"),
            (_, _, _) => None,
        };
        noted.map(str::to_owned).or_else(|| self.reason.clone()).or_else(|| supposed.map(str::to_owned))
    }
}

impl Drop for AuditedCall {
    fn drop(&mut self) {
        let notes = self.notes.take();
        let path = self.uri.path();
        let kind = self.log.0.kinds.get(path).copied();
        let Some(event) = Event::of(kind, self.code, notes.reason) else { return };
        self.log.write(Line {
            time: timestamp(now(&self.log.0.clock)),
            event,
            method: path.trim_start_matches('/').chars().take(METHOD_CHARACTERS).collect(),
            code: self.code,
            reason: self.reason(notes.reason, event),
            who: notes.who,
            address: self.address,
            user_agent: self.user_agent.as_ref().map(visible),
            target: notes.target,
            suppressed_count: None,
        });
    }
}

/// A user agent in visible ASCII.
fn visible(user_agent: &HeaderValue) -> String {
    let visible = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' };
    user_agent.as_bytes().iter().take(USER_AGENT_CHARACTERS).map(visible).collect()
}
