use std::{collections::HashMap, time::Duration};

use access::{Scope, WORKSPACE_METADATA};
use keyset::{Failure, database_status, internal_status};
use metrics::counter;
use pagination::InvalidArgument;
use tokio::task::JoinError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

pub use quire_proto::requests::ERROR_DOMAIN;

/// The error of a service. Handlers convert it to a [`Status`] with `?`; services build a `Status` in no other way.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is invalid, whatever the state of the data.
    #[error(transparent)]
    InvalidArgument(#[from] InvalidArgument),
    /// The resource does not exist.
    #[error("{0} does not exist")]
    NotFound(Resource),
    /// The resource to create exists already.
    #[error("{0} already exists")]
    AlreadyExists(Resource),
    /// The resource is not in the state that the caller expected.
    #[error("{0} was changed by another call; read it again")]
    Aborted(Resource),
    /// The request is valid, but the current state does not allow it. The text says why.
    #[error("{0}")]
    FailedPrecondition(&'static str),
    /// The caller has reached a limit. The text says which.
    #[error("{message}")]
    Exhausted {
        /// What the caller is told.
        message: &'static str,
        /// The reason in the `google.rpc.ErrorInfo`, in upper snake case.
        reason: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// The call cannot be read: it breaks a rule of gRPC, or a limit on its size. The text says which.
    #[error("{message}")]
    Unreadable {
        /// What the caller is told.
        message: String,
        /// The reason in the `google.rpc.ErrorInfo`, in upper snake case.
        reason: &'static str,
    },
    /// The caller is unknown. The answer is the same for every reason.
    #[error("a valid credential is required")]
    Unauthenticated,
    /// The caller does not have this scope.
    #[error("the scope {0} is required")]
    PermissionDenied(Scope),
    /// The method does not exist.
    #[error("there is no such method")]
    Unimplemented,
    /// The operating system returned no random bytes for a secret.
    #[error("no randomness for a secret: {0}")]
    Random(#[from] getrandom::Error),
    /// Signing an access token failed.
    #[error(transparent)]
    Signing(access::Error),
    /// Encrypting a refresh token failed.
    #[error("a refresh token cannot be encrypted")]
    Sealing,
    /// Work on another thread did not end.
    #[error(transparent)]
    Task(#[from] JoinError),
    /// Fetching a page failed.
    #[error(transparent)]
    List(#[from] keyset::Error),
    /// The database failed.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

impl From<access::Error> for Error {
    fn from(error: access::Error) -> Self {
        match error {
            access::Error::Unauthenticated => Self::Unauthenticated,
            access::Error::PermissionDenied(scope) => Self::PermissionDenied(scope),
            access::Error::UnknownMethod => Self::Unimplemented,
            access::Error::Workspace => InvalidArgument::field(WORKSPACE_METADATA, error.to_string()).into(),
            access::Error::Signing(_) => Self::Signing(error),
        }
    }
}

/// The resource that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The message type, as in `prompts.v1.Prompt`.
    pub kind: &'static str,
    /// The request's field that names the resource, as in `id` or `requests[3].prompt.name`.
    pub field: String,
    /// The value of that field.
    pub name: String,
}

impl std::fmt::Display for Resource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, field, name } = self;
        write!(formatter, "{kind} with {field} {name:?}")
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::InvalidArgument(error) => error.into(),
            Error::NotFound(resource) => about(Code::NotFound, message, "NOT_FOUND", &resource),
            Error::AlreadyExists(resource) => about(Code::AlreadyExists, message, "ALREADY_EXISTS", &resource),
            Error::Aborted(resource) => about(Code::Aborted, message, "ABORTED", &resource),
            Error::FailedPrecondition(_) => Status::failed_precondition(message),
            Error::Exhausted { reason, retry_after, .. } => {
                let mut details = ErrorDetails::new();
                details.set_error_info(reason, ERROR_DOMAIN, HashMap::new());
                details.set_retry_info(Some(retry_after));
                Status::with_error_details(Code::ResourceExhausted, message, details)
            }
            Error::Unreadable { reason, .. } => {
                let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
                Status::with_error_details(Code::InvalidArgument, message, details)
            }
            Error::Unauthenticated => Status::unauthenticated(message),
            Error::PermissionDenied(Scope(scope)) => {
                let mut details = ErrorDetails::new();
                details.set_error_info("PERMISSION_DENIED", ERROR_DOMAIN, [("scope".to_owned(), scope)]);
                Status::with_error_details(Code::PermissionDenied, message, details)
            }
            Error::Unimplemented => Status::unimplemented(message),
            Error::Random(error) => internal_status(&error),
            Error::Signing(error) => internal_status(&error),
            Error::Task(error) => internal_status(&error),
            error @ Error::Sealing => internal_status(&error),
            Error::List(keyset::Error::Request(error)) => error.into(),
            Error::List(keyset::Error::Database(error)) | Error::Database(error) => {
                count_limits(Failure::of(&error));
                database_status(&error)
            }
            Error::List(error @ keyset::Error::TooSlow { .. }) => {
                count_limits(Failure::TooSlow);
                error.into()
            }
            Error::List(error) => error.into(),
        }
    }
}

/// Counts a timeout of the database.
fn count_limits(failure: Failure) {
    let limit = match failure {
        Failure::TooSlow => "statement_timeout",
        Failure::Locked => "lock_timeout",
        Failure::Text
        | Failure::Value
        | Failure::Changed
        | Failure::Exhausted
        | Failure::Conflict
        | Failure::Unavailable
        | Failure::Inside
        // Future kinds.
        | _ => return,
    };
    counter!("limits_reached_total", "limit" => limit).increment(1);
}

fn about(code: Code, message: String, reason: &str, Resource { kind, field, name }: &Resource) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, ERROR_DOMAIN, [("field".to_owned(), field.clone())]);
    details.set_resource_info(*kind, name, "", &message);
    Status::with_error_details(code, message, details)
}
