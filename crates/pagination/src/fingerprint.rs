use sha2::{Digest, Sha256};

/// A digest of everything that decides which rows a list has and in which order: the list, its owner, the filters and
/// the order. A page token contains the fingerprint of its query, and opens only for a query with the same fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Starts the fingerprint of a query of the list with this name.
    pub fn of(list: &str) -> FingerprintBuilder {
        FingerprintBuilder(Sha256::new()).part("list", list.as_bytes())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Collects the parts of a [`Fingerprint`].
#[derive(Debug, Clone)]
pub struct FingerprintBuilder(Sha256);

impl FingerprintBuilder {
    /// Adds a part: its name and its bytes. Both are hashed with their lengths, so that different sequences of parts
    /// never have the same fingerprint. An absent part is not added, and so differs from an empty part.
    pub fn part(self, name: &str, value: &[u8]) -> Self {
        let sized = |bytes: &[u8]| (bytes.len() as u64).to_be_bytes();
        let digest = self.0.chain_update(sized(name.as_bytes())).chain_update(name);
        Self(digest.chain_update(sized(value)).chain_update(value))
    }

    /// The fingerprint of the parts so far.
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}
