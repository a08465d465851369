use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::Caller;
use tonic::{Request, codegen::http};
use uuid::Uuid;

/// What the audit log says about a call besides its method and outcome. Each call to a server has one in its extensions;
/// clones share it. A handler notes ids before it runs a statement, so that a call that is abandoned is logged with them.
///
/// Never note a secret, a token, or a part of one.
#[derive(Debug, Clone, Default)]
pub struct Audit(Arc<Mutex<AuditNotes>>);

/// The notes about a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditNotes {
    /// Who calls.
    pub who: AuditCaller,
    /// What the call makes or ends.
    pub target: AuditTarget,
    /// Why the call failed, in upper snake case, if its status does not say.
    pub reason: Option<&'static str>,
}

/// Who calls. Before a secret is verified, it is who the secret claims to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditCaller {
    /// The workspace.
    pub workspace: Option<String>,
    /// The program or person. Only a verified secret or access token sets it.
    pub subject: Option<String>,
    /// The session of the access token. Only the check of an access token sets it.
    pub session_id: Option<Uuid>,
    /// The API key whose secret was sent, or the one of the session.
    pub api_key_id: Option<Uuid>,
}

/// What a call makes or ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditTarget {
    /// An API key.
    pub api_key_id: Option<Uuid>,
    /// A session.
    pub session_id: Option<Uuid>,
    /// Whose keys or sessions.
    pub subject: Option<String>,
    /// The scopes of a new key or session.
    pub scopes: Vec<String>,
    /// How many sessions and keys the call has ended.
    pub ended_count: Option<i64>,
}

impl Audit {
    /// The notes about the call of this request. Without a server they go nowhere.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// As [`Audit::of`], before the message is decoded.
    pub fn of_http<B>(request: &http::Request<B>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// Adds to the notes.
    pub fn note(&self, add: impl FnOnce(&mut AuditNotes)) {
        add(&mut self.lock());
    }

    /// Takes the notes so far.
    pub fn take(&self) -> AuditNotes {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, AuditNotes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Caller> for AuditCaller {
    fn from(caller: &Caller) -> Self {
        Self {
            workspace: Some(caller.workspace.clone()),
            subject: Some(caller.subject.clone()),
            session_id: caller.session,
            api_key_id: None,
        }
    }
}
