use sha2::{Digest, Sha256};

/// A digest of everything that decides which rows a list has and in which order: the list, whose rows they are, the
/// filters and the order. A page token carries it, and opens only for a query that has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Begins the fingerprint of a query of the list with this name.
    pub fn of(list: &str) -> FingerprintBuilder {
        FingerprintBuilder(Sha256::new()).part("list", list.as_bytes())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Gathers the parts of a [`Fingerprint`].
#[derive(Debug, Clone)]
pub struct FingerprintBuilder(Sha256);

impl FingerprintBuilder {
    /// Adds a part: what it is called and its bytes. Both go in behind their lengths, so that no two sequences of parts
    /// are alike. A part that is absent is left out, which differs from one that is empty.
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
