/// The default `domain` of the `google.rpc.ErrorInfo` of a refused page token. A service sets its own with
/// [`PageTokens::error_domain`](crate::PageTokens::error_domain).
pub const DEFAULT_ERROR_DOMAIN: &str = "pagination.v1";

/// One field of a request, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field in the request, as in `page.page_size` or `requests[3].prompt.name`.
    pub field: String,
    /// What the field must be: a sentence without a full stop. It lists the allowed values if there are few.
    pub description: String,
}

impl FieldViolation {
    /// A violation of `field`, which must be as `description` says.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// An invalid request, whatever the state of the data: INVALID_ARGUMENT in gRPC, 400 in HTTP.
///
/// With the feature `tonic` it converts into a `tonic::Status`. Without it, build the answer from
/// [`into_violations`](InvalidArgument::into_violations) and from the [`PageTokenError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArgument {
    /// Invalid fields.
    #[error("{}", summary(.0))]
    Fields(Vec<FieldViolation>),
    /// A page token that this server refuses.
    #[error("{}: {}", .0.field, .0)]
    PageToken(#[from] PageTokenError),
}

impl InvalidArgument {
    /// The error for one invalid field.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Fields(vec![FieldViolation::new(field, description)])
    }

    /// Everything that is wrong, by field. A refused page token is one violation, of its own field.
    pub fn into_violations(self) -> Vec<FieldViolation> {
        match self {
            Self::Fields(violations) => violations,
            Self::PageToken(error) => vec![FieldViolation::new(error.field, error.to_string())],
        }
    }
}

/// A refused page token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct PageTokenError {
    /// The reason.
    pub kind: PageTokenErrorKind,
    /// The `domain` of the `google.rpc.ErrorInfo`.
    pub domain: &'static str,
    /// The path of the token's field in the request. [`PageTokens::open`](crate::PageTokens::open) returns the one of
    /// [`PageFields::DEFAULT`](crate::PageFields::DEFAULT). If the field of your list has another name, set it here.
    pub field: &'static str,
}

/// Why a page token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageTokenErrorKind {
    /// The text is not a token: it is too long, it is not base64url without padding, or it is too short to contain a
    /// key id and a nonce.
    #[error("is not a page token; start again without a token")]
    Malformed,
    /// The token was not sealed with a key of this server, or it was changed.
    #[error("was not issued by this service, or was changed; start again without a token")]
    Untrusted,
    /// The token has expired.
    #[error("has expired; start again without a token")]
    Expired,
    /// The token was issued for another list, workspace, filter or order.
    #[error("was issued for another query; send it with the same filters and order_by, or start again without a token")]
    QueryChanged,
    /// This server does not read the token's version.
    #[error("has a version that this server does not support; start again without a token")]
    UnsupportedVersion,
}

impl PageTokenErrorKind {
    /// The `reason` of the `google.rpc.ErrorInfo`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "PAGE_TOKEN_MALFORMED",
            Self::Untrusted => "PAGE_TOKEN_UNTRUSTED",
            Self::Expired => "PAGE_TOKEN_EXPIRED",
            Self::QueryChanged => "PAGE_TOKEN_QUERY_CHANGED",
            Self::UnsupportedVersion => "PAGE_TOKEN_UNSUPPORTED_VERSION",
        }
    }
}

/// The maximum number of violations that the text of an [`InvalidArgument`] and its `tonic::Status` have.
pub const MAX_VIOLATIONS: usize = 8;

fn summary(violations: &[FieldViolation]) -> String {
    let each = violations.iter().map(|FieldViolation { field, description }| format!("{field}: {description}"));
    let first = each.take(MAX_VIOLATIONS).collect::<Vec<_>>().join("; ");
    match violations.len().saturating_sub(MAX_VIOLATIONS) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}
