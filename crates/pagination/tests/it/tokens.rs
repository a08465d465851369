//! Page tokens: a sealed cursor opens unchanged, and nothing else opens.
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use pagination::{
    Cursor, DEFAULT_TIME_TO_LIVE, Direction, Fingerprint, MAX_KEY_BYTES, MAX_TOKEN_LENGTH, PageTokenError,
    PageTokenErrorKind as Kind, PageTokens, Position, SealError, TokenKeys, TokenKeysError, TokenVersion,
    TokenVersionError,
};
use proptest::{collection::vec, prelude::*};

type Keys = Vec<Option<Vec<u8>>>;

const NOW: u64 = 1_800_000_000;
const KEY: [u8; 32] = [0xa5; 32];
const NONCE_LENGTH: usize = 24;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn entry(id: &str, key: [u8; 32]) -> String {
    format!("{id}:{}", STANDARD.encode(key))
}

/// A clock that stands still.
fn at(seconds: u64) -> Arc<dyn Fn() -> SystemTime + Send + Sync> {
    Arc::new(move || UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The error for a refused token, with the default domain and field.
fn refused(kind: Kind) -> PageTokenError {
    PageTokenError { kind, domain: "pagination.v1", field: "page.page_token" }
}

fn tokens(keys: &str) -> PageTokens {
    PageTokens { now: at(NOW), ..PageTokens::new(keys.parse().unwrap()) }
}

fn ours() -> PageTokens {
    tokens(&entry("key", KEY))
}

fn query() -> Fingerprint {
    Fingerprint::of("books.v1.Books").part("order", b"title").part("shelf", b"history").finish()
}

fn other_query() -> Fingerprint {
    Fingerprint::of("books.v1.Books").part("order", b"title").part("shelf", b"poetry").finish()
}

fn after(keys: Keys) -> Cursor {
    Cursor { direction: Direction::Forward, position: Position::After(keys) }
}

fn moby_dick() -> Cursor {
    after(vec![Some(b"Moby-Dick".to_vec()), None])
}

/// Tokens of three successive lengths, so that one ends with no unused bits, one with two and one with four.
fn samples() -> [String; 3] {
    let samples = [1, 2, 3].map(|length| ours().seal(&after(vec![Some(vec![b'x'; length])]), &query()).unwrap());
    assert!([0, 2, 3].iter().all(|rest| samples.iter().any(|token| token.len() % 4 == *rest)));
    samples
}

/// A token built from the parts that the documentation of `PageTokens` lists.
fn build(id: &str, key: [u8; 32], contents: &[u8]) -> String {
    build_version(3, id, key, contents)
}

fn build_version(version: u8, id: &str, key: [u8; 32], contents: &[u8]) -> String {
    let nonce = [9; NONCE_LENGTH];
    let mut token = vec![version, u8::try_from(id.len()).unwrap()];
    token.extend_from_slice(id.as_bytes());
    let payload = Payload { msg: contents, aad: &token };
    let sealed = XChaCha20Poly1305::new(&key.into()).encrypt(&XNonce::from(nonce), payload).unwrap();
    URL_SAFE_NO_PAD.encode([token, nonce.to_vec(), sealed].concat())
}

/// The unencrypted part of a token.
fn header(token: &str) -> Vec<u8> {
    let token = URL_SAFE_NO_PAD.decode(token).unwrap();
    token[..2 + usize::from(token[1])].to_vec()
}

/// The contents of the box of a token that was sealed with `KEY`.
fn contents(token: &str) -> Vec<u8> {
    let token = URL_SAFE_NO_PAD.decode(token).unwrap();
    let (header, rest) = token.split_at(2 + usize::from(token[1]));
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LENGTH>().unwrap();
    let payload = Payload { msg: sealed, aad: header };
    XChaCha20Poly1305::new(&KEY.into()).decrypt(&XNonce::from(*nonce), payload).unwrap()
}

/// The error for a text that is not a valid token.
fn refusal(token: &str) -> PageTokenError {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|_| token.len() <= MAX_TOKEN_LENGTH).unwrap_or_default();
    match bytes[..] {
        [2..=4, length @ 1..=16, ref rest @ ..] if rest.len() >= usize::from(length) + NONCE_LENGTH => {
            refused(Kind::Untrusted)
        }
        [] | [0 | 2..=4, ..] => refused(Kind::Malformed),
        [_, ..] => refused(Kind::UnsupportedVersion),
    }
}

fn any_cursor() -> impl Strategy<Value = Cursor> {
    let keys = || vec(proptest::option::of(vec(any::<u8>(), 0..=MAX_KEY_BYTES / 8)), 0..=8);
    let position = prop_oneof![Just(Position::Start), keys().prop_map(Position::After), keys().prop_map(Position::At)];
    let direction = prop_oneof![Just(Direction::Forward), Just(Direction::Backward)];
    (direction, position).prop_map(|(direction, position)| Cursor { direction, position })
}

/// Failures are not persisted in a file: add a test for each instead.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

// Sealing and opening.

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_sealed_cursor_comes_back(cursor in any_cursor()) {
        let token = ours().seal(&cursor, &query()).unwrap();
        prop_assert!(token.len() <= MAX_TOKEN_LENGTH);
        prop_assert!(token.bytes().all(|byte| ALPHABET.contains(&byte)));
        prop_assert_eq!(ours().open(&token, &query()), Ok(cursor));
    }
}

