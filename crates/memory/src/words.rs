//! The words of a text, and of a query: one rule for both, and none that depends on the database.
//!
//! A word is a run of letters, digits and marks: a finer split than the word boundaries of Unicode (UAX #29). Letters of
//! scripts without spaces between words are taken in pairs. So the text of a path or a URL is several words that follow
//! each other, and a query with that path asks for them in this order. Words are compared in compatibility form (NFKC),
//! without case, and without English inflection.

mod class;
mod english;
mod query;
mod reader;
mod vector;

pub use query::{MAX_QUERY_WORDS, WordQuery};
pub use vector::word_vector;

use std::fmt::Write;

use sha2::{Digest, Sha256};
use tokio::task::{JoinError, spawn_blocking, yield_now};

/// The longest lexeme in bytes. Postgres allows 2,046, but shorter ones keep the index small.
const MAX_LEXEME_BYTES: usize = 128;

/// The longest text that is taken apart between other work: this takes less than a few milliseconds.
const MAX_INLINE_BYTES: usize = 4 << 10;

/// Takes a text apart. A long one takes up to 0.2 s, so this is done on a thread for blocking work.
///
/// # Errors
///
/// [`JoinError`] when the program ends.
pub(crate) async fn take_apart<T: Send + 'static>(
    text: &str,
    how: impl FnOnce(&str) -> T + Send + 'static,
) -> Result<T, JoinError> {
    if text.len() <= MAX_INLINE_BYTES {
        // A batch has many texts, and other calls get a turn in between.
        yield_now().await;
        return Ok(how(text));
    }
    let text = text.to_owned();
    spawn_blocking(move || how(&text)).await
}

/// The [`word_vector`] of a content.
///
/// # Errors
///
/// [`JoinError`] when the program ends.
pub(crate) async fn words_of(workspace: &str, content: &str) -> Result<String, JoinError> {
    let workspace = workspace.to_owned();
    take_apart(content, move |content| word_vector(&workspace, content)).await
}

/// What a word is stored and looked up as: its stem, or a hash if it is long.
///
/// It has no quote, backslash or space, because a word has none.
fn lexeme(word: &str) -> String {
    if word.len() > MAX_LEXEME_BYTES {
        return hash(word);
    }
    english::stem(word).into_owned()
}

/// The first 128 bits of the SHA-256 of a word.
fn hash(word: &str) -> String {
    Sha256::digest(word.as_bytes()).iter().take(16).fold(String::from("sha256:"), |mut hash, byte| {
        // Writing to a string does not fail.
        let _ = write!(hash, "{byte:02x}");
        hash
    })
}

/// A further lexeme of a memory in which this lexeme also occurs at positions that are not recorded, because a vector
/// holds 255 of each. With an empty lexeme: in which nothing is recorded of the positions after the 16,383rd.
///
/// It has a space, which no word has.
fn unplaced(lexeme: &str) -> String {
    format!("{lexeme} unplaced")
}
