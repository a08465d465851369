//! The lists and statements of the service.

pub(crate) mod summaries;
pub(crate) mod usage;

use platform::Names;
use quire_proto::meter::v1::UsageDimension;
pub use summaries::SUMMARIES;
pub use usage::{USAGE, usage_fields};

/// The dimensions of summaries, and the list parameter of each.
pub(crate) const DIMENSIONS: Names<UsageDimension> = Names {
    in_contract: UsageDimension::as_str_name,
    in_service: &[
        (UsageDimension::Team, "by_team"),
        (UsageDimension::Agent, "by_agent"),
        (UsageDimension::Model, "by_model"),
        (UsageDimension::Provider, "by_provider"),
        (UsageDimension::Surface, "by_surface"),
        (UsageDimension::EventType, "by_event_type"),
        (UsageDimension::Day, "by_day"),
    ],
};
