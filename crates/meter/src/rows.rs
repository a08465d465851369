//! The rows of the service, each beside the SQL that fills it.

mod summaries;
mod usage;

use platform::Names;
use quire_proto::meter::v1::UsageDimension;
pub use summaries::SUMMARIES;
pub(crate) use summaries::{Dimensions, SummaryRow};
pub use usage::USAGE;
pub(crate) use usage::{NewUsage, UsageRow};

/// The message type of a usage record.
pub(crate) const USAGE_RECORD: &str = "meter.v1.UsageRecord";

/// What usage can be summed up by, and the parameter that says whether it is.
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
