use std::{collections::HashMap, fmt::Write};

use super::{lexeme, reader::read, unplaced};

/// The largest position of Postgres. All further positions are recorded as this one.
pub(super) const LAST_POSITION: usize = 16_383;
/// How many positions of a lexeme are recorded. Postgres allows 256.
const MAX_POSITIONS: usize = 255;
/// The most bytes of the lexemes and positions in a vector. Postgres allows 1,048,575.
const MAX_VECTOR_BYTES: usize = 1_000_000;

/// The words of a memory, as the text of a `tsvector`.
///
/// The workspace is one more lexeme. It has a space, which no word of a content has. So what is looked up for one
/// workspace is not looked up in the others.
///
/// If the words have more bytes than a vector can hold, those that occur first are kept, as `RecallMemoriesRequest.query`
/// says.
pub fn word_vector(workspace: &str, content: &str) -> String {
    let mut vector = format!("'workspace {workspace}'");
    let mut bytes = vector.len();
    for (lexeme, positions) in lexemes(content) {
        // Also two bytes for the number of positions, and one to align them.
        bytes += lexeme.len() + 3 + 2 * positions.len();
        if bytes > MAX_VECTOR_BYTES {
            break;
        }
        push(&mut vector, &lexeme, &positions);
    }
    vector
}

/// The lexemes of a text and their positions, in the order of their first positions.
fn lexemes(content: &str) -> Vec<(String, Vec<u16>)> {
    let mut words: HashMap<String, Vec<u16>> = HashMap::new();
    let mut is_long = false;
    read(content, |word, position, _| {
        let position = position + 1;
        is_long |= position > LAST_POSITION;
        // It is at most 16,383.
        let position = position.min(LAST_POSITION) as u16;
        match words.get_mut(word) {
            Some(positions) => add(positions, position),
            None => drop(words.insert(word.to_owned(), vec![position])),
        }
    });
    let mut lexemes: HashMap<String, Vec<u16>> = HashMap::new();
    for (word, positions) in words {
        lexemes.entry(lexeme(&word)).or_default().extend(positions);
    }
    let mut unplaced_lexemes: Vec<_> = is_long.then(|| (unplaced(""), vec![1])).into_iter().collect();
    for (lexeme, positions) in &mut lexemes {
        positions.sort_unstable();
        positions.dedup();
        if positions.len() > MAX_POSITIONS {
            positions.truncate(MAX_POSITIONS);
            unplaced_lexemes.push((unplaced(lexeme), vec![1]));
        }
    }
    unplaced_lexemes.extend(lexemes);
    unplaced_lexemes.sort_by(|(one, at), (other, other_at)| (at.first(), one).cmp(&(other_at.first(), other)));
    unplaced_lexemes
}

/// Adds a position that is not before the others, until there is one too many.
fn add(positions: &mut Vec<u16>, position: u16) {
    if positions.len() <= MAX_POSITIONS && positions.last() != Some(&position) {
        positions.push(position);
    }
}

/// Writes `'lexeme':1,2`.
fn push(vector: &mut String, lexeme: &str, positions: &[u16]) {
    // Writing to a string does not fail.
    let _ = write!(vector, " '{lexeme}'");
    for (place, position) in positions.iter().enumerate() {
        let _ = write!(vector, "{}{position}", if place == 0 { ':' } else { ',' });
    }
}
