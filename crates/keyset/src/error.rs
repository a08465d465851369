use pagination::{InvalidArgument, SealError};
use sqlx::postgres::PgDatabaseError;

use crate::Unfit;

/// Why a page could not be fetched.
///
/// With the feature `tonic` it converts into a `tonic::Status`. Otherwise choose the answer by the variant, and by the
/// [`Failure`] of a database error. Only the texts of [`Error::Request`] and [`Error::TooSlow`] are meant for the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request is wrong. The caller is told why.
    #[error(transparent)]
    Request(#[from] InvalidArgument),
    /// Postgres failed, or could not be reached.
    #[error("database error: {source}{hint}", source = .0, hint = hint(.0))]
    Database(#[from] sqlx::Error),
    /// The page took too long in the database, and its statement was cancelled. The caller is told how to narrow the
    /// request.
    #[error("the page took too long in the database; {}", narrower(.filters))]
    TooSlow {
        /// The filters that the request does not have.
        filters: Vec<&'static str>,
    },
    /// The service uses its list wrongly, or the list's declaration does not match its rows.
    #[error("the list {list}: {mistake}")]
    Listing {
        /// The name of the list.
        list: &'static str,
        /// What is wrong.
        mistake: String,
    },
    /// The list does not match the database any more, and could not be opened again.
    #[error("the list {list}: {mistake}")]
    Outdated {
        /// The name of the list.
        list: &'static str,
        /// What does not match.
        mistake: String,
    },
    /// No message can carry the first row of the page.
    #[error(
        "no message can carry the row with {row}; to continue behind it, use the page token in the error's details"
    )]
    Row {
        /// The name of the list.
        list: &'static str,
        /// The row's keys and their values.
        row: String,
        /// Why it does not fit.
        reason: Unfit,
        /// The page token of the page behind the row.
        page_token: String,
        /// The `domain` of the `google.rpc.ErrorInfo`.
        error_domain: &'static str,
    },
    /// A page token could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Error {
    /// Whether the list may have to be opened again.
    pub(crate) fn is_outdated(&self) -> bool {
        match self {
            Self::Outdated { .. } => true,
            Self::Database(error) => Failure::of(error) == Failure::Changed,
            Self::Request(_) | Self::TooSlow { .. } | Self::Listing { .. } | Self::Row { .. } | Self::Seal(_) => false,
        }
    }
}

fn narrower(filters: &[&str]) -> String {
    match filters {
        [] => "ask for a smaller page".to_owned(),
        filters => format!("narrow it by {}", filters.join(", ")),
    }
}

/// The kinds of failure of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// A text contains a character that Postgres cannot store.
    Text,
    /// A text is not a value of the type that it is cast to, or a value is out of range.
    Value,
    /// A resource is used up.
    Exhausted,
    /// The statement was cancelled, because it ran too long.
    TooSlow,
    /// The statement waited too long for a lock.
    Locked,
    /// A deadlock or a serialization failure. The transaction can be tried again.
    Conflict,
    /// The database cannot be reached or cannot serve now.
    Unavailable,
    /// The statement does not match the database: a table, column, function or type has changed since it was written or
    /// prepared.
    Changed,
    /// Anything else.
    Inside,
}

