//! The lists of the service, and its statements.

pub(crate) mod deployments;
pub(crate) mod labels;
pub(crate) mod prompts;
pub(crate) mod versions;

pub use deployments::DEPLOYMENTS;
pub use labels::LABELS;
pub use prompts::PROMPTS;
pub use versions::VERSIONS;

/// The message type of a prompt.
pub(crate) const PROMPT: &str = "prompts.v1.Prompt";
/// The message type of a version.
pub(crate) const VERSION: &str = "prompts.v1.PromptVersion";
/// The message type of a label.
pub(crate) const LABEL: &str = "prompts.v1.Label";
