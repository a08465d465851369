use std::{collections::HashSet, iter::once};

use super::{
    class::begins_word,
    english::is_stop_word,
    lexeme,
    reader::{Kind, read},
    unplaced,
    vector::LAST_POSITION,
};

/// The maximum number of words that a query asks for. The cost of ranking grows with its square: with 24 words, to rank as
/// many positions as a query may takes half a second.
pub const MAX_QUERY_WORDS: usize = 24;

/// A query of words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordQuery {
    /// The text of a `tsquery`. Empty if the query has no words; then nothing matches.
    pub text: String,
    /// How many words of the query are not asked for, because it has more than [`MAX_QUERY_WORDS`].
    pub omitted_words: usize,
}

impl WordQuery {
    /// Reads a query. A memory must contain all terms; a term is what spaces separate, or a phrase in quotes. `or`
    /// separates alternatives, and `-` before a term excludes it. A repeated term counts once. A term of several words, such as a URL, is a phrase. Stop
    /// words are ignored outside phrases, unless there is nothing else.
    pub fn new(query: &str) -> Self {
        let mut alternatives = alternatives(query);
        if alternatives.iter().flatten().any(|term| !term.is_ignorable) {
            alternatives.iter_mut().for_each(|terms| terms.retain(|term| !term.is_ignorable));
        }
        for terms in &mut alternatives {
            let mut seen = HashSet::new();
            terms.retain(|term| seen.insert((term.is_excluded, term.words.clone())));
        }
        let mut rest = MAX_QUERY_WORDS;
        let mut omitted_words = 0;
        for term in alternatives.iter_mut().flatten() {
            omitted_words += term.cut(rest);
            rest -= term.words.len();
        }
        let alternatives = alternatives.iter().map(|terms| joined(terms.iter().filter_map(Term::text), " & "));
        let text = joined(alternatives.filter(|text| !text.is_empty()), " | ");
        Self { text, omitted_words }
    }
}

/// Words that follow each other, or a single word.
struct Term {
    is_excluded: bool,
    /// Whether it is a single stop word, or has only signs.
    is_ignorable: bool,
    /// The lexemes with their positions.
    words: Vec<(String, usize)>,
}

impl Term {
    fn new(&Part { text, is_excluded, .. }: &Part<'_>) -> Self {
        let (mut words, mut signs, mut last) = (Vec::new(), Vec::new(), String::new());
        read(text, |word, position, kind| match kind {
            Kind::Word => {
                words.push((lexeme(word), position));
                word.clone_into(&mut last);
            }
            Kind::Sign => signs.push((lexeme(word), position)),
            Kind::Ending | Kind::Part => {}
        });
        let is_ignorable = words.is_empty() || words.len() == 1 && is_stop_word(&last);
        let words = if words.is_empty() { signs } else { words };
        Self { is_excluded, is_ignorable, words }
    }

    /// Keeps at most this many words, and returns how many it leaves out. An excluded term is left out as a whole, because a
    /// part of it would exclude more.
    fn cut(&mut self, most: usize) -> usize {
        let omitted = self.words.len().saturating_sub(most);
        match omitted {
            0 => 0,
            _ if self.is_excluded => std::mem::take(&mut self.words).len(),
            omitted => {
                self.words.truncate(most);
                omitted
            }
        }
    }

    /// `'one'`, or `('one' <1> 'two') | …`: also memories that have all of the words, if not all positions of one of them
    /// are recorded.
    fn text(&self) -> Option<String> {
        let words = || self.words.iter().map(|(word, _)| quoted(word));
        let text = match self.words.as_slice() {
            [] => return None,
            [_] => words().collect(),
            [(_, first), ..] => {
                let (mut phrase, mut last) = (String::new(), *first);
                for (word, (_, position)) in words().zip(&self.words) {
                    if !phrase.is_empty() {
                        // No two recorded positions are as far apart as the last one is from 0.
                        let distance = (position - last).min(LAST_POSITION);
                        phrase.push_str(&format!(" <{distance}> "));
                    }
                    phrase.push_str(&word);
                    last = *position;
                }
                let unplaced = once(unplaced("")).chain(self.words.iter().map(|(word, _)| unplaced(word)));
                let unplaced = joined(unplaced.map(|lexeme| quoted(&lexeme)), " | ");
                format!("(({phrase}) | (({unplaced}) & {}))", joined(words(), " & "))
            }
        };
        Some(if self.is_excluded { format!("!({text})") } else { text })
    }
}

/// The terms of each alternative.
fn alternatives(query: &str) -> Vec<Vec<Term>> {
    let mut alternatives = vec![Vec::new()];
    let (mut rest, mut follows_space) = (query.trim_start(), true);
    while !rest.is_empty() {
        let (part, after) = Part::first(rest, follows_space);
        rest = after.trim_start();
        follows_space = rest.len() < after.len();
        // Without a term on both sides, `or` is a word.
        match alternatives.last_mut() {
            Some(terms) if !part.is_or() || terms.is_empty() || rest.is_empty() => terms.push(Term::new(&part)),
            Some(_) | None => alternatives.push(Vec::new()),
        }
    }
    alternatives
}

/// The text of a term.
struct Part<'q> {
    text: &'q str,
    is_quoted: bool,
    is_excluded: bool,
}

impl<'q> Part<'q> {
    /// The first part of a query, and what follows it. A quote without an end, and a hyphen within a run of text, mean
    /// nothing.
    fn first(query: &'q str, follows_space: bool) -> (Self, &'q str) {
        let begins = |text: &&str| text.starts_with(|char| char == '"' || begins_word(char));
        let excluded = query.strip_prefix('-').filter(|text| follows_space && begins(text));
        let (text, is_excluded) = (excluded.unwrap_or(query), excluded.is_some());
        if let Some((text, after)) = text.strip_prefix('"').and_then(|text| text.split_once('"')) {
            return (Self { text, is_quoted: true, is_excluded }, after);
        }
        let (text, after) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
        (Self { text, is_quoted: false, is_excluded }, after)
    }

    fn is_or(&self) -> bool {
        self.text.eq_ignore_ascii_case("or") && !self.is_quoted && !self.is_excluded
    }
}

fn quoted(lexeme: &str) -> String {
    format!("'{lexeme}'")
}

fn joined(parts: impl Iterator<Item = String>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}
