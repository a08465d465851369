//! Any text as the keys of access tokens: what is taken has a public half for each key, and its text is never shown.
#![no_main]

use access::SigningKeys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(keys) = text.parse::<SigningKeys>() else { return };
    let public = keys.public().keys;
    assert_eq!(public.len(), text.matches("-----BEGIN").count());
    let shown = format!("{keys:?} {public:?}");
    for line in text.lines().filter(|line| line.len() > 60) {
        assert!(!shown.contains(line));
    }
});
