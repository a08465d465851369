use std::fmt;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{Error, Failure, Rarely, Unfit, error::hint, reference::logged};

impl From<Error> for Status {
    /// Tells the caller everything that is wrong with the request, and nothing about internal errors. See
    /// [`database_status`] and [`internal_status`].
    fn from(error: Error) -> Self {
        match error {
            Error::Request(error) => error.into(),
            Error::Database(error) => database_status(&error),
            Error::TooSlow { .. } => Status::resource_exhausted(error.to_string()),
            Error::Listing { .. } | Error::Outdated { .. } | Error::Seal(_) => internal_status(&error),
            Error::Row { list, row, reason, page_token, error_domain } => {
                static LOGGED: Rarely = Rarely::new();
                if let Some(times) = LOGGED.times() {
                    tracing::warn!(list, row, %reason, times, "no message can carry a row");
                }
                let (code, reason) = match reason {
                    Unfit::TooLarge(_) => (Code::ResourceExhausted, "ROW_TOO_LARGE"),
                    Unfit::Value(_) => (Code::Internal, "ROW_INVALID"),
                };
                let message = format!(
                    "no message can carry the row with {row}; to continue behind it, use the page_token of the details"
                );
                let metadata = [("row".to_owned(), row), ("page_token".to_owned(), page_token)];
                let details = ErrorDetails::with_error_info(reason, error_domain, metadata);
                Status::with_error_details(code, message, details)
            }
        }
    }
}

/// INTERNAL, with a reference under which the error is logged.
pub fn internal_status(error: &dyn std::error::Error) -> Status {
    internal(error)
}

fn internal(error: impl fmt::Display) -> Status {
    let reference = logged(error.to_string());
    Status::internal(format!("internal error; its reference in the log is {reference}"))
}

/// The status for a failure of the database. It tells the caller whether to retry, and contains none of the database's
/// own text.
///
/// - UNAVAILABLE: the database cannot be reached, or cannot serve the statement now, for example because it allows no
///   more connections or shuts down.
/// - RESOURCE_EXHAUSTED: all connections of the pool stay in use, Postgres lacks memory or disk space, or the statement
///   was cancelled because it ran too long.
/// - ABORTED: other calls held a lock for too long, or Postgres has detected a deadlock or a serialization failure.
/// - INVALID_ARGUMENT: a text contains a character that Postgres cannot store, or is not a value of the type that it is
///   cast to; a number, date or time is out of range.
/// - [INTERNAL](internal_status): everything else.
pub fn database_status(error: &sqlx::Error) -> Status {
    match Failure::of(error) {
        Failure::Text => Status::invalid_argument("a text contains a character that cannot be stored, such as NUL"),
        Failure::Value => Status::invalid_argument("a text is not a value of its type, or a value is out of range"),
        Failure::Exhausted => Status::resource_exhausted("the database is at its limit; try again later"),
        Failure::TooSlow => Status::resource_exhausted("the call took too long in the database; ask for less at once"),
        Failure::Locked | Failure::Conflict => Status::aborted("other calls hold the same records; try again"),
        Failure::Unavailable => {
            static LOGGED: Rarely = Rarely::new();
            if let Some(times) = LOGGED.times() {
                tracing::warn!(%error, times, "the database is unavailable");
            }
            Status::unavailable("the database is unavailable; try again")
        }
        Failure::Changed | Failure::Inside => internal(format_args!("{error}{}", hint(error))),
    }
}
