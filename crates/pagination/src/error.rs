use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of the `google.rpc.ErrorInfo` of a refused page token, unless the service names its own:
/// [`PageTokens::error_domain`](crate::PageTokens::error_domain).
pub const DEFAULT_ERROR_DOMAIN: &str = "pagination.v1";

/// One field of a request and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field in the request, as in `page.page_size` or `requests[3].prompt.name`.
    pub field: String,
    /// What the field must be; a sentence without a full stop, with the allowed values where there are few.
    pub description: String,
}

impl FieldViolation {
    /// A violation of `field`, which must be as `description` says.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// A request that cannot be answered, whatever the state of the data: `INVALID_ARGUMENT`.
///
/// As a [`Status`] it carries a `google.rpc.BadRequest` with the violations, and for a refused page token also a
/// `google.rpc.ErrorInfo` with its reason. Of many violations it carries the first eight: a status travels in HTTP/2
/// headers, of which clients take a few kilobytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArgument {
    /// Fields that are not what they must be.
    #[error("{}", summary(.0))]
    Fields(Vec<FieldViolation>),
    /// A page token that does not open here.
    #[error("page.page_token: {0}")]
    PageToken(#[from] PageTokenError),
}

impl InvalidArgument {
    /// One field that is not what it must be.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Fields(vec![FieldViolation::new(field, description)])
    }
}

/// A page token that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct PageTokenError {
    /// Why it is refused.
    pub kind: PageTokenErrorKind,
    /// The `domain` of the `google.rpc.ErrorInfo`.
    pub domain: &'static str,
}

/// Why a page token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageTokenErrorKind {
    /// It is not the text of any token: too long, not base64url without padding, or too short to hold a key id and a
    /// nonce.
    #[error("is not a page token; begin again without one")]
    Malformed,
    /// It was not sealed by a key that this server has, or it was changed since.
    #[error("was not given out by this service, or was changed; begin again without one")]
    Untrusted,
    /// It is older than the time that tokens live.
    #[error("has expired; begin again without one")]
    Expired,
    /// It was given out for another list, workspace, filter or order.
    #[error("was given out for another query; send the same filters and order_by with it, or begin again without one")]
    QueryChanged,
    /// It is of a version that this server does not read.
    #[error("is of a version that this server does not read; begin again without one")]
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

impl From<InvalidArgument> for Status {
    fn from(error: InvalidArgument) -> Self {
        let message = error.to_string();
        let mut details = ErrorDetails::new();
        match error {
            InvalidArgument::Fields(violations) => {
                for FieldViolation { field, description } in violations.into_iter().take(MAX_VIOLATIONS) {
                    details.add_bad_request_violation(field, description);
                }
            }
            InvalidArgument::PageToken(error) => {
                details.add_bad_request_violation("page.page_token", error.to_string());
                details.set_error_info(error.kind.reason(), error.domain, []);
            }
        }
        Status::with_error_details(Code::InvalidArgument, message, details)
    }
}

/// Most violations that a status carries.
pub const MAX_VIOLATIONS: usize = 8;

fn summary(violations: &[FieldViolation]) -> String {
    let each = violations.iter().map(|FieldViolation { field, description }| format!("{field}: {description}"));
    let first = each.take(MAX_VIOLATIONS).collect::<Vec<_>>().join("; ");
    match violations.len().saturating_sub(MAX_VIOLATIONS) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}
