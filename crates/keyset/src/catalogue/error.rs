use std::fmt::{self, Write};

use crate::error::hint;

/// Why a list cannot be opened.
///
/// Its text has a line for each problem, and below that the SQL that solves it. `Debug` writes the same text, because
/// that is what a `main` which returns the error prints. [`CatalogueError::script`] is the SQL as a file for `psql`.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// The declaration does not match the database, or contradicts itself.
    #[error("{}", lines(list, problems))]
    Declaration {
        /// The name of the list.
        list: &'static str,
        /// All problems, at least one.
        problems: Vec<Problem>,
    },
    /// The database could not be asked.
    #[error("the list {list}: {}", message(source))]
    Database {
        /// The name of the list.
        list: &'static str,
        /// The error from Postgres.
        source: sqlx::Error,
    },
}

/// One reason why a list cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, and what to do if SQL alone does not solve it.
    pub what: String,
    /// SQL that solves it: statements that each end with a semicolon and a line.
    pub fix: Option<String>,
}

impl fmt::Debug for CatalogueError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl CatalogueError {
    /// The problems; none if the database could not be asked.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Declaration { problems, .. } => problems,
            Self::Database { .. } => &[],
        }
    }

    /// The SQL that solves the problems, for `psql -f`. Each statement follows a comment that says why. A problem that SQL
    /// does not solve is only a comment.
    ///
    /// It must not run in a transaction, because it creates indexes without blocking writes.
    pub fn script(&self) -> String {
        match self {
            Self::Declaration { list, problems } => {
                let mut script = comment(&format!("The list {list}"));
                for Problem { what, fix } in problems {
                    script += "\n";
                    script += &comment(what);
                    script += fix.as_deref().unwrap_or_default();
                }
                script
            }
            Self::Database { .. } => comment(&self.to_string()),
        }
    }
}

fn comment(text: &str) -> String {
    text.split(['\n', '\r']).fold(String::new(), |comment, line| comment + "-- " + line + "\n")
}

fn lines(list: &str, problems: &[Problem]) -> String {
    let mut text = String::new();
    for Problem { what, fix } in problems {
        // Writing to a String never fails.
        let _: fmt::Result = write!(text, "{}the list {list}: {what}", if text.is_empty() { "" } else { "\n" });
        for line in fix.iter().flat_map(|fix| fix.lines()) {
            text.push_str("\n    ");
            text.push_str(line);
        }
    }
    text
}

/// The message of the error, without the place in Postgres's source that reported it.
pub(super) fn message(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(database) => format!("{}{}", database.message(), hint(error)),
        None if is_unknown_type(error) => {
            format!("sqlx cannot read one of the types, such as a multirange; cast it to text ({error})")
        }
        None => error.to_string(),
    }
}

/// Whether sqlx looked a type up and does not know its kind.
pub(super) fn is_unknown_type(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::TypeNotFound { .. })
}
