use std::{ops::RangeInclusive, str::FromStr};

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
/// | 1 | the contents of version 2, with 32 bytes of the fingerprint | refused |
/// | 2 | 16 bytes of the query's fingerprint, the time of issue, the direction, the place and the keys | written if configured, read |
/// | 3 | the same; the fingerprint may be another one: see [`Fingerprint::with_previous`](crate::Fingerprint::with_previous) | written by default, read |
/// | 4 | the contents of version 3, and fields that a reader of version 3 can ignore | read |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TokenVersion {
    /// Version 2, for use while servers of the previous release are running, because their queries may have other
    /// fingerprints for later versions.
    Previous,
    /// Version 3.
    #[default]
    Current,
}

impl TokenVersion {
    /// The versions that are read.
    pub(crate) const READ: RangeInclusive<u8> = 2..=4;

    /// The number in the token.
    pub fn number(self) -> u8 {
        match self {
            Self::Previous => 2,
            Self::Current => 3,
        }
    }
}

/// The number is not that of a version that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 2 or 3")]
pub struct TokenVersionError;

impl FromStr for TokenVersion {
    type Err = TokenVersionError;

    fn from_str(text: &str) -> Result<Self, TokenVersionError> {
        let mut versions = [Self::Previous, Self::Current].into_iter();
        versions.find(|version| version.number().to_string() == text).ok_or(TokenVersionError)
    }
}
