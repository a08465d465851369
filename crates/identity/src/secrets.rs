//! The secrets of callers: their format, and the hashes that are stored.

use access::is_workspace;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, aead::Aead};
use platform::Error;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The bytes of a secret. Nobody can guess 32 random bytes, so a fast hash of them is as safe as a slow one.
pub(crate) type Bytes = [u8; 32];

/// New random bytes.
#[expect(clippy::disallowed_methods, reason = "a secret must come from the operating system's random source")]
pub(crate) fn random() -> Result<Bytes, Error> {
    let mut bytes = Bytes::default();
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// The hash that is stored.
pub(crate) fn hash(bytes: &Bytes) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// The secret of an API key. Its text is `quire-key_<workspace>_<id>_<base64url>`: the prefix says what the text is,
/// and the workspace and the id find the key.
#[derive(Clone)]
pub(crate) struct KeySecret {
    pub(crate) workspace: String,
    pub(crate) id: Uuid,
    pub(crate) bytes: Bytes,
}

const KEY: &str = "quire-key";
const REFRESH: &str = "quire-refresh";

impl KeySecret {
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (workspace, id, secret) = parts(KEY, text)?;
        Some(Self { workspace, id, bytes: secret.try_into().ok()? })
    }

    pub(crate) fn text(&self) -> String {
        format!("{}_{}", key_prefix(&self.workspace, self.id), URL_SAFE_NO_PAD.encode(self.bytes))
    }
}

/// The prefix of the text of an API key's secret.
pub(crate) fn key_prefix(workspace: &str, id: Uuid) -> String {
    prefix(KEY, workspace, id)
}

/// A refresh token. All refresh tokens of a session have the same family. It distinguishes a token that was used before
/// from a token that never existed: only the session's owner, or a thief, knows the family.
#[derive(Clone)]
pub(crate) struct RefreshToken {
    pub(crate) workspace: String,
    pub(crate) session_id: Uuid,
    pub(crate) family: Bytes,
    pub(crate) bytes: Bytes,
}

impl RefreshToken {
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (workspace, session_id, secret) = parts(REFRESH, text)?;
        let (family, bytes) = secret.split_first_chunk()?;
        Some(Self { workspace, session_id, family: *family, bytes: bytes.try_into().ok()? })
    }

    /// The token of the same session and family with new bytes.
    pub(crate) fn next(&self) -> Result<Self, Error> {
        Ok(Self { bytes: random()?, ..self.clone() })
    }

    /// Encrypts the token that replaces this one, so that only a holder of this one can read it: a nonce of 24 bytes, and
    /// 48 of XChaCha20-Poly1305.
    pub(crate) fn seal(&self, next: &Self) -> Result<Vec<u8>, Error> {
        let nonce: [u8; 24] = *random()?.first_chunk().ok_or(Error::Sealing)?;
        let sealed = self.cipher().encrypt(&nonce.into(), next.bytes.as_slice()).map_err(|_| Error::Sealing)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// The token that [`seal`](Self::seal) encrypted, if it was with this one.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Self> {
        let (nonce, sealed) = sealed.split_first_chunk::<24>()?;
        let bytes = self.cipher().decrypt(&(*nonce).into(), sealed).ok()?;
        Some(Self { bytes: bytes.try_into().ok()?, ..self.clone() })
    }

    /// The key is another hash of the token than the stored one, from which it does not follow.
    fn cipher(&self) -> XChaCha20Poly1305 {
        let key = Sha256::new().chain_update(b"quire refresh token 1").chain_update(self.bytes).finalize();
        XChaCha20Poly1305::new(&key)
    }

    pub(crate) fn text(&self) -> String {
        let secret = URL_SAFE_NO_PAD.encode([self.family, self.bytes].concat());
        format!("{}_{secret}", prefix(REFRESH, &self.workspace, self.session_id))
    }
}

fn prefix(kind: &str, workspace: &str, id: Uuid) -> String {
    format!("{kind}_{workspace}_{}", id.simple())
}

/// The workspace, the id and the bytes of a secret's text.
fn parts(kind: &str, text: &str) -> Option<(String, Uuid, Vec<u8>)> {
    // The first three parts contain no underscore.
    let mut parts = text.splitn(4, '_');
    let (is, workspace, id, secret) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if is != kind || !is_workspace(workspace) {
        return None;
    }
    let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
    Some((workspace.to_owned(), Uuid::try_parse(id).ok()?, secret))
}
