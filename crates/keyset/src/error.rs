use pagination::{InvalidArgument, SealError};
use tonic::Status;

/// Why a page could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong. The caller is told why.
    #[error(transparent)]
    Request(#[from] InvalidArgument),
    /// Postgres failed, or could not be reached.
    #[error("database error: {0}")]
    Database(#[from] sqlx::Error),
    /// The service uses its list wrongly, or the list's declaration does not match its rows.
    #[error("the list {list}: {mistake}")]
    Listing {
        /// The name of the list.
        list: &'static str,
        /// What is wrong.
        mistake: String,
    },
    /// A page token could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl From<Error> for Status {
    /// Tells the caller everything that is wrong with the request, and nothing about internal errors. See
    /// [`database_status`] and [`internal_status`].
    fn from(error: Error) -> Self {
        match error {
            Error::Request(error) => error.into(),
            Error::Database(error) => database_status(&error),
            Error::Listing { .. } | Error::Seal(_) => internal_status(&error),
        }
    }
}

/// INTERNAL, with a reference under which the error is logged.
pub fn internal_status(error: &dyn std::error::Error) -> Status {
    let reference = reference();
    tracing::error!(reference, %error, "internal error");
    Status::internal(format!("internal error; its reference in the log is {reference}"))
}

/// The status for a failure of the database. It tells the caller whether to retry, and contains none of the database's
/// own text.
///
/// - UNAVAILABLE: the database cannot be reached, or cannot serve the statement now, for example because it allows no
///   more connections, shuts down or has detected a deadlock.
/// - RESOURCE_EXHAUSTED: all connections of the pool stay in use, or Postgres lacks memory or disk space.
/// - INVALID_ARGUMENT: a text contains a character that Postgres cannot store.
/// - [INTERNAL](internal_status): everything else.
pub fn database_status(error: &sqlx::Error) -> Status {
    match Failure::of(error) {
        Failure::Text => Status::invalid_argument("a text contains a character that cannot be stored, such as NUL"),
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
    /// A text contains a character that Postgres cannot store.
    Text,
    /// A resource is used up.
    Exhausted,
    /// The database cannot be reached or cannot serve now.
    Unavailable,
    /// Anything else, such as a wrong statement, type or value.
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
            // Future variants, and those of sqlx features that are off here.
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
