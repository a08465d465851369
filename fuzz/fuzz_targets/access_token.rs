//! Any text as an access token: nobody is known by one that was not signed, or was changed since.
#![no_main]

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use access::{Caller, Scope, SigningKeys};
use libfuzzer_sys::fuzz_target;
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

static KEYS: LazyLock<SigningKeys> = LazyLock::new(|| {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    pem::encode(&pem::Pem::new("PRIVATE KEY", key.as_ref())).parse().unwrap()
});

fuzz_target!(|input: (String, Vec<String>, Vec<(u16, u8)>)| {
    let (text, scopes, changes) = input;
    let now = OffsetDateTime::UNIX_EPOCH;
    assert_eq!(KEYS.verify(&text, now), None, "{text} was signed by nobody");

    let scopes: BTreeSet<_> = scopes.into_iter().filter(|scope| !scope.is_empty() && !scope.contains(' ')).collect();
    let scopes = Arc::new(scopes.into_iter().map(Scope).collect());
    let caller = Caller { workspace: "acme".to_owned(), subject: text, scopes, session: Some(Uuid::nil()) };
    let token = KEYS.private().unwrap().sign(&caller, now, now + Duration::hours(1)).unwrap().token;
    assert_eq!(KEYS.verify(&token, now), Some(caller));
    let mut changed = token.clone().into_bytes();
    for (place, value) in changes {
        let place = usize::from(place) % changed.len();
        changed[place] ^= value & 0x7f;
    }
    let changed = String::from_utf8(changed).unwrap();
    assert!(changed == token || KEYS.verify(&changed, now).is_none(), "{changed} was {token}");
});
