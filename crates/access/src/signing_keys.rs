use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    DecodingKey, EncodingKey, Validation,
    jwk::{
        AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, OctetKeyPairParameters,
        OctetKeyPairType, PublicKeyUse, ThumbprintHash,
    },
};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::{access_token::validation, ed25519};

/// The Ed25519 keys that sign and verify access tokens. Their text is a sequence of PEM blocks, as `openssl genpkey
/// -algorithm ed25519` writes them.
///
/// The first private key signs; every key verifies the tokens that it signed. A `PUBLIC KEY` only verifies: a process
/// without a private key serves every service, but issues no tokens. To rotate keys, first put the new key last in
/// every process, so that all processes verify its tokens. Then put it first, so that it signs. Remove the old key once
/// its tokens have expired. A key's id is the thumbprint of its public half ([RFC
/// 7638](https://www.rfc-editor.org/rfc/rfc7638)).
///
/// A token is only valid for its audience: the servers that use the same database, or that were given the same audience.
///
/// All clones have the same keys: [`SigningKeys::replace`] replaces them everywhere.
#[derive(Clone)]
pub struct SigningKeys {
    keys: Arc<ArcSwap<Keys>>,
    audience: Arc<str>,
    pub(crate) validation: Arc<Validation>,
}

/// The keys at one time.
struct Keys {
    private: Option<Private>,
    checking: Vec<(Jwk, Arc<DecodingKey>)>,
}

#[derive(Clone)]
struct Private {
    id: String,
    key: Arc<EncodingKey>,
}

/// The private key that signs access tokens for an audience.
pub struct SigningKey {
    pub(crate) id: String,
    pub(crate) audience: Arc<str>,
    pub(crate) key: Arc<EncodingKey>,
}

/// Why the text of signing keys is refused. No variant carries the text, which is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeysError {
    /// The text is not PEM.
    #[error("signing keys are written in PEM; make one with: openssl genpkey -algorithm ed25519")]
    Malformed,
    /// A block is not a private or public Ed25519 key.
    #[error(
        "a signing key is a PRIVATE KEY or PUBLIC KEY of Ed25519; make one with: openssl genpkey -algorithm ed25519"
    )]
    NotEd25519,
    /// The text contains no key.
    #[error("there is no signing key; make one with: openssl genpkey -algorithm ed25519")]
    Empty,
    /// A key appears twice.
    #[error("a signing key appears twice")]
    Duplicate,
}

/// The DER prefix of the 32 bytes of an Ed25519 public key ([RFC
/// 8410](https://www.rfc-editor.org/rfc/rfc8410#section-4)).
const PUBLIC_KEY_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PUBLIC_KEY_BYTES: usize = 32;

/// The audience of keys until they are given another one.
const AUDIENCE: &str = "quire";

impl SigningKeys {
    /// The same keys, for tokens with this audience.
    #[must_use]
    pub fn for_audience(&self, audience: &str) -> Self {
        Self { keys: self.keys.clone(), audience: audience.into(), validation: Arc::new(validation(audience)) }
    }

    /// The key that signs: the first private key, if any.
    pub fn private(&self) -> Option<SigningKey> {
        let Private { id, key } = self.keys.load().private.clone()?;
        Some(SigningKey { id, audience: self.audience.clone(), key })
    }

    /// Replaces the keys by those of `other`, in all clones and for all audiences. Use it to rotate keys without a restart.
    pub fn replace(&self, other: &Self) {
        self.keys.store(other.keys.load_full());
    }

    /// The public halves of the keys, for other programs that verify access tokens ([RFC
    /// 7517](https://www.rfc-editor.org/rfc/rfc7517)).
    pub fn public(&self) -> JwkSet {
        JwkSet { keys: self.keys.load().checking.iter().map(|(jwk, _)| jwk.clone()).collect() }
    }

    pub(crate) fn checking(&self, id: &str) -> Option<Arc<DecodingKey>> {
        let keys = self.keys.load();
        let found = keys.checking.iter().find(|(jwk, _)| jwk.common.key_id.as_deref() == Some(id));
        found.map(|(_, key)| key.clone())
    }
}

impl std::str::FromStr for SigningKeys {
    type Err = SigningKeysError;

    fn from_str(text: &str) -> Result<Self, SigningKeysError> {
        // Required before any key is parsed.
        ed25519::install();
        let blocks = pem_blocks(text).ok_or(SigningKeysError::Malformed)?;
        let (mut private, mut checking) = (None, Vec::<(Jwk, Arc<DecodingKey>)>::new());
        for block in &blocks {
            let public = public_key(block).ok_or(SigningKeysError::NotEd25519)?;
            let (id, jwk) = jwk(&public);
            if checking.iter().any(|(other, _)| *other == jwk) {
                return Err(SigningKeysError::Duplicate);
            }
            if private.is_none() && block.tag() == PRIVATE {
                private = Some(Private { id, key: Arc::new(EncodingKey::from_ed_der(block.contents())) });
            }
            checking.push((jwk, Arc::new(DecodingKey::from_ed_der(&public))));
        }
        if checking.is_empty() {
            return Err(SigningKeysError::Empty);
        }
        let keys = Arc::new(ArcSwap::from_pointee(Keys { private, checking }));
        Ok(Self { keys, audience: AUDIENCE.into(), validation: Arc::new(validation(AUDIENCE)) })
    }
}

/// The blocks of a text in PEM; `None` if one of them is not complete.
pub fn pem_blocks(text: &str) -> Option<Vec<pem::Pem>> {
    let blocks = pem::parse_many(text).ok()?;
    // The parser treats a block without an end as a comment.
    (text.matches("-----BEGIN").count() == blocks.len()).then_some(blocks)
}

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// The public half of a key.
fn public_key(block: &pem::Pem) -> Option<Vec<u8>> {
    match block.tag() {
        PRIVATE => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(block.contents()).ok()?;
            Some(pair.public_key().as_ref().to_vec())
        }
        PUBLIC => {
            let key = block.contents().strip_prefix(&PUBLIC_KEY_PREFIX)?;
            (key.len() == PUBLIC_KEY_BYTES).then(|| key.to_vec())
        }
        _ => None,
    }
}

/// A public key as a JWK, and its id.
fn jwk(public: &[u8]) -> (String, Jwk) {
    let parameters = OctetKeyPairParameters {
        key_type: OctetKeyPairType::OctetKeyPair,
        curve: EllipticCurve::Ed25519,
        x: URL_SAFE_NO_PAD.encode(public),
    };
    let common = CommonParameters {
        public_key_use: Some(PublicKeyUse::Signature),
        key_algorithm: Some(KeyAlgorithm::EdDSA),
        ..Default::default()
    };
    let mut jwk = Jwk { common, algorithm: AlgorithmParameters::OctetKeyPair(parameters) };
    let id = jwk.thumbprint(ThumbprintHash::SHA256);
    jwk.common.key_id = Some(id.clone());
    (id, jwk)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SigningKey").field(&self.id).finish()
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.load();
        let ids = keys.checking.iter().map(|(jwk, _)| &jwk.common.key_id);
        formatter.debug_tuple("SigningKeys").field(&ids.collect::<Vec<_>>()).finish()
    }
}
