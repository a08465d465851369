use sha2::{Digest, Sha256, digest::consts::U16};

use crate::TokenVersion;

/// A digest of everything that decides which rows a list has and in which order: the list, its owner, the filters and
/// the order. A page token contains the fingerprint of its query, and opens only for a query with the same fingerprint.
///
/// A digest has 16 bytes, so two queries practically never have the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    current: [u8; 16],
    previous: [u8; 16],
}

impl Fingerprint {
    /// Starts the fingerprint of a query of the list with this name.
    pub fn of(list: &str) -> FingerprintBuilder {
        FingerprintBuilder(Sha256::new()).part("list", list.as_bytes())
    }

    /// Binds the tokens of [`TokenVersion::Previous`] to the fingerprint `previous` instead: for a release whose queries
    /// have other parts than those of the previous release. Without it, the tokens of all versions have the same
    /// fingerprint.
    #[must_use]
    pub fn with_previous(self, previous: Fingerprint) -> Self {
        Self { previous: previous.current, ..self }
    }

    /// The fingerprint that a token of the version with this number contains.
    pub(crate) fn of_version(&self, number: u8) -> &[u8] {
        if number == TokenVersion::Previous.number() { &self.previous } else { &self.current }
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
        let (first, _) = self.0.finalize().split::<U16>();
        let digest = first.into();
        Fingerprint { current: digest, previous: digest }
    }
}
