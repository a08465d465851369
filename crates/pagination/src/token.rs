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
    DEFAULT_ERROR_DOMAIN, Fingerprint, PageFields, PageTokenError, PageTokenErrorKind, TokenKeys, TokenVersion,
    keys::{MAX_ID_LENGTH, TokenKey},
};

/// How long a token is valid by default: 72 hours.
pub const DEFAULT_TIME_TO_LIVE: Duration = Duration::from_secs(72 * 60 * 60);
/// The maximum length of a token, in characters.
pub const MAX_TOKEN_LENGTH: usize = 4_096;
/// The number of bytes that always fit in a token of [`MAX_TOKEN_LENGTH`]: the total size of the values of up to 16
/// keys.
pub const MAX_KEY_BYTES: usize = MAX_TOKEN_LENGTH / 4 * 3 - 256;

const NONCE_LENGTH: usize = 24;

/// The direction in which a page is read from its position. The rows are in the list's order in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Towards the end of the list.
    Forward,
    /// Towards the beginning of the list.
    Backward,
}

/// Where a page begins, seen in its direction. A row is identified by the values of its order columns: each is the
/// bytes of its stored form, or `None` for null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// At the start of the list for [`Direction::Forward`], and at its end for [`Direction::Backward`].
    Start,
    /// After the row with these keys, whether the row still exists or not.
    After(Vec<Option<Vec<u8>>>),
    /// At the row with these keys. If the row still exists, it is part of the page.
    At(Vec<Option<Vec<u8>>>),
}

/// The contents of a page token: where a page begins, and in which direction it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The direction in which the page is read.
    pub direction: Direction,
    /// Where the page begins.
    pub position: Position,
}

/// Seals cursors into page tokens, and opens page tokens.
///
/// A token is base64url without padding of: a version byte, the length of the key id, the key id (all three
/// authenticated), a random nonce of 24 bytes, and an XChaCha20-Poly1305 box
/// ([draft-irtf-cfrg-xchacha](https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha-03)) of the cursor, the
/// time of issue and the query's [`Fingerprint`]. The nonce is long enough to be random: two tokens of one key
/// practically never have the same nonce.
#[derive(Clone)]
pub struct PageTokens {
    /// The keys.
    pub keys: TokenKeys,
    /// How long a token is valid after its issue, in whole seconds.
    pub time_to_live: Duration,
    /// The clock by which tokens are issued and expire.
    pub now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// The version to write.
    pub version: TokenVersion,
    /// The `domain` of the `google.rpc.ErrorInfo` of a refused token: the name of the service that refuses it, as in
    /// `books.example.com`.
    pub error_domain: &'static str,
}

/// Why a token cannot be sealed. Neither reason is the caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The token would be longer than [`MAX_TOKEN_LENGTH`]: see [`MAX_KEY_BYTES`].
    #[error("the order columns of a row are too long for a page token")]
    KeysTooLong,
    /// The operating system returned no random bytes.
    #[error("no randomness for a page token: {0}")]
    Random(#[from] getrandom::Error),
}

impl PageTokens {
    /// Page tokens with these keys, the system's clock, the time to live [`DEFAULT_TIME_TO_LIVE`] and the error domain
    /// [`DEFAULT_ERROR_DOMAIN`].
    #[expect(clippy::disallowed_methods, reason = "the default clock of a service")]
    pub fn new(keys: TokenKeys) -> Self {
        Self {
            keys,
            time_to_live: DEFAULT_TIME_TO_LIVE,
            now: Arc::new(SystemTime::now),
            version: TokenVersion::Current,
            error_domain: DEFAULT_ERROR_DOMAIN,
        }
    }

    /// Seals a cursor into a token for the query with this fingerprint.
    ///
    /// # Errors
    ///
    /// See [`SealError`].
    #[expect(clippy::disallowed_methods, reason = "a nonce must come from the operating system's random source")]
    pub fn seal(&self, cursor: &Cursor, query: &Fingerprint) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LENGTH];
        getrandom::fill(&mut nonce)?;
        let keys = self.keys.now();
        let TokenKey { id, cipher } = &keys.first;
        let version = self.version.number();
        let mut token = header(version, id);
        let contents = Contents::new(cursor, query.of_version(version), unix_seconds((self.now)())).encode_to_vec();
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: &contents, aad: &token })
            .map_err(|chacha20poly1305::Error| SealError::KeysTooLong)?;
        token.extend_from_slice(&nonce);
        token.extend_from_slice(&sealed);
        let token = URL_SAFE_NO_PAD.encode(token);
        if token.len() > MAX_TOKEN_LENGTH { Err(SealError::KeysTooLong) } else { Ok(token) }
    }

    /// Opens a token that was sealed for the query with this fingerprint.
    ///
    /// # Errors
    ///
    /// See [`PageTokenErrorKind`]. If several checks fail, the first one decides.
    pub fn open(&self, token: &str, query: &Fingerprint) -> Result<Cursor, PageTokenError> {
        let field = PageFields::DEFAULT.page_token;
        self.read(token, query).map_err(|kind| PageTokenError { kind, domain: self.error_domain, field })
    }

    fn read(&self, token: &str, query: &Fingerprint) -> Result<Cursor, PageTokenErrorKind> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(PageTokenErrorKind::Malformed);
        }
        let token = URL_SAFE_NO_PAD.decode(token).map_err(|_: base64::DecodeError| PageTokenErrorKind::Malformed)?;
        let Parts { version, header, id, nonce, sealed } = split(&token)?;
        let keys = self.keys.now();
        let TokenKey { cipher, .. } = keys.find(id).ok_or(PageTokenErrorKind::Untrusted)?;
        let contents = cipher
            .decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: header })
            .map_err(|chacha20poly1305::Error| PageTokenErrorKind::Untrusted)?;
        let contents =
            Contents::decode(contents.as_slice()).map_err(|_: prost::DecodeError| PageTokenErrorKind::Malformed)?;
        let age = unix_seconds((self.now)()).saturating_sub(contents.issue_time);
        if u64::try_from(age).is_ok_and(|age| age > self.time_to_live.as_secs()) {
            return Err(PageTokenErrorKind::Expired);
        }
        if contents.fingerprint != query.of_version(version) {
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

/// The unencrypted part of a token: the version, the length of the key id, and the key id.
fn header(version: u8, id: &str) -> Vec<u8> {
    // An id's length is at most MAX_ID_LENGTH, so it fits in a byte.
    let mut header = vec![version, id.len() as u8];
    header.extend_from_slice(id.as_bytes());
    header
}

/// The parts of a token.
struct Parts<'a> {
    version: u8,
    /// The unencrypted part, with the version and the key id.
    header: &'a [u8],
    id: &'a [u8],
    nonce: [u8; NONCE_LENGTH],
    /// The box.
    sealed: &'a [u8],
}

fn split(token: &[u8]) -> Result<Parts<'_>, PageTokenErrorKind> {
    let malformed = PageTokenErrorKind::Malformed;
    let (&version, rest) = token.split_first().ok_or(malformed)?;
    if version == 0 {
        return Err(malformed);
    }
    if !TokenVersion::READ.contains(&version) {
        return Err(PageTokenErrorKind::UnsupportedVersion);
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

/// The contents of the box. Fields that a later version adds are ignored.
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
