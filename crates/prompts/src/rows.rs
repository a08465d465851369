//! The rows of the service, each beside the SQL that fills it.

mod deployments;
mod labels;
mod prompts;
mod versions;

pub use deployments::DEPLOYMENTS;
pub(crate) use deployments::DeploymentRow;
pub use labels::LABELS;
pub(crate) use labels::LabelRow;
pub use prompts::PROMPTS;
pub(crate) use prompts::{Change, NewPrompt, PromptRow};
pub use versions::VERSIONS;
pub(crate) use versions::VersionRow;

/// The message type of a prompt.
pub(crate) const PROMPT: &str = "prompts.v1.Prompt";
/// The message type of a version.
pub(crate) const VERSION: &str = "prompts.v1.PromptVersion";
/// The message type of a label.
pub(crate) const LABEL: &str = "prompts.v1.Label";
