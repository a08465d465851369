use std::{fmt, str::FromStr, sync::Arc};

use arc_swap::{ArcSwap, Guard};
use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};

/// The keys that encrypt page tokens, each with an id. The first key seals new tokens; every key opens the tokens that
/// it sealed.
///
/// To rotate keys, put a new key first, and remove the old key once its tokens have expired. Every replica needs the
/// same keys. The text of the keys is `id:base64`, separated by commas: an id has 1 to 16 letters, digits, `_` or `-`;
/// a key has 32 bytes and is not all zero.
///
/// All clones have the same keys: [`TokenKeys::replace`] replaces them everywhere.
#[derive(Clone)]
pub struct TokenKeys(Arc<ArcSwap<Keys>>);

/// The keys at one time.
pub(crate) struct Keys {
    pub(crate) first: TokenKey,
    rest: Vec<TokenKey>,
}

pub(crate) struct TokenKey {
    pub(crate) id: String,
    pub(crate) cipher: XChaCha20Poly1305,
}

/// Why the text of token keys is refused. No variant carries the text, which is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenKeysError {
    /// An entry is not an id, a colon and base64.
    #[error("token keys are written id:base64, separated by commas; an id has 1 to 16 letters, digits, _ or -")]
    Malformed,
    /// A key is not 32 bytes long.
    #[error("a token key is 32 bytes in base64; make one with: openssl rand -base64 32")]
    Length,
    /// A key is all zero.
    #[error("an all-zero token key protects nothing; make one with: openssl rand -base64 32")]
    AllZero,
    /// Two keys have the same id.
    #[error("two token keys have the same id")]
    DuplicateId,
}

/// The maximum length of a key id, in bytes.
pub(crate) const MAX_ID_LENGTH: usize = 16;

impl TokenKeys {
    /// Generates a random key, and returns it with the id `1` as text, in the form that [`TokenKeys::from_str`] reads.
    ///
    /// # Errors
    ///
    /// The operating system returned no random bytes.
    #[expect(clippy::disallowed_methods, reason = "a key must come from the operating system's random source")]
    pub fn generate() -> Result<String, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(format!("1:{}", STANDARD.encode(key)))
    }

    /// Replaces the keys by those of `other`, in all clones. Use it to rotate keys without a restart.
    pub fn replace(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// The keys now.
    pub(crate) fn now(&self) -> Guard<Arc<Keys>> {
        self.0.load()
    }
}

impl Keys {
    pub(crate) fn find(&self, id: &[u8]) -> Option<&TokenKey> {
        self.all().find(|key| key.id.as_bytes() == id)
    }

    fn all(&self) -> impl Iterator<Item = &TokenKey> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

impl FromStr for TokenKeys {
    type Err = TokenKeysError;

    fn from_str(text: &str) -> Result<Self, TokenKeysError> {
        let mut keys = text.split(',').map(|entry| entry.trim().parse::<TokenKey>());
        let first = keys.next().ok_or(TokenKeysError::Malformed)??;
        let mut all = Keys { first, rest: Vec::new() };
        for key in keys {
            let key = key?;
            if all.find(key.id.as_bytes()).is_some() {
                return Err(TokenKeysError::DuplicateId);
            }
            all.rest.push(key);
        }
        Ok(Self(Arc::new(ArcSwap::from_pointee(all))))
    }
}

impl FromStr for TokenKey {
    type Err = TokenKeysError;

    fn from_str(text: &str) -> Result<Self, TokenKeysError> {
        let (id, key) = text.split_once(':').ok_or(TokenKeysError::Malformed)?;
        let id_is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if id.is_empty() || id.len() > MAX_ID_LENGTH || !id_is_plain {
            return Err(TokenKeysError::Malformed);
        }
        let key: [u8; 32] = STANDARD
            .decode(key)
            .map_err(|_: base64::DecodeError| TokenKeysError::Malformed)?
            .try_into()
            .map_err(|_: Vec<u8>| TokenKeysError::Length)?;
        if key == [0; 32] {
            return Err(TokenKeysError::AllZero);
        }
        Ok(Self { id: id.to_owned(), cipher: XChaCha20Poly1305::new(&key.into()) })
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.now();
        formatter.debug_tuple("TokenKeys").field(&keys.all().map(|key| &key.id).collect::<Vec<_>>()).finish()
    }
}
