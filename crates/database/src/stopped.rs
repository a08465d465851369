use std::{error::Error, fmt};

use sqlx::error::{DatabaseError, ErrorKind};

/// The error of a statement that was stopped because it was slow while another tenant waited. It has the SQLSTATE of a
/// cancelled statement, as Postgres answers to `statement_timeout`.
#[derive(Debug)]
pub(crate) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

impl Error for Stopped {}

impl DatabaseError for Stopped {
    fn message(&self) -> &str {
        "the statement was stopped, because it was slow and another tenant waited"
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some("57014".into())
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}
