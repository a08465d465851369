use std::{fmt, str::FromStr};

/// A place in a walk. A walk that [resumes](super::Walk::resume) there returns the next row first.
///
/// It can be written as text and read by another process, for as long as the page token is valid. It is valid for the
/// request that the walk was made with: its filters and order.
///
/// A place within a page is a number of rows of that page. If rows of that page are inserted or deleted before the walk
/// is resumed, it can be off by as many rows. A place at the end of a page (`given` is 0) never is.
///
/// The text is one line, such as `forward 17 token`, if the page token is one. It is read with or without the white
/// space at its end, so it can be a line of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The page token of the page; empty for the first page.
    pub page_token: String,
    /// How many rows of that page were returned already, in the order of the walk.
    pub given: u64,
    /// Whether the walk goes [backward](super::Walk::backward).
    pub is_backward: bool,
}

/// The text is not a [`Checkpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the checkpoint of a walk, such as `forward 17 token`")]
pub struct CheckpointError;

const FORWARD: &str = "forward";
const BACKWARD: &str = "backward";

impl fmt::Display for Checkpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.is_backward { BACKWARD } else { FORWARD };
        write!(formatter, "{direction} {} {}", self.given, self.page_token)
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let mut parts = text.trim_end().splitn(3, ' ');
        let (Some(direction), Some(given)) = (parts.next(), parts.next()) else { return Err(CheckpointError) };
        // The first page has none.
        let token = parts.next().unwrap_or_default();
        let is_backward = match direction {
            FORWARD => false,
            BACKWARD => true,
            _ => return Err(CheckpointError),
        };
        let given = given.parse().map_err(|_: std::num::ParseIntError| CheckpointError)?;
        Ok(Self { page_token: token.to_owned(), given, is_backward })
    }
}
