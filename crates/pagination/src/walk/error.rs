use tonic::Status;
use tonic_types::StatusExt;

use super::Checkpoint;

/// How the reasons of [`PageTokenErrorKind`](crate::PageTokenErrorKind) begin, including those of later versions.
const PAGE_TOKEN_REASON: &str = "PAGE_TOKEN_";

/// Why a walk ended before the end of its list.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind}")]
pub struct WalkError {
    /// What failed.
    pub kind: WalkErrorKind,
    /// Where the walk can be [resumed](super::Walk::resume): after the last row that it returned.
    pub checkpoint: Checkpoint,
}

/// What failed in a walk.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WalkErrorKind {
    /// The call for a page failed, and was not retried or failed each time. This is its last status.
    #[error("{}: {}", .0.code(), .0.message())]
    Call(Status),
    /// The server refused the page token: it has expired, is damaged, or belongs to another query. The walk does not
    /// begin again by itself, because its caller would get rows twice.
    #[error("{}: {}", .0.code(), .0.message())]
    PageToken(Status),
    /// The server returned a page token a second time. The walk would never end.
    #[error("the server returned the same page token twice")]
    RepeatedPageToken,
}

impl WalkErrorKind {
    pub(super) fn of(status: Status) -> Self {
        let info = status.get_details_error_info();
        let is_of_token = info.is_some_and(|info| info.reason.starts_with(PAGE_TOKEN_REASON));
        if is_of_token { Self::PageToken(status) } else { Self::Call(status) }
    }
}

impl WalkError {
    /// The status of the call that failed, if a call did.
    pub fn status(&self) -> Option<&Status> {
        match &self.kind {
            WalkErrorKind::Call(status) | WalkErrorKind::PageToken(status) => Some(status),
            WalkErrorKind::RepeatedPageToken => None,
        }
    }
}

/// The status of the call, or INTERNAL.
impl From<WalkError> for Status {
    fn from(error: WalkError) -> Self {
        match error.kind {
            WalkErrorKind::Call(status) | WalkErrorKind::PageToken(status) => status,
            kind @ WalkErrorKind::RepeatedPageToken => Self::internal(kind.to_string()),
        }
    }
}
