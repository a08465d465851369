//! The lists and statements of the service.

pub(crate) mod deployments;
pub(crate) mod labels;
pub(crate) mod prompts;
pub(crate) mod versions;

pub use deployments::DEPLOYMENTS;
pub use labels::LABELS;
pub use prompts::{PROMPT, PROMPTS, PROMPTS_WITH_LATEST_VERSION};
pub use versions::{VERSIONS, version_fields};
