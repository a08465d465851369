use std::{collections::BTreeSet, fmt, sync::Arc};

use tonic::{Request, Status};
use uuid::Uuid;

use crate::Error;

/// The metadata that names the workspace of a call while there is no authentication.
pub const WORKSPACE_METADATA: &str = "quire-workspace";

/// The workspace of a call that names none, while there is no authentication.
pub const DEFAULT_WORKSPACE: &str = "default";

/// Who is calling. [`Access`](crate::Access) finds it out before a call reaches its service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The workspace that everything in the call belongs to: 1 to 63 of `[a-z0-9-]`.
    pub workspace: String,
    /// The program or person that calls; empty while there is no authentication.
    pub subject: String,
    /// What the caller may do.
    pub scopes: Arc<BTreeSet<Scope>>,
    /// The session whose access token the caller has; none while there is no authentication.
    pub session: Option<Uuid>,
}

impl Caller {
    /// Who makes this call.
    ///
    /// # Errors
    ///
    /// UNAUTHENTICATED when [`Access`](crate::Access) has not admitted the call.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let caller = request.extensions().get::<Self>().cloned();
        caller.ok_or_else(|| Status::unauthenticated(Error::Unauthenticated.to_string()))
    }
}

/// Whether this can be the name of a workspace: 1 to 63 of `[a-z0-9-]`.
pub fn is_workspace(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// What a caller may do with a service: `<service>:read` or `<service>:write`, where the service is the first part of its
/// package, as in `memory:read`. Neither includes the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope(pub String);

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
