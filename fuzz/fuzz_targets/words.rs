//! Any text as the content of a memory and as a query: neither can say anything to Postgres but words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use memory::words::{MAX_QUERY_WORDS, WordQuery, word_vector};

/// The most bytes of a vector that Postgres takes, and room for what its text has besides.
const MAX_BYTES: usize = 4 << 20;

fuzz_target!(|text: &str| {
    let vector = word_vector("acme", text);
    assert!(vector.len() <= MAX_BYTES && !vector.contains(['\\', '\0']));
    assert_eq!(vector.matches('\'').count() % 2, 0);

    let WordQuery { text: query, .. } = WordQuery::new(text);
    assert!(!query.contains(['\\', '\0']));
    // Each word, and, for a phrase, each word three times and one more lexeme.
    let lexemes = query.matches('\'').count() / 2;
    assert!(lexemes <= 4 * MAX_QUERY_WORDS, "{lexemes}");
    // What is between the quotes is an operator.
    let between = query.split('\'').step_by(2).flat_map(str::chars);
    assert!(between.clone().all(|char| "()!&|<> 0123456789".contains(char)), "{query}");
});