#[test]
fn every_direction_and_position_comes_back() {
    let some = |text: &str| Some(text.as_bytes().to_vec());
    let keys: [Keys; 7] = [
        vec![],
        vec![None],
        vec![some("")],
        vec![some(""), None],
        vec![None, some("")],
        vec![None, None, some("a\0b"), None],
        vec![Some(vec![0]), Some((0..=255).collect())],
    ];
    for direction in [Direction::Forward, Direction::Backward] {
        let positions = keys.iter().flat_map(|keys| [Position::After(keys.clone()), Position::At(keys.clone())]);
        for position in positions.chain([Position::Start]) {
            let cursor = Cursor { direction, position };
            assert_eq!(ours().open(&ours().seal(&cursor, &query()).unwrap(), &query()), Ok(cursor));
        }
    }
}

#[test]
fn the_longest_keys_fit_however_they_are_divided() {
    let tokens = tokens(&entry("sixteen-letters_", KEY));
    for count in 1..=16 {
        let mut keys: Keys = vec![Some(vec![0xff; MAX_KEY_BYTES / count]); count];
        keys[0].as_mut().unwrap().resize(MAX_KEY_BYTES / count + MAX_KEY_BYTES % count, 0xff);
        let cursor = Cursor { direction: Direction::Backward, position: Position::At(keys) };
        let token = tokens.seal(&cursor, &query()).unwrap();
        assert!(token.len() <= MAX_TOKEN_LENGTH, "{count} keys: {}", token.len());
        assert_eq!(tokens.open(&token, &query()), Ok(cursor));
    }
}

#[test]
fn keys_are_refused_from_the_first_length_that_makes_the_token_too_long() {
    let seal = |length| ours().seal(&after(vec![Some(vec![0; length])]), &query());
    let first = (MAX_KEY_BYTES..=MAX_TOKEN_LENGTH).find(|length| seal(*length).is_err()).unwrap();
    let last_length = seal(first - 1).unwrap().len();
    assert!((MAX_TOKEN_LENGTH - 1..=MAX_TOKEN_LENGTH).contains(&last_length), "{last_length}");
    for length in (first..first + 100).chain([MAX_TOKEN_LENGTH, 1 << 20]) {
        assert_eq!(seal(length), Err(SealError::KeysTooLong), "{length}");
    }
    assert_eq!(ours().seal(&after(vec![None; MAX_TOKEN_LENGTH]), &query()), Err(SealError::KeysTooLong));
}

#[test]
fn tokens_of_one_cursor_differ_but_have_the_same_length() {
    let seals: Vec<_> = (0..100).map(|_| ours().seal(&moby_dick(), &query()).unwrap()).collect();
    let nonce = |token: &String| URL_SAFE_NO_PAD.decode(token).unwrap()[5..5 + NONCE_LENGTH].to_vec();
    let nonces: std::collections::BTreeSet<_> = seals.iter().map(nonce).collect();
    assert_eq!(nonces.len(), seals.len());
    assert!(seals.iter().all(|token| token.len() == seals[0].len()));
}

#[test]
fn keys_cannot_be_read_from_a_token() {
    let secret = b"the title of a secret book";
    let token = ours().seal(&after(vec![Some(secret.to_vec())]), &query()).unwrap();
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    assert!(holds(&contents(&token)));
    assert!(!holds(&URL_SAFE_NO_PAD.decode(&token).unwrap()));
    assert!(!holds(token.as_bytes()));
}

// Changed tokens.

