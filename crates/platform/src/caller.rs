use pagination::InvalidArgument;
use tonic::Request;

use crate::Error;

/// The metadata that names the workspace of a call while there is no authentication.
pub const WORKSPACE_METADATA: &str = "quire-workspace";

const DEFAULT_WORKSPACE: &str = "default";

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The workspace that everything in the call belongs to: 1 to 63 of `[a-z0-9-]`.
    pub workspace: String,
}

impl Caller {
    /// Who makes this call: the workspace is the one that its metadata names, otherwise `default`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when that is not a workspace's name.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Error> {
        let Some(workspace) = request.metadata().get(WORKSPACE_METADATA) else {
            return Ok(Self { workspace: DEFAULT_WORKSPACE.to_owned() });
        };
        let name = workspace.to_str().ok().filter(|name| is_workspace(name));
        let name =
            name.ok_or_else(|| InvalidArgument::field(WORKSPACE_METADATA, "must be 1 to 63 of a-z, 0-9 and -"))?;
        Ok(Self { workspace: name.to_owned() })
    }
}

fn is_workspace(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
