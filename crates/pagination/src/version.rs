use std::str::FromStr;

use crate::Fingerprint;

/// The version of page tokens to write. A server reads its default version, the previous version and the next version,
/// so that a fleet can be upgraded and rolled back while clients walk through pages:
///
/// 1. Upgrade every server. Configure the new servers to write the previous version, which all servers read.
/// 2. When all servers are upgraded, let them write the current version.
///
/// To roll back to the previous release, first configure all servers to write the previous version again. Replace them
/// once the tokens of the current version are no longer in use.
///
/// | version | contents of a token's box | |
/// | --- | --- | --- |
/// | 1 | the query's fingerprint, the time of issue, the direction, the place and the keys | written if configured, read |
/// | 2 | the same, but only the first 16 bytes of the fingerprint: 21 characters less | written by default, read |
/// | 3 | the contents of version 2, and fields that a reader of version 2 can ignore | read |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenVersion {
    /// Version 1, for use while servers of the previous release are running, because they read no other.
    Previous,
    /// Version 2.
    #[default]
    Current,
}

impl TokenVersion {
    /// The first version with a shortened fingerprint. It is still long enough that two queries never have the same
    /// one.
    const SHORT_FINGERPRINT: u8 = 2;
    /// The highest version that is read.
    pub(crate) const NEXT: u8 = 3;

    /// The number in the token.
    pub fn number(self) -> u8 {
        match self {
            Self::Previous => 1,
            Self::Current => 2,
        }
    }

    /// The part of a query's fingerprint that a token of this version contains.
    pub(crate) fn fingerprint(number: u8, query: &Fingerprint) -> &[u8] {
        let whole = query.as_bytes();
        if number < Self::SHORT_FINGERPRINT { whole } else { whole.first_chunk::<16>().map_or(whole, |part| part) }
    }
}

/// The number is not that of a version that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 or 2")]
pub struct TokenVersionError;

impl FromStr for TokenVersion {
    type Err = TokenVersionError;

    fn from_str(text: &str) -> Result<Self, TokenVersionError> {
        let mut versions = [Self::Previous, Self::Current].into_iter();
        versions.find(|version| version.number().to_string() == text).ok_or(TokenVersionError)
    }
}