#[test]
fn every_flipped_bit_of_a_character_is_refused() {
    for token in samples() {
        for (index, bit) in (0..token.len()).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
            let mut changed = token.clone().into_bytes();
            changed[index] ^= 1 << bit;
            // Flipping the highest bit makes the text invalid UTF-8, which a string cannot contain.
            let changed = String::from_utf8_lossy(&changed);
            assert_eq!(ours().open(&changed, &query()), Err(refusal(&changed)), "{token} became {changed}");
        }
    }
}

#[test]
fn every_flipped_bit_of_a_byte_is_refused() {
    let token = URL_SAFE_NO_PAD.decode(ours().seal(&moby_dick(), &query()).unwrap()).unwrap();
    for (index, bit) in (0..token.len()).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
        let mut changed = token.clone();
        changed[index] ^= 1 << bit;
        let refusal = match index {
            0 if changed[0] == 0 => refused(Kind::Malformed),
            0 if !(2..=4).contains(&changed[0]) => refused(Kind::UnsupportedVersion),
            1 if changed[1] > 16 => refused(Kind::Malformed),
            _ => refused(Kind::Untrusted),
        };
        let changed = URL_SAFE_NO_PAD.encode(changed);
        assert_eq!(ours().open(&changed, &query()), Err(refusal), "bit {bit} of byte {index}");
    }
}

#[test]
fn every_truncation_is_refused() {
    for token in samples() {
        for length in 0..token.len() {
            for cut in [&token[..length], &token[token.len() - length..]] {
                assert_eq!(ours().open(cut, &query()), Err(refusal(cut)), "{length} characters of {token}");
            }
        }
    }
}

#[test]
fn an_added_character_is_refused_anywhere() {
    for token in samples() {
        for index in 0..=token.len() {
            for more in ["=", "==", " ", "\n", "\r\n", "\t", "\0", "+", "/", ".", "%3D", "é", "\u{feff}"] {
                let changed = format!("{}{more}{}", &token[..index], &token[index..]);
                assert_eq!(ours().open(&changed, &query()), Err(refused(Kind::Malformed)), "{changed:?}");
            }
            for more in ["A", "AA", "AAA", "AAAA"] {
                let changed = format!("{}{more}{}", &token[..index], &token[index..]);
                assert_eq!(ours().open(&changed, &query()), Err(refusal(&changed)), "{changed:?}");
            }
        }
    }
}