impl Failure {
    /// The kind of this error.
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(_) if is_outdated_plan(error) => Self::Changed,
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
        const NUMERIC_VALUE_OUT_OF_RANGE: &str = "22003";
        const INVALID_DATETIME_FORMAT: &str = "22007";
        const DATETIME_FIELD_OVERFLOW: &str = "22008";
        const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";
        const INVALID_TEXT_REPRESENTATION: &str = "22P02";
        const INVALID_BINARY_REPRESENTATION: &str = "22P03";
        const UNTRANSLATABLE_CHARACTER: &str = "22P05";
        const UNDEFINED_COLUMN: &str = "42703";
        const DATATYPE_MISMATCH: &str = "42804";
        const UNDEFINED_FUNCTION: &str = "42883";
        const UNDEFINED_TABLE: &str = "42P01";
        const READ_ONLY_SQL_TRANSACTION: &str = "25006";
        const SERIALIZATION_FAILURE: &str = "40001";
        const DEADLOCK_DETECTED: &str = "40P01";
        const TOO_MANY_CONNECTIONS: &str = "53300";
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        const QUERY_CANCELED: &str = "57014";
        const ADMIN_SHUTDOWN: &str = "57P01";
        const CRASH_SHUTDOWN: &str = "57P02";
        const CANNOT_CONNECT_NOW: &str = "57P03";
        const IDLE_SESSION_TIMEOUT: &str = "57P05";
        const PROTOCOL_VIOLATION: &str = "08P01";
        const CONNECTION_EXCEPTION_CLASS: &str = "08";
        const INSUFFICIENT_RESOURCES_CLASS: &str = "53";

        match state {
            CHARACTER_NOT_IN_REPERTOIRE | UNTRANSLATABLE_CHARACTER => Self::Text,
            NUMERIC_VALUE_OUT_OF_RANGE
            | INVALID_DATETIME_FORMAT
            | DATETIME_FIELD_OVERFLOW
            | INVALID_TEXT_REPRESENTATION => Self::Value,
            INVALID_BINARY_REPRESENTATION
            | UNDEFINED_COLUMN
            | DATATYPE_MISMATCH
            | UNDEFINED_FUNCTION
            | UNDEFINED_TABLE => Self::Changed,
            QUERY_CANCELED => Self::TooSlow,
            LOCK_NOT_AVAILABLE => Self::Locked,
            SERIALIZATION_FAILURE | DEADLOCK_DETECTED => Self::Conflict,
            READ_ONLY_SQL_TRANSACTION
            | TOO_MANY_CONNECTIONS
            | ADMIN_SHUTDOWN
            | CRASH_SHUTDOWN
            | CANNOT_CONNECT_NOW
            | IDLE_SESSION_TIMEOUT => Self::Unavailable,
            // It does not pass by itself: a pooler may have lost a prepared statement.
            PROTOCOL_VIOLATION => Self::Inside,
            state if state.starts_with(CONNECTION_EXCEPTION_CLASS) => Self::Unavailable,
            state if state.starts_with(INSUFFICIENT_RESOURCES_CLASS) => Self::Exhausted,
            _ => Self::Inside,
        }
    }
}

/// What is wrong around the database, if this error tells, to be written after it.
pub(crate) fn hint(error: &sqlx::Error) -> &'static str {
    if has_lost_statement(error) {
        "; a pooler between this program and Postgres loses prepared statements: PgBouncer needs version 1.21 or later and \
         max_prepared_statements above 0"
    } else {
        ""
    }
}

/// Whether a statement that was prepared does not exist, or exists already.
pub(crate) fn has_lost_statement(error: &sqlx::Error) -> bool {
    const INVALID_SQL_STATEMENT_NAME: &str = "26000";
    const DUPLICATE_PREPARED_STATEMENT: &str = "42P05";
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some(INVALID_SQL_STATEMENT_NAME | DUPLICATE_PREPARED_STATEMENT))
}

/// Whether Postgres has a plan of the statement whose result would have other types now. Its code is also that of features
/// that Postgres does not have, and its text is translated.
pub(crate) fn is_outdated_plan(error: &sqlx::Error) -> bool {
    const FEATURE_NOT_SUPPORTED: &str = "0A000";
    let Some(error) = error.as_database_error() else { return false };
    let routine = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine);
    error.code().as_deref() == Some(FEATURE_NOT_SUPPORTED) && routine == Some("RevalidateCachedQuery")
}

/// Whether the statement did not run because an earlier one of its transaction has failed.
pub(crate) fn is_in_failed_transaction(error: &sqlx::Error) -> bool {
    const IN_FAILED_SQL_TRANSACTION: &str = "25P02";
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some(IN_FAILED_SQL_TRANSACTION)
}
