//! The rows of the service, each beside the SQL that fills it.

mod summaries;
mod usage;

pub use summaries::SUMMARIES;
pub(crate) use summaries::{DIMENSIONS, Dimensions, SummaryRow};
pub use usage::USAGE;
pub(crate) use usage::{NewUsage, UsageRow};

/// The message type of a usage record.
pub(crate) const USAGE_RECORD: &str = "meter.v1.UsageRecord";
