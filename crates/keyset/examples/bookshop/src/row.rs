//! A row of the table, and the message that it becomes.

use sqlx::{FromRow, types::time::OffsetDateTime};

use crate::proto::Book;

/// A row of `books`.
#[derive(Debug, Clone, FromRow)]
pub struct BookRow {
    /// The number that the shop knows it by.
    pub id: i64,
    /// Its ISBN.
    pub isbn: String,
    /// Its title.
    pub title: String,
    /// The shelf it stands on.
    pub shelf: String,
    /// Whether its author has signed it.
    pub signed: bool,
    /// When it was printed, if anybody knows.
    pub print_time: Option<OffsetDateTime>,
}

impl From<BookRow> for Book {
    fn from(row: BookRow) -> Self {
        Self {
            id: row.id,
            isbn: row.isbn,
            title: row.title,
            shelf: row.shelf,
            signed: row.signed,
            print_time_seconds: row.print_time.map(OffsetDateTime::unix_timestamp),
        }
    }
}
