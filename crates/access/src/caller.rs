use std::{collections::BTreeSet, fmt, sync::Arc};

use tonic::{Request, Status};
use uuid::Uuid;

use crate::Error;

/// The caller of a method. [`Access`](crate::Access) identifies it before the call reaches the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The workspace of everything that the call reads and writes: 1 to 63 of `[a-z0-9-]`.
    pub workspace: String,
    /// The program or person that calls; empty without authentication.
    pub subject: String,
    /// The scopes of the caller.
    pub scopes: Arc<BTreeSet<Scope>>,
    /// The session of the caller's access token; `None` without authentication.
    pub session: Option<Uuid>,
}

impl Caller {
    /// The caller of this request.
    ///
    /// # Errors
    ///
    /// UNAUTHENTICATED when [`Access`](crate::Access) has not admitted the call.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let caller = request.extensions().get::<Self>().cloned();
        caller.ok_or_else(|| Status::unauthenticated(Error::Unauthenticated.to_string()))
    }

    /// Checks that the caller has this scope.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`].
    pub fn check(&self, scope: &Scope) -> Result<(), Error> {
        if self.scopes.contains(scope) { Ok(()) } else { Err(Error::PermissionDenied(scope.clone())) }
    }

    /// Checks that the caller has all of these scopes.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for the first one that it does not have.
    pub fn check_all(&self, scopes: &[String]) -> Result<(), Error> {
        scopes.iter().try_for_each(|scope| self.check(&Scope(scope.clone())))
    }
}

/// A permission for one service: `<service>:read` or `<service>:write`, as in `memory:read`, or a further scope that a
/// method declares. The service is the first part of its package. No scope includes another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope(pub String);

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
