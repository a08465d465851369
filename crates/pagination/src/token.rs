use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    XNonce,
    aead::{Aead, Payload},
};
use prost::Message;

use crate::{
    DEFAULT_ERROR_DOMAIN, Fingerprint, PageTokenError, PageTokenErrorKind, TokenKeys, TokenVersion,
    keys::{MAX_ID_LENGTH, TokenKey},
};

/// How long a token lives unless told otherwise: 72 hours.
pub const DEFAULT_TIME_TO_LIVE: Duration = Duration::from_secs(72 * 60 * 60);
/// The longest token, in characters.
pub const MAX_TOKEN_LENGTH: usize = 4_096;
/// Values of up to 16 keys that have no more bytes than this together always fit in a token of [`MAX_TOKEN_LENGTH`].
pub const MAX_KEY_BYTES: usize = MAX_TOKEN_LENGTH / 4 * 3 - 256;

const NONCE_LENGTH: usize = 24;

/// Which way a page is read from its position. Its rows are in the list's order either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Towards the end of the list.
    Forward,
    /// Towards its beginning.
    Backward,
}

/// Where a page begins, seen in its direction. A row is named by the values of its order columns, each as the bytes
/// that its store gave out, or absent for a null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// At the end of the list that the direction comes from.
    Start,
    /// Behind the row with these keys, whether it is still there or not.
    After(Vec<Option<Vec<u8>>>),
    /// At the row with these keys, which is part of the page if it is still there.
    At(Vec<Option<Vec<u8>>>),
}

/// What a page token says: where a page begins and which way it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Which way the page is read.
    pub direction: Direction,
    /// Where it begins.
    pub position: Position,
}

/// Seals cursors into page tokens and opens them again.
///
/// A token is base64url without padding of: a version byte, the length of the key id, the key id (all three
/// authenticated), a random nonce of 24 bytes, and an XChaCha20-Poly1305 box
/// ([draft-irtf-cfrg-xchacha](https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha-03)) of the cursor, the
/// time of issue and the query's [`Fingerprint`]. The nonce is long enough to be drawn at random for as many tokens as
/// a key will ever seal.
#[derive(Clone)]
pub struct PageTokens {
    /// The keys.
    pub keys: TokenKeys,
    /// How long a token can be used after it was given out, in whole seconds.
    pub time_to_live: Duration,
    /// Tells the time, by which tokens are issued and expire.
    pub now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// The version that is written.
    pub version: TokenVersion,
    /// The `domain` of the `google.rpc.ErrorInfo` of a refused token: the name of the service that refuses it, as in
    /// `books.example.com`.
    pub error_domain: &'static str,
}

/// Why a token cannot be made. Neither is the caller's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The token would be longer than [`MAX_TOKEN_LENGTH`]: see [`MAX_KEY_BYTES`].
    #[error("the order columns of a row are too long for a page token")]
    KeysTooLong,
    /// The operating system has no randomness to give.
    #[error("no randomness for a page token: {0}")]
    Random(#[from] getrandom::Error),
}

impl PageTokens {
    /// Tokens sealed with these keys, by the system's clock, that live for [`DEFAULT_TIME_TO_LIVE`]. Refusals have the
    /// domain [`DEFAULT_ERROR_DOMAIN`].
    #[expect(clippy::disallowed_methods, reason = "the clock of a service that gives none")]
    pub fn new(keys: TokenKeys) -> Self {
        Self {
            keys,
            time_to_live: DEFAULT_TIME_TO_LIVE,
            now: Arc::new(SystemTime::now),
            version: TokenVersion::Current,
            error_domain: DEFAULT_ERROR_DOMAIN,
        }
    }

