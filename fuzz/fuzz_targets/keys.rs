//! Any bytes as what is inside a token that was sealed: the decoder of cursors and their keys. What it makes of them is
//! sealed again as the same.
#![no_main]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use libfuzzer_sys::fuzz_target;
use pagination::{Cursor, Direction, Fingerprint, PageTokenErrorKind as Kind, PageTokens, Position, TokenVersion};

const KEYS: &str = "key:paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU=";
const HEADER_LENGTH: usize = 2 + "key".len();
const NONCE_LENGTH: usize = 24;

fn cipher() -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&[0xa5; 32].into())
}

/// What is inside a token, whose parts are as the documentation of `PageTokens` has them.
fn contents(token: &str) -> Vec<u8> {
    let token = URL_SAFE_NO_PAD.decode(token).unwrap();
    let (header, rest) = token.split_at(HEADER_LENGTH);
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LENGTH>().unwrap();
    cipher().decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: header }).unwrap()
}

/// A token of a version with something else inside.
fn seal(version: u8, contents: &[u8]) -> String {
    let header = [&[version, 3][..], b"key"].concat();
    let nonce = [7; NONCE_LENGTH];
    let sealed = cipher().encrypt(&XNonce::from(nonce), Payload { msg: contents, aad: &header }).unwrap();
    URL_SAFE_NO_PAD.encode([&header[..], &nonce, &sealed].concat())
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (number, fuzzed) = (input.0 % 3 + 2, input.1);
    let version = if number == 2 { TokenVersion::Previous } else { TokenVersion::Current };
    let tokens = PageTokens { version, ..PageTokens::new(KEYS.parse().unwrap()) };
    let query = Fingerprint::of("books").part("order", b"title").finish();
    let start = Cursor { direction: Direction::Forward, position: Position::Start };
    // With the query's fingerprint and the time of issue before it, so that the rest is looked at as well.
    let honest = contents(&tokens.seal(&start, &query).unwrap());
    for contents in [fuzzed.clone(), [honest, fuzzed].concat()] {
        match tokens.open(&seal(number, &contents), &query) {
            Ok(cursor) => {
                // The time of issue may take more bytes than the one it came with, and a token ends at 4 KiB.
                let Ok(again) = tokens.seal(&cursor, &query) else { continue };
                assert_eq!(tokens.open(&again, &query), Ok(cursor));
            }
            Err(error) => assert!(!matches!(error.kind, Kind::Untrusted | Kind::UnsupportedVersion), "it was sealed"),
        }
    }
});