#[test]
fn every_other_last_character_is_refused() {
    for token in samples() {
        let unused_bits = [0, 6, 4, 2][token.len() % 4];
        let (rest, last) = token.split_at(token.len() - 1);
        for (value, character) in ALPHABET.iter().map(|byte| char::from(*byte)).enumerate() {
            let changed = format!("{rest}{character}");
            let refusal = match value.trailing_zeros() < unused_bits && value != 0 {
                true => refused(Kind::Malformed),
                false => refused(Kind::Untrusted),
            };
            let opened = ours().open(&changed, &query()).map(drop);
            assert_eq!(opened, if changed.ends_with(last) { Ok(()) } else { Err(refusal) }, "{changed}");
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_text_opens(text in any::<String>()) {
        prop_assert_eq!(ours().open(&text, &query()), Err(refusal(&text)));
    }

    #[test]
    fn no_base64url_opens(text in "[A-Za-z0-9_-]{0,400}") {
        prop_assert_eq!(ours().open(&text, &query()), Err(refusal(&text)));
    }

    #[test]
    fn no_bytes_open(bytes in vec(any::<u8>(), 0..3_500), version in any::<u8>(), id_length in 0..40_u8) {
        for start in [&[][..], &[version], &[2], &[2, id_length], b"\x02\x03key", b"\x03\x03key", b"\x04\x03key"] {
            let token = URL_SAFE_NO_PAD.encode([start, &bytes].concat());
            prop_assert_eq!(ours().open(&token, &query()), Err(refusal(&token)));
        }
    }
}

// Versions. The meaning of a version's tokens never changes: clients are using them, and other releases read them.

/// Tokens that releases issued, sealed with `KEY`: each version with its tokens.
const GOLDEN: [(u8, [&str; 3]); 3] = [
    (
        2,
        [
            "AgNrZXl6XJJbNa2NPhaOOf0d6KMwnfD2YqmJBF9Oc3Q2HTudnfqiWcha2GBqV7tftt5zc6ZDWTGZv0kXBNR4pIkLdfl05rKuybCjU7tc723x7QtcMrKfK7zV",
            "AgNrZXnd-RE3xz5FiG4SvIlyJEyrbkvZyQ7WRCJLjxTMX8qbl5ULxnasA0I-WMaNJnyh1IfBWV9rsVTqKlXQyLPZWGLs9BR7f1_L43v4LCjJMNLdW6OrHmCiRGA",
            "AgNrZXm86_9gZKGwukSjQyqr5YNOCWsu5wHUjSf7h_CwHI1cdm5GXhQvcgRdRFO_ClqrZEMne9dDbzegMtRfmsJ4QnPk8eI",
        ],
    ),
    (
        3,
        [
            "AwNrZXnx_SL2DDtqmFqr0PdNEyhcvcYkDmfyS8eANaHlmokuDc78H5c9bVrk02WFYbyazVXTS6TB8MYNjhrJEw1xKxYOxhXBl-dUH2oxKxRSWab1ZK__iOD7",
            "AwNrZXkUIywF7kKvft6Zr9u9tlqPlUnr7BZIVss5Q7t8be3j86fJYNxAdUAnpl7GqQ2pSLUaNptsXl-ZSaxNwlTu4IpTVraNdhg51O3s26qasb-0IBALJvkTtmQ",
            "AwNrZXmarjQfLRwzwSnTVUFi6QJvwMd6opW_2yJ20hRUPvQ5gklTa5WUx_fexgd04w6nLs4qnn9y1TVCKum8hnTUjhlbetY",
        ],
    ),
    // A later release may add a field that this release does not know.
    (
        4,
        [
            "BANrZXkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQnTopk4c3hwAEvELNrmDlQIuu4a-AEvXCG20Z5R4uAor6JQkcR2DnJFy55VxNP1z_LgcUiNvoxV-LwG4Y8DuYaLRNNM",
            "BANrZXkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQnTopk4c3hwAEvELNrmDlQIuu4a-AEvXCGO0ZRYwuJvyY1G3vkyKXAMoJ5X5NHNy62LbkJGdugR0vIDUGM0aarIByjBjQ4",
            "BANrZXkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQnTopk4c3hwAEvELNrmDlQIuu4a-AEvXCGO0YZehYYXpeuwVkUpcTEuF19oBXQD6hE",
        ],
    ),
];

/// A token of version 1.
const RETIRED: &str = "AQNrZXneIvpNSez5pqOM8oh-_QOwt-yuvLn38_xFiXRGVBpda4ijmsmVrmf_boWVphVGXH1iRmsZZLkwxGB6qubKNAi-NnI2MgrI2ivPbSX7bEYr3now";

fn golden_cursors() -> [Cursor; 3] {
    let keys = || vec![Some(b"Moby-Dick".to_vec()), None, Some(Vec::new())];
    [
        Cursor { direction: Direction::Forward, position: Position::After(keys()) },
        Cursor { direction: Direction::Backward, position: Position::At(keys()) },
        Cursor { direction: Direction::Backward, position: Position::Start },
    ]
}

#[test]
fn golden_tokens_open_to_the_same_cursors() {
    for (version, tokens) in GOLDEN {
        for (token, cursor) in tokens.into_iter().zip(golden_cursors()) {
            assert_eq!(ours().open(token, &query()), Ok(cursor.clone()), "version {version}: {token}");
            assert_eq!(ours().open(token, &other_query()), Err(refused(Kind::QueryChanged)));
        }
    }
    assert_eq!(ours().open(RETIRED, &query()), Err(refused(Kind::UnsupportedVersion)));
}

#[test]
fn only_tokens_of_the_previous_version_are_bound_to_the_previous_fingerprint() {
    let previous_is_ours = other_query().with_previous(query());
    let current_is_ours = query().with_previous(other_query());
    for (version, tokens) in GOLDEN {
        let (opens, refuses) = match version {
            2 => (previous_is_ours, current_is_ours),
            _ => (current_is_ours, previous_is_ours),
        };
        for (token, cursor) in tokens.into_iter().zip(golden_cursors()) {
            assert_eq!(ours().open(token, &opens), Ok(cursor), "version {version}: {token}");
            assert_eq!(ours().open(token, &refuses), Err(refused(Kind::QueryChanged)), "version {version}: {token}");
        }
    }
    for (version, query) in [(TokenVersion::Previous, previous_is_ours), (TokenVersion::Current, current_is_ours)] {
        let token = PageTokens { version, ..ours() }.seal(&moby_dick(), &query).unwrap();
        assert_eq!(ours().open(&token, &self::query()), Ok(moby_dick()), "{version:?}");
    }
}

#[test]
fn new_tokens_have_the_contents_of_golden_tokens() {
    for version in [TokenVersion::Previous, TokenVersion::Current] {
        let (_, golden) = GOLDEN.into_iter().find(|(number, _)| *number == version.number()).unwrap();
        for (golden, cursor) in golden.into_iter().zip(golden_cursors()) {
            let token = PageTokens { version, ..ours() }.seal(&cursor, &query()).unwrap();
            assert_eq!(ours().open(&token, &query()), Ok(cursor));
            assert_eq!(contents(&token), contents(golden), "version {}", version.number());
            assert_eq!(header(&token), header(golden));
        }
    }
}

#[test]
fn the_version_is_authenticated() {
    for (version, tokens) in GOLDEN {
        for (other, token) in (2..=4).flat_map(|other| tokens.map(|token| (other, token))) {
            let mut bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
            bytes[0] = other;
            let opened = ours().open(&URL_SAFE_NO_PAD.encode(bytes), &query()).map(drop);
            assert_eq!(opened, if other == version { Ok(()) } else { Err(refused(Kind::Untrusted)) });
        }
    }
}

#[test]
fn versions_that_can_be_written_have_a_number() {
    assert_eq!("2".parse(), Ok(TokenVersion::Previous));
    assert_eq!("3".parse(), Ok(TokenVersion::Current));
    for text in ["", "0", "1", "4", "02", " 2", "+2", "2.0", "two"] {
        assert_eq!(text.parse::<TokenVersion>(), Err(TokenVersionError), "{text:?}");
    }
}

#[test]
fn unknown_versions_are_told_from_malformed_tokens() {
    let mut token = URL_SAFE_NO_PAD.decode(ours().seal(&moby_dick(), &query()).unwrap()).unwrap();
    for version in (0..=u8::MAX).filter(|version| !(2..=4).contains(version)) {
        token[0] = version;
        let refusal = if version == 0 { refused(Kind::Malformed) } else { refused(Kind::UnsupportedVersion) };
        for bytes in [&token[..], &[version]] {
            assert_eq!(ours().open(&URL_SAFE_NO_PAD.encode(bytes), &query()), Err(refusal), "{version}");
        }
    }
}

#[test]
fn a_token_over_the_longest_is_malformed_even_when_it_was_sealed() {
    let honest = contents(&ours().seal(&moby_dick(), &query()).unwrap());
    // An unknown protobuf field of the length that is needed.
    let of_size = |size: usize| {
        let around = 2 + 3 + NONCE_LENGTH + 16 + honest.len() + 3;
        let [low, high] = [(size - around) & 0x7f | 0x80, (size - around) >> 7].map(|byte| u8::try_from(byte).unwrap());
        let contents = [&honest[..], &[0x7a, low, high], &vec![0; size - around]].concat();
        build("key", KEY, &contents)
    };
    let longest = of_size(MAX_TOKEN_LENGTH / 4 * 3);
    assert_eq!(longest.len(), MAX_TOKEN_LENGTH);
    assert_eq!(ours().open(&longest, &query()), Ok(moby_dick()));
    assert_eq!(ours().open(&of_size(MAX_TOKEN_LENGTH / 4 * 3 + 1), &query()), Err(refused(Kind::Malformed)));
    assert_eq!(ours().open(&"A".repeat(1 << 20), &query()), Err(refused(Kind::Malformed)));
}

#[test]
fn a_box_without_a_cursor_is_malformed() {
    let honest = contents(&ours().seal(&moby_dick(), &query()).unwrap());
    assert_eq!(ours().open(&build("key", KEY, &honest), &query()), Ok(moby_dick()));
    // If a protobuf field is repeated, the last value counts: here an unknown position.
    let elsewhere = [&honest[..], &[4 << 3, 3]].concat();
    for contents in [&elsewhere[..], &[0xff; 40], &honest[..honest.len() - 1]] {
        assert_eq!(ours().open(&build("key", KEY, contents), &query()), Err(refused(Kind::Malformed)));
    }
}

// Keys.

#[test]
fn a_token_of_another_key_is_untrusted() {
    let token = ours().seal(&moby_dick(), &query()).unwrap();
    for keys in [entry("key", [1; 32]), entry("other", KEY), entry("KEY", KEY), entry("ke", KEY)] {
        assert_eq!(tokens(&keys).open(&token, &query()), Err(refused(Kind::Untrusted)), "{keys}");
    }
}

#[test]
fn an_all_zero_key_forges_nothing() {
    let honest = contents(&ours().seal(&moby_dick(), &query()).unwrap());
    assert_eq!(ours().open(&build("key", KEY, &honest), &query()), Ok(moby_dick()));
    assert_eq!(ours().open(&build("key", [0; 32], &honest), &query()), Err(refused(Kind::Untrusted)));
}

#[test]
fn the_key_id_is_authenticated() {
    let both = tokens(&[entry("one", KEY), entry("two", KEY)].join(","));
    let token = URL_SAFE_NO_PAD.decode(both.seal(&moby_dick(), &query()).unwrap()).unwrap();
    let relabelled = URL_SAFE_NO_PAD.encode([&token[..2], b"two", &token[5..]].concat());
    assert_eq!(both.open(&relabelled, &query()), Err(refused(Kind::Untrusted)));
}

#[test]
fn keys_rotate() {
    let [old, new, third] = [entry("old", [1; 32]), entry("new", [2; 32]), entry("third", [3; 32])];
    let token = tokens(&old).seal(&moby_dick(), &query()).unwrap();
    for keys in [vec![&old], vec![&old, &new], vec![&new, &old], vec![&new, &old, &third], vec![&new, &third, &old]] {
        let keys = keys.into_iter().cloned().collect::<Vec<_>>().join(",");
        assert_eq!(tokens(&keys).open(&token, &query()), Ok(moby_dick()), "{keys}");
    }
    for keys in [new.clone(), format!("{new},{third}")] {
        assert_eq!(tokens(&keys).open(&token, &query()), Err(refused(Kind::Untrusted)), "{keys}");
    }
    let token = tokens(&format!("{new},{old}")).seal(&moby_dick(), &query()).unwrap();
    assert_eq!(tokens(&new).open(&token, &query()), Ok(moby_dick()));
    assert_eq!(tokens(&old).open(&token, &query()), Err(refused(Kind::Untrusted)));
}

#[test]
fn token_keys_are_read() {
    let [one, two] = [entry("2026-11_a", [1; 32]), entry("sixteen-letters_", [2; 32])];
    for text in [format!("{one},{two}"), format!("  {one} , {two}\n"), format!("{one},\n\t{two}")] {
        let keys: TokenKeys = text.parse().unwrap();
        assert_eq!(format!("{keys:?}"), r#"TokenKeys(["2026-11_a", "sixteen-letters_"])"#, "{text:?}");
    }
    let mut barely_a_key = [0; 32];
    barely_a_key[31] = 1;
    let texts = [entry("a", barely_a_key), [entry("a", KEY), entry("A", KEY)].join(",")];
    assert!(texts.iter().all(|text| text.parse::<TokenKeys>().is_ok()));
}

#[test]
fn token_keys_that_are_malformed_are_refused() {
    let good = entry("key", KEY);
    let secret = STANDARD.encode([0xfb; 32]);
    let without_padding = secret.trim_end_matches('=');
    let mut texts = vec![String::new(), " ".into(), ",".into(), ":".into(), "key".into(), secret.clone()];
    texts.extend([format!("{good},"), format!(",{good}"), format!("{good},,{good}"), format!("{good};{good}")]);
    for id in ["", "seventeen-letters", "two words", "clé", "a.b", "a\0", "key "] {
        texts.push(format!("{id}:{secret}"));
    }
    let url_safe = secret.replace('+', "-").replace('/', "_");
    assert_ne!(url_safe, secret);
    // The last character of 32 bytes in base64 has two unused bits.
    let trailing_bits = format!("{}9=", &without_padding[..42]);
    for key in ["***", without_padding, &url_safe, &trailing_bits, &format!(" {secret}"), &format!("{secret}=")] {
        texts.push(format!("key:{key}"));
    }
    for text in texts {
        assert_eq!(text.parse::<TokenKeys>().err(), Some(TokenKeysError::Malformed), "{text:?}");
    }
}

#[test]
fn token_keys_that_protect_nothing_are_refused() {
    let good = entry("key", KEY);
    let refused = |text: &str| text.parse::<TokenKeys>().err();
    for length in [0, 1, 16, 31, 33, 64] {
        let text = format!("other:{}", STANDARD.encode(vec![1; length]));
        assert_eq!(refused(&text), Some(TokenKeysError::Length), "{length}");
        assert_eq!(refused(&format!("{good},{text}")), Some(TokenKeysError::Length), "{length}");
    }
    let zero = entry("zero", [0; 32]);
    for text in [zero.clone(), format!("{good},{zero}"), format!("{zero},{good}")] {
        assert_eq!(refused(&text), Some(TokenKeysError::AllZero), "{text}");
    }
    let between = entry("between", [2; 32]);
    for text in [format!("{good},{good}"), format!("{good},{between},{}", entry("key", [3; 32]))] {
        assert_eq!(refused(&text), Some(TokenKeysError::DuplicateId), "{text}");
    }
    assert_eq!(refused(&format!("{between},{good},{good}")), Some(TokenKeysError::DuplicateId));
}

#[test]
fn keys_are_not_shown() {
    let tokens = tokens(&[entry("new", KEY), entry("old", [1; 32])].join(","));
    assert_eq!(format!("{:?}", tokens.keys), r#"TokenKeys(["new", "old"])"#);
    let shown = r#"PageTokens { keys: TokenKeys(["new", "old"]), time_to_live: 259200s, version: Current, error_domain: "pagination.v1", .. }"#;
    assert_eq!(format!("{tokens:?}"), shown);
}

#[test]
fn replaced_keys_are_used_by_every_clone() {
    let old = tokens(&entry("old", KEY));
    let clone = old.clone();
    let token = old.seal(&moby_dick(), &query()).unwrap();
    clone.keys.replace(&[entry("new", [1; 32]), entry("old", KEY)].join(",").parse().unwrap());
    assert_eq!(old.open(&token, &query()), Ok(moby_dick()));
    let newer = old.seal(&moby_dick(), &query()).unwrap();
    old.keys.replace(&entry("new", [1; 32]).parse().unwrap());
    assert_eq!(clone.open(&newer, &query()), Ok(moby_dick()));
    assert_eq!(clone.open(&token, &query()), Err(refused(Kind::Untrusted)));
}

#[test]
fn generated_keys_are_new_each_time() {
    let [one, two] = [TokenKeys::generate().unwrap(), TokenKeys::generate().unwrap()];
    assert!(one.starts_with("1:") && two.starts_with("1:"));
    assert_ne!(one, two);
    let token = tokens(&one).seal(&moby_dick(), &query()).unwrap();
    assert_eq!(tokens(&one).open(&token, &query()), Ok(moby_dick()));
    assert_eq!(tokens(&two).open(&token, &query()), Err(refused(Kind::Untrusted)));
}

// Age.

#[test]
fn a_token_expires_exactly_after_its_time_to_live() {
    for time_to_live in [Duration::ZERO, Duration::from_secs(600), DEFAULT_TIME_TO_LIVE] {
        let tokens = PageTokens { time_to_live, ..ours() };
        let token = tokens.seal(&moby_dick(), &query()).unwrap();
        let open_at = |seconds| PageTokens { now: at(seconds), ..tokens.clone() }.open(&token, &query());
        let end = NOW + time_to_live.as_secs();
        assert_eq!(open_at(NOW), Ok(moby_dick()));
        assert_eq!(open_at(end), Ok(moby_dick()));
        assert_eq!(open_at(end + 1), Err(refused(Kind::Expired)));
        assert_eq!(open_at(u64::from(u32::MAX)), Err(refused(Kind::Expired)));
        // Another replica's clock can be behind.
        assert_eq!(open_at(NOW - 60), Ok(moby_dick()));
    }
    assert_eq!(PageTokens::new(entry("key", KEY).parse().unwrap()).time_to_live, Duration::from_secs(72 * 60 * 60));
}

#[test]
fn no_time_is_out_of_range() {
    let before: Arc<dyn Fn() -> SystemTime + Send + Sync> = Arc::new(|| UNIX_EPOCH - Duration::from_secs(1));
    let late = at(i64::MAX as u64);
    let forever = PageTokens { time_to_live: Duration::MAX, ..ours() };
    for (issued, opened) in [(&before, &late), (&late, &before), (&late, &late)] {
        let token = PageTokens { now: issued.clone(), ..forever.clone() }.seal(&moby_dick(), &query()).unwrap();
        let tokens = PageTokens { now: opened.clone(), ..forever.clone() };
        assert_eq!(tokens.open(&token, &query()), Ok(moby_dick()));
    }
    // The earliest time of issue: a negative number, which protobuf writes in ten bytes.
    let honest = contents(&ours().seal(&moby_dick(), &query()).unwrap());
    let earliest = [&honest[..], &[2 << 3], &[0x80; 9], &[1]].concat();
    assert_eq!(ours().open(&build("key", KEY, &earliest), &query()), Err(refused(Kind::Expired)));
}

// Queries.

#[test]
fn a_token_opens_for_its_own_query_only() {
    let books = || Fingerprint::of("books.v1.Books");
    let token = ours().seal(&moby_dick(), &query()).unwrap();
    let others = [
        Fingerprint::of("books.v1.Authors").part("order", b"title").part("shelf", b"history"),
        books().part("order", b"title").part("shelf", b"poetry"),
        books().part("order", b"title").part("shelf", b"History"),
        books().part("order", b"title").part("shelf", b""),
        books().part("order", b"title"),
        books().part("order", b"author").part("shelf", b"history"),
        books().part("order", b"title").part("room", b"history"),
        books().part("shelf", b"history").part("order", b"title"),
        books().part("order", b"title").part("shelf", b"history").part("language", b""),
        books().part("order", b"history").part("shelf", b"title"),
    ];
    for (index, other) in others.into_iter().enumerate() {
        assert_eq!(ours().open(&token, &other.finish()), Err(refused(Kind::QueryChanged)), "{index}");
    }
    assert_eq!(ours().open(&token, &query()), Ok(moby_dick()));
}

#[test]
fn an_expired_token_of_another_query_has_expired() {
    let token = ours().seal(&moby_dick(), &query()).unwrap();
    let later = PageTokens { now: at(NOW + DEFAULT_TIME_TO_LIVE.as_secs() + 1), ..ours() };
    let other = Fingerprint::of("books.v1.Authors").finish();
    assert_eq!(later.open(&token, &other), Err(refused(Kind::Expired)));
}

fn fingerprint(list: &str, parts: &[(&str, &[u8])]) -> Fingerprint {
    parts.iter().fold(Fingerprint::of(list), |builder, (name, value)| builder.part(name, value)).finish()
}

#[test]
fn part_boundaries_change_the_fingerprint() {
    let length = |length: u64| length.to_be_bytes();
    // One part that contains the bytes of two parts: with both lengths, without the values' lengths, and without the
    // names' lengths.
    let value_with_lengths = [b"x", &length(1)[..], b"b", &length(1), b"y"].concat();
    let value_with_name_length = [b"x", &length(1)[..], b"b", b"y"].concat();
    let name_with_value_length = [b"a", &length(1)[..], b"x", b"b"].concat();
    let name_with_value_length = str::from_utf8(&name_with_value_length).unwrap();
    let prints = [
        fingerprint("list", &[]),
        fingerprint("list", &[("", b"")]),
        fingerprint("list", &[("", b""), ("", b"")]),
        fingerprint("list", &[("ab", b"c")]),
        fingerprint("list", &[("a", b"bc")]),
        fingerprint("list", &[("abc", b"")]),
        fingerprint("list", &[("", b"abc")]),
        fingerprint("list", &[("a", b""), ("bc", b"")]),
        fingerprint("listab", &[("c", b"")]),
        fingerprint("listabc", &[]),
        fingerprint("", &[("list", b"abc")]),
        fingerprint("list", &[("a", b"x"), ("b", b"y")]),
        fingerprint("list", &[("b", b"y"), ("a", b"x")]),
        fingerprint("list", &[("a", &value_with_lengths)]),
        fingerprint("list", &[("a", &value_with_name_length)]),
        fingerprint("list", &[(name_with_value_length, b"y")]),
    ];
    for (index, one) in prints.iter().enumerate() {
        assert!(prints.iter().skip(index + 1).all(|other| other != one), "{index}");
    }
}

/// Splits a text into a list name and parts, with names and values in turn.
fn cut<'a>(text: &'a str, lengths: &[usize]) -> (&'a str, Vec<(&'a str, &'a [u8])>) {
    let mut rest = text;
    let mut take = |length: usize| {
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        piece
    };
    let list = take(lengths[0]);
    (list, lengths[1..].chunks_exact(2).map(|pair| (take(pair[0]), take(pair[1]).as_bytes())).collect())
}

proptest! {
    #![proptest_config(config())]

    // Few letters and short pieces, so that the same text is often split in different ways.
    #[test]
    fn only_the_same_parts_have_the_same_fingerprint(
        texts in ("[ab]{0,8}", "[ab]{0,8}"),
        lengths in (vec(0..4_usize, 1..7), vec(0..4_usize, 1..7)),
    ) {
        let pairs = [
            [cut(&texts.0, &lengths.0), cut(&texts.0, &lengths.1)],
            [cut(&texts.0, &lengths.0), cut(&texts.1, &lengths.0)],
            [cut(&texts.0, &lengths.0), cut(&texts.1, &lengths.1)],
        ];
        for [one, other] in pairs {
            let prints = [fingerprint(one.0, &one.1), fingerprint(other.0, &other.1)];
            prop_assert_eq!(prints[0] == prints[1], one == other, "{:?} and {:?}", one, other);
        }
    }
}
