use access::{Scope, WORKSPACE_METADATA};
use keyset::{database_status, internal_status};
use pagination::InvalidArgument;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of every `google.rpc.ErrorInfo` that Quire sends.
pub const ERROR_DOMAIN: &str = "quire";

/// What a service fails with. Handlers convert it to a [`Status`] with `?`; nothing else builds one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong whatever the state of the data.
    #[error(transparent)]
    InvalidArgument(#[from] InvalidArgument),
    /// What was asked for is not there.
    #[error("{0} does not exist")]
    NotFound(Resource),
    /// What was to be made is there already.
    #[error("{0} already exists")]
    AlreadyExists(Resource),
    /// What was to be changed is not as the caller took it to be.
    #[error("{0} has changed meanwhile; read it again")]
    Aborted(Resource),
    /// The request is right, and cannot be done in the state that things are in: why not.
    #[error("{0}")]
    FailedPrecondition(&'static str),
    /// It is not known who calls. Every reason gets the same answer.
    #[error("a valid credential is required")]
    Unauthenticated,
    /// The caller does not have this scope.
    #[error("the scope {0} is required")]
    PermissionDenied(Scope),
    /// There is no such method.
    #[error("there is no such method")]
    Unimplemented,
    /// The operating system has no randomness for a secret.
    #[error("no randomness for a secret: {0}")]
    Random(#[from] getrandom::Error),
    /// An access token cannot be signed.
    #[error(transparent)]
    Signing(access::Error),
    /// A page cannot be given.
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

/// A thing that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The message type, as in `prompts.v1.Prompt`.
    pub kind: &'static str,
    /// The field that names it, as in `id` or `requests[3].prompt.name`.
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
            Error::Unauthenticated => Status::unauthenticated(message),
            Error::PermissionDenied(Scope(scope)) => {
                let mut details = ErrorDetails::new();
                details.set_error_info("PERMISSION_DENIED", ERROR_DOMAIN, [("scope".to_owned(), scope)]);
                Status::with_error_details(Code::PermissionDenied, message, details)
            }
            Error::Unimplemented => Status::unimplemented(message),
            Error::Random(error) => internal_status(&error),
            Error::Signing(error) => internal_status(&error),
            Error::List(keyset::Error::Request(error)) => error.into(),
            Error::List(keyset::Error::Database(error)) | Error::Database(error) => database_status(&error),
            Error::List(error @ (keyset::Error::Listing { .. } | keyset::Error::Seal(_))) => internal_status(&error),
        }
    }
}

fn about(code: Code, message: String, reason: &str, Resource { kind, field, name }: &Resource) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, ERROR_DOMAIN, [("field".to_owned(), field.clone())]);
    details.set_resource_info(*kind, name, "", &message);
    Status::with_error_details(code, message, details)
}
