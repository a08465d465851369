use crate::Scope;

/// Why a call is refused, or why an access token cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller is unknown. The answer is the same for every reason.
    #[error("a valid credential is required")]
    Unauthenticated,
    /// The caller does not have this scope.
    #[error("the scope {0} is required")]
    PermissionDenied(Scope),
    /// The contract has no such method.
    #[error("there is no such method")]
    UnknownMethod,
    /// The metadata [`WORKSPACE_METADATA`](crate::WORKSPACE_METADATA) is not a valid name of a workspace.
    #[error("must be 1 to 63 of a-z, 0-9 and -")]
    Workspace,
    /// Signing an access token failed.
    #[error("an access token cannot be signed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}