    /// Makes the token of a cursor in the query with this fingerprint.
    ///
    /// # Errors
    ///
    /// See [`SealError`].
    #[expect(clippy::disallowed_methods, reason = "a nonce must come from the operating system's random source")]
    pub fn seal(&self, cursor: &Cursor, query: &Fingerprint) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LENGTH];
        getrandom::fill(&mut nonce)?;
        let TokenKey { id, cipher } = &self.keys.first;
        let version = self.version.number();
        let mut token = header(version, id);
        let fingerprint = TokenVersion::fingerprint(version, query);
        let contents = Contents::new(cursor, fingerprint, unix_seconds((self.now)())).encode_to_vec();
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: &contents, aad: &token })
            .map_err(|chacha20poly1305::Error| SealError::KeysTooLong)?;
        token.extend_from_slice(&nonce);
        token.extend_from_slice(&sealed);
        let token = URL_SAFE_NO_PAD.encode(token);
        if token.len() > MAX_TOKEN_LENGTH { Err(SealError::KeysTooLong) } else { Ok(token) }
    }

    /// Reads a token that was made for the query with this fingerprint.
    ///
    /// # Errors
    ///
    /// See [`PageTokenErrorKind`]: each names what is wrong with the token, in the order in which it is looked at.
    pub fn open(&self, token: &str, query: &Fingerprint) -> Result<Cursor, PageTokenError> {
        self.read(token, query).map_err(|kind| PageTokenError { kind, domain: self.error_domain })
    }

    fn read(&self, token: &str, query: &Fingerprint) -> Result<Cursor, PageTokenErrorKind> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(PageTokenErrorKind::Malformed);
        }
        let token = URL_SAFE_NO_PAD.decode(token).map_err(|_: base64::DecodeError| PageTokenErrorKind::Malformed)?;
        let Parts { version, header, id, nonce, sealed } = split(&token)?;
        let TokenKey { cipher, .. } = self.keys.find(id).ok_or(PageTokenErrorKind::Untrusted)?;
        let contents = cipher
            .decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: header })
            .map_err(|chacha20poly1305::Error| PageTokenErrorKind::Untrusted)?;
        let contents =
            Contents::decode(contents.as_slice()).map_err(|_: prost::DecodeError| PageTokenErrorKind::Malformed)?;
        let age = unix_seconds((self.now)()).saturating_sub(contents.issue_time);
        if u64::try_from(age).is_ok_and(|age| age > self.time_to_live.as_secs()) {
            return Err(PageTokenErrorKind::Expired);
        }
        if contents.fingerprint != TokenVersion::fingerprint(version, query) {
            return Err(PageTokenErrorKind::QueryChanged);
        }
        contents.into_cursor().ok_or(PageTokenErrorKind::Malformed)
    }
}

impl fmt::Debug for PageTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, time_to_live, now: _, version, error_domain } = self;
        formatter
            .debug_struct("PageTokens")
            .field("keys", keys)
            .field("time_to_live", time_to_live)
            .field("version", version)
            .field("error_domain", error_domain)
            .finish_non_exhaustive()
    }
}

/// The part of a token that is in clear: the version, and the id of its key behind the id's length.
fn header(version: u8, id: &str) -> Vec<u8> {
    // An id's length is at most MAX_ID_LENGTH, so it is never cut.
    let mut header = vec![version, id.len() as u8];
    header.extend_from_slice(id.as_bytes());
    header
}

/// A token taken apart.
struct Parts<'a> {
    version: u8,
    /// The part that is in clear, with the version and the key's id.
    header: &'a [u8],
    id: &'a [u8],
    nonce: [u8; NONCE_LENGTH],
    /// The box.
    sealed: &'a [u8],
}

fn split(token: &[u8]) -> Result<Parts<'_>, PageTokenErrorKind> {
    let malformed = PageTokenErrorKind::Malformed;
    let (&version, rest) = token.split_first().ok_or(malformed)?;
    match version {
        0 => return Err(malformed),
        1..=TokenVersion::NEXT => {}
        _ => return Err(PageTokenErrorKind::UnsupportedVersion),
    }
    let (&id_length, rest) = rest.split_first().ok_or(malformed)?;
    let id_length = usize::from(id_length);
    if id_length == 0 || id_length > MAX_ID_LENGTH {
        return Err(malformed);
    }
    let (id, rest) = rest.split_at_checked(id_length).ok_or(malformed)?;
    let (&nonce, sealed) = rest.split_first_chunk().ok_or(malformed)?;
    let (header, _) = token.split_at_checked(2 + id_length).ok_or(malformed)?;
    Ok(Parts { version, header, id, nonce, sealed })
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// What is inside the box. Fields that a later version adds are passed over.
#[derive(Clone, PartialEq, Message)]
struct Contents {
    #[prost(bytes = "vec", tag = "1")]
    fingerprint: Vec<u8>,
    /// Seconds since the Unix epoch.
    #[prost(int64, tag = "2")]
    issue_time: i64,
    #[prost(bool, tag = "3")]
    backward: bool,
    #[prost(enumeration = "Place", tag = "4")]
    place: i32,
    #[prost(message, repeated, tag = "5")]
    keys: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "vec", optional, tag = "1")]
    value: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum Place {
    Start = 0,
    After = 1,
    At = 2,
}

impl Contents {
    fn new(cursor: &Cursor, fingerprint: &[u8], issue_time: i64) -> Self {
        let (place, keys) = match &cursor.position {
            Position::Start => (Place::Start, &[][..]),
            Position::After(keys) => (Place::After, &keys[..]),
            Position::At(keys) => (Place::At, &keys[..]),
        };
        Self {
            fingerprint: fingerprint.to_vec(),
            issue_time,
            backward: cursor.direction == Direction::Backward,
            place: place.into(),
            keys: keys.iter().map(|value| KeyValue { value: value.clone() }).collect(),
        }
    }

    fn into_cursor(self) -> Option<Cursor> {
        let place = Place::try_from(self.place).ok()?;
        let keys = self.keys.into_iter().map(|key| key.value).collect();
        Some(Cursor {
            direction: if self.backward { Direction::Backward } else { Direction::Forward },
            position: match place {
                Place::Start => Position::Start,
                Place::After => Position::After(keys),
                Place::At => Position::At(keys),
            },
        })
    }
}
