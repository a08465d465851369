//! Time, and what is typical of many measurements.

use std::time::{Duration, Instant};

use crate::Result;

/// How long something took.
pub(crate) type Time = Duration;

/// What measures time.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures the time that passes")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Time {
        self.0.elapsed()
    }
}

/// The median, which is also called p50.
pub(crate) fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> Result<T> {
    values.sort_by(|left, right| left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal));
    Ok(values.get(values.len() / 2).copied().ok_or("nothing was measured")?)
}

/// As in `0.613 ms`.
pub(crate) fn milliseconds(time: Time) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}
