use std::str::FromStr;

use crate::Fingerprint;

/// Which version of page tokens to write. A server reads the version that it writes unless told otherwise, the one before
/// it and the one after it, so that a fleet can be upgraded and rolled back while walks are under way:
///
/// 1. Upgrade every server, with the new ones told to write the version before, which all of them read.
/// 2. Then let them write the current version, which each of them reads.
///
/// To go back to the release before, tell all servers to write the version before again, and exchange them when the walks of
/// in between are done.
///
/// | version | a token's box holds | |
/// | --- | --- | --- |
/// | 1 | the query's fingerprint, the time of issue, the direction, the place and the keys | written when told to |
/// | 2 | the same, with the first 16 bytes of the fingerprint: 21 characters less | written |
/// | 3 | what 2 holds, and what a reader of 2 may pass over | read |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenVersion {
    /// Version 1, for as long as there are servers of the release that read no other.
    Previous,
    /// Version 2.
    #[default]
    Current,
}

impl TokenVersion {
    /// The first version that holds a part of the fingerprint, long enough that two queries never have the same.
    const SHORT_FINGERPRINT: u8 = 2;
    /// The last version that is read.
    pub(crate) const NEXT: u8 = 3;

    /// The number that stands in the token.
    pub fn number(self) -> u8 {
        match self {
            Self::Previous => 1,
            Self::Current => 2,
        }
    }

    /// The part of a query's fingerprint that a token of a version holds.
    pub(crate) fn fingerprint(number: u8, query: &Fingerprint) -> &[u8] {
        let whole = query.as_bytes();
        if number < Self::SHORT_FINGERPRINT { whole } else { whole.first_chunk::<16>().map_or(whole, |part| part) }
    }
}

/// A number that is not of a version that can be written.
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
