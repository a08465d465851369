//! Any text as a page token: nothing opens, whatever is done to a token that does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pagination::{Cursor, Direction, Fingerprint, PageTokens, Position};

const KEYS: &str = "key:paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU=";

fuzz_target!(|input: (String, Vec<(u16, u8)>)| {
    let (text, changes) = input;
    let tokens = PageTokens::new(KEYS.parse().unwrap());
    let query = Fingerprint::of("books").part("order", b"title").finish();
    assert!(tokens.open(&text, &query).is_err(), "{text} was sealed by nobody");

    let cursor =
        Cursor { direction: Direction::Forward, position: Position::After(vec![Some(text.into_bytes()), None]) };
    let Ok(token) = tokens.seal(&cursor, &query) else { return };
    assert_eq!(tokens.open(&token, &query).as_ref(), Ok(&cursor));
    let mut changed = token.clone().into_bytes();
    for (place, value) in changes {
        let place = usize::from(place) % changed.len();
        changed[place] ^= value & 0x7f;
    }
    let changed = String::from_utf8(changed).unwrap();
    assert!(changed == token || tokens.open(&changed, &query).is_err(), "{changed} was {token}");
});
