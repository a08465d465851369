//! Any text as the keys of page tokens: what is taken seals and opens, and its text is never shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pagination::{Cursor, Direction, Fingerprint, PageTokens, Position, TokenKeys};

fuzz_target!(|text: &str| {
    let Ok(keys) = text.parse::<TokenKeys>() else { return };
    let tokens = PageTokens::new(keys);
    let query = Fingerprint::of("books").finish();
    let cursor = Cursor { direction: Direction::Backward, position: Position::Start };
    let token = tokens.seal(&cursor, &query).unwrap();
    assert_eq!(tokens.open(&token, &query), Ok(cursor));
    for key in text.split(',').filter_map(|entry| entry.trim().split_once(':')).map(|(_, key)| key) {
        assert!(!format!("{tokens:?}").contains(key));
    }
});
