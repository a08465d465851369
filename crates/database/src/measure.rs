//! Metrics of limits.

use metrics::counter;

/// Counts that a limit has refused or stopped something.
pub(crate) fn limit_reached(limit: &'static str) {
    counter!("limits_reached_total", "limit" => limit).increment(1);
}
