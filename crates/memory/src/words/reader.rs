use std::iter::once;

use unicode_normalization::UnicodeNormalization;

use super::{
    class::{Class, class},
    english::is_ending,
};

/// What a word of a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word at a position of its own.
    Word,
    /// An ending after an apostrophe, at a position of its own, as the `s` of `Ada's`. A query leaves it out.
    Ending,
    /// A part of the word at the same position. A query does not ask for it besides the word.
    Part,
    /// A sign such as `=`, at the position of the next word. A query asks for it if it has nothing else.
    Sign,
}

/// Reads the words of a text: calls `each` with each of them, without case, and with its position, from 0.
pub(super) fn read(text: &str, each: impl FnMut(&str, usize, Kind)) {
    let mut reader = Reader { each, position: 0, word: None, has_apostrophe: false };
    for char in text.nfc() {
        reader.push(char);
    }
    reader.end_word();
}

/// A word that is being read.
struct Word {
    letters: String,
    /// Whether its script has no spaces between words.
    is_unspaced: bool,
    /// Whether an apostrophe joins it to the word before it.
    is_joined: bool,
    /// Where invisible characters stood, as offsets into the letters.
    gaps: Vec<usize>,
}

struct Reader<F> {
    each: F,
    position: usize,
    word: Option<Word>,
    /// Whether the last character was an apostrophe after a word.
    has_apostrophe: bool,
}

impl<F: FnMut(&str, usize, Kind)> Reader<F> {
    fn push(&mut self, char: char) {
        match class(char) {
            Class::Letter | Class::Unspaced if is_phrase(char) => self.expand(char),
            Class::Letter => self.push_letter(char, false),
            Class::Unspaced => self.push_letter(char, true),
            Class::Mark => match &self.word {
                Some(word) => self.push_letter(char, word.is_unspaced),
                None => (self.each)(char.encode_utf8(&mut [0; 4]), self.position, Kind::Sign),
            },
            Class::Invisible => {
                if let Some(Word { letters, gaps, .. }) = &mut self.word {
                    gaps.push(letters.len());
                }
            }
            Class::Symbol => {
                if self.symbol(char, Kind::Word) {
                    self.position += 1;
                }
            }
            Class::Sign => {
                self.symbol(char, Kind::Sign);
            }
            Class::Separator => {
                let has_word = self.word.is_some();
                self.end_word();
                self.has_apostrophe = has_word && matches!(char, '\'' | '’');
            }
        }
    }

    fn push_letter(&mut self, letter: char, is_unspaced: bool) {
        if self.word.as_ref().is_some_and(|word| word.is_unspaced != is_unspaced) {
            self.end_word();
        }
        let is_joined = std::mem::take(&mut self.has_apostrophe);
        let new = || Word { letters: String::new(), is_unspaced, is_joined, gaps: Vec::new() };
        self.word.get_or_insert_with(new).letters.push(letter);
    }

    /// Reads a symbol, which no word continues. Returns false if it stands for other characters, as `™` does for `TM`.
    fn symbol(&mut self, symbol: char, kind: Kind) -> bool {
        let is_itself = once(symbol).nfkc().eq(once(symbol));
        if is_itself {
            self.end_word();
            (self.each)(symbol.encode_utf8(&mut [0; 4]), self.position, kind);
        } else {
            self.expand(symbol);
        }
        is_itself
    }

    /// Reads a character as the characters that it stands for, apart from those around it.
    fn expand(&mut self, char: char) {
        self.end_word();
        once(char).nfkc().for_each(|char| self.push(char));
        self.end_word();
    }

    fn end_word(&mut self) {
        self.has_apostrophe = false;
        let Some(word) = self.word.take() else { return };
        if word.is_unspaced { self.end_unspaced(&compatible(&word.letters)) } else { self.end_spaced(&word) }
    }

    /// The word, and its parts if it has invisible characters in it, or is written as in `camelCase`.
    fn end_spaced(&mut self, word: &Word) {
        let folded = fold(&word.letters);
        let kind = if word.is_joined && is_ending(&folded) { Kind::Ending } else { Kind::Word };
        (self.each)(&folded, self.position, kind);
        for part in pieces(&word.letters, &word.gaps) {
            if part.len() < word.letters.len() {
                (self.each)(&fold(part), self.position, Kind::Part);
            }
            for hump in pieces(part, &humps(part)).filter(|hump| hump.len() < part.len()) {
                (self.each)(&fold(hump), self.position, Kind::Part);
            }
        }
        self.position += 1;
    }

    /// Each pair of letters that follow each other, and each letter. Every second pair and the last one cover all letters, so a
    /// query asks for no others.
    fn end_unspaced(&mut self, letters: &str) {
        let ends = letters.char_indices().map(|(begin, letter)| (begin, begin + letter.len_utf8()));
        let ends: Vec<_> = ends.collect();
        let is_alone = ends.len() == 1;
        for (place, &(begin, end)) in ends.iter().enumerate() {
            let kind = if is_alone { Kind::Word } else { Kind::Part };
            (self.each)(letters.get(begin..end).unwrap_or_default(), self.position, kind);
            if let Some(pair) = ends.get(place + 1).and_then(|&(_, end)| letters.get(begin..end)) {
                let kind = if place % 2 == 0 || place + 2 == ends.len() { Kind::Word } else { Kind::Part };
                (self.each)(pair, self.position, kind);
            }
            self.position += 1;
        }
    }
}

/// Whether a letter or number stands for more than one word, as `½` does for `1⁄2`.
fn is_phrase(char: char) -> bool {
    !char.is_ascii() && once(char).nfkc().any(|char| !is_letter(char))
}

fn is_letter(char: char) -> bool {
    matches!(class(char), Class::Letter | Class::Unspaced | Class::Mark)
}

/// The pieces of a word between these offsets, which are sorted.
fn pieces<'w>(word: &'w str, offsets: &[usize]) -> impl Iterator<Item = &'w str> {
    let ends = offsets.iter().copied().chain(once(word.len()));
    let pieces = ends.scan(0, |begin, end| Some(word.get(std::mem::replace(begin, end)..end)));
    pieces.flatten().filter(|piece| !piece.is_empty())
}

/// Where the parts of a word begin that is written as in `camelCase` or `HTMLPage`, without the first.
fn humps(word: &str) -> Vec<usize> {
    let mut humps = Vec::new();
    let mut last = ' ';
    let mut letters = word.char_indices().peekable();
    while let Some((offset, letter)) = letters.next() {
        let is_last_capital = last.is_uppercase() && letters.peek().is_some_and(|(_, next)| next.is_lowercase());
        if letter.is_uppercase() && (last.is_lowercase() || is_last_capital) {
            humps.push(offset);
        }
        last = letter;
    }
    humps
}

/// The letters in compatibility form, in which full-width letters and ligatures are plain letters.
fn compatible(word: &str) -> String {
    word.nfkc().filter(|char| is_letter(*char)).collect()
}

/// Folds case fully: `Straße` and `STRASSE` are the same. `İ` and `I` are too, as Turkish words are also typed on other
/// keyboards.
fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let word = compatible(word);
    let folded = word.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    folded.nfc().collect::<String>().replace("i\u{307}", "i")
}
