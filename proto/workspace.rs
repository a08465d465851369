/// The request metadata in which a caller without authentication names its workspace.
pub const WORKSPACE_METADATA: &str = "quire-workspace";

/// The workspace of a caller that names none.
pub const DEFAULT_WORKSPACE: &str = "default";

/// Whether this is a valid name of a workspace: 1 to 63 of `[a-z0-9-]`.
pub fn is_workspace(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
