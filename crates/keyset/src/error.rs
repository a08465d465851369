use pagination::{InvalidArgument, SealError};
use tonic::Status;

/// Why a page cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong: what to tell the caller.
    #[error(transparent)]
    Request(#[from] InvalidArgument),
    /// Postgres failed, or could not be reached.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// The service uses its list wrongly, or the list's declaration is not true of its rows.
    #[error("the list {list}: {mistake}")]
    Listing {
        /// The name of the list.
        list: &'static str,
        /// What is wrong.
        mistake: String,
    },
    /// A page token could not be made.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl From<Error> for Status {
    /// What a caller is told: all of what is wrong with the request, and nothing of what is wrong inside. See
    /// [`database_status`] and [`internal_status`].
    fn from(error: Error) -> Self {
        match error {
            Error::Request(error) => error.into(),
            Error::Database(error) => database_status(&error),
            Error::Listing { .. } | Error::Seal(_) => internal_status(&error),
        }
    }
}

/// INTERNAL, with a reference under which the error itself is logged.
pub fn internal_status(error: &dyn std::error::Error) -> Status {
    let reference = reference();
    tracing::error!(reference, %error, "internal error");
    Status::internal(format!("internal error; its reference in the log is {reference}"))
}

/// What a caller is told of a failure of the database: whether to try again, and none of the database's own text.
///
/// UNAVAILABLE when the database cannot be reached or says that it cannot serve now, also for want of connections,
/// RESOURCE_EXHAUSTED when all connections of the pool stay in use or Postgres lacks memory or disk, INVALID_ARGUMENT when a text holds what Postgres cannot keep, otherwise
/// [INTERNAL](internal_status).
pub fn database_status(error: &sqlx::Error) -> Status {
    match Failure::of(error) {
        Failure::Text => Status::invalid_argument("a text holds a character that cannot be kept, such as NUL"),
        Failure::Exhausted => Status::resource_exhausted("the database is at its limit; try again later"),
        Failure::Unavailable => {
            tracing::warn!(%error, "the database is unavailable");
            Status::unavailable("the database is unavailable; try again")
        }
        Failure::Inside => internal_status(error),
    }
}

/// The kinds of failure that a caller can tell apart.
enum Failure {
    /// A text that Postgres cannot keep.
    Text,
    /// There is nothing left of a resource.
    Exhausted,
    /// There is no database to talk to, or it does not serve now.
    Unavailable,
    /// A statement, a type or a value that should not have come this far.
    Inside,
}

impl Failure {
    fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => error.code().map_or(Self::Inside, |state| Self::of_state(&state)),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable
            }
            sqlx::Error::PoolTimedOut => Self::Exhausted,
            sqlx::Error::Configuration(_)
            | sqlx::Error::InvalidArgument(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::AnyDriverError(_)
            | sqlx::Error::InvalidSavePointStatement
            | sqlx::Error::BeginFailed
            // What sqlx adds, or has behind features that are off here.
            | _ => Self::Inside,
        }
    }

    /// By [SQLSTATE](https://www.postgresql.org/docs/current/errcodes-appendix.html).
    fn of_state(state: &str) -> Self {
        const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";
        const READ_ONLY_SQL_TRANSACTION: &str = "25006";
        const SERIALIZATION_FAILURE: &str = "40001";
        const DEADLOCK_DETECTED: &str = "40P01";
        const TOO_MANY_CONNECTIONS: &str = "53300";
        const QUERY_CANCELED: &str = "57014";
        const ADMIN_SHUTDOWN: &str = "57P01";
        const CRASH_SHUTDOWN: &str = "57P02";
        const CANNOT_CONNECT_NOW: &str = "57P03";
        const IDLE_SESSION_TIMEOUT: &str = "57P05";
        const CONNECTION_EXCEPTION_CLASS: &str = "08";
        const INSUFFICIENT_RESOURCES_CLASS: &str = "53";

        match state {
            CHARACTER_NOT_IN_REPERTOIRE => Self::Text,
            READ_ONLY_SQL_TRANSACTION
            | SERIALIZATION_FAILURE
            | DEADLOCK_DETECTED
            | TOO_MANY_CONNECTIONS
            | QUERY_CANCELED
            | ADMIN_SHUTDOWN
            | CRASH_SHUTDOWN
            | CANNOT_CONNECT_NOW
            | IDLE_SESSION_TIMEOUT => Self::Unavailable,
            state if state.starts_with(CONNECTION_EXCEPTION_CLASS) => Self::Unavailable,
            state if state.starts_with(INSUFFICIENT_RESOURCES_CLASS) => Self::Exhausted,
            _ => Self::Inside,
        }
    }
}

fn reference() -> String {
    let random = getrandom::u64().unwrap_or_default();
    format!("{random:016x}")
}
