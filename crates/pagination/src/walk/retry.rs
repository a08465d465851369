use std::{error::Error, iter::successors, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// When the call for a page is sent again.
///
/// A call is sent again when its status has one of the [`codes`](Self::codes), and when the connection failed during the
/// call. The delays grow exponentially, with jitter. If the status has a `google.rpc.RetryInfo`, the delay is at least
/// the one that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// How often the call for one page is sent again at most. Default: 5.
    pub max_retries: usize,
    /// How long after the first call for a page a call is sent again at most. Default: 60 seconds.
    pub max_time: Duration,
    /// The first delay. Default: 100 milliseconds.
    pub min_delay: Duration,
    /// The longest delay, if the server does not ask for a longer one. Default: 10 seconds.
    pub max_delay: Duration,
    /// Further codes can be added. Default: UNAVAILABLE and RESOURCE_EXHAUSTED.
    pub codes: Vec<Code>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_retries: 5,
            max_time: Duration::from_secs(60),
            min_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            codes: vec![Code::Unavailable, Code::ResourceExhausted],
        }
    }
}

impl Retry {
    /// No call is sent again, except for a smaller page when the answer was too large.
    pub const NONE: Self = Self {
        max_retries: 0,
        max_time: Duration::ZERO,
        min_delay: Duration::ZERO,
        max_delay: Duration::ZERO,
        codes: Vec::new(),
    };

    /// The retries of the call for one page, which is sent now for the first time.
    pub(super) fn begin(&self) -> Retries<'_> {
        let delays = ExponentialBuilder::default()
            .with_min_delay(self.min_delay)
            .with_max_delay(self.max_delay)
            .with_max_times(self.max_retries)
            .with_jitter()
            .build();
        Retries { retry: self, delays, begun: Instant::now() }
    }
}

/// The retries of the call for one page.
pub(super) struct Retries<'a> {
    retry: &'a Retry,
    delays: backon::ExponentialBackoff,
    begun: Instant,
}

impl Retries<'_> {
    /// How long to wait before the call is sent again after this status, or `None` if it is not.
    pub(super) fn delay(&mut self, status: &Status) -> Option<Duration> {
        if !self.retry.codes.contains(&status.code()) && !is_of_connection(status) {
            return None;
        }
        let delay = self.delays.next()?.max(requested_delay(status).unwrap_or_default());
        (self.begun.elapsed() + delay <= self.retry.max_time).then_some(delay)
    }
}

/// The delay that the server asks for.
pub(super) fn requested_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Whether the connection failed during the call. The status that tonic then makes has a source, which no status of a
/// server has. Its code depends on where the connection was: it can be UNKNOWN, INTERNAL or CANCELLED.
fn is_of_connection(status: &Status) -> bool {
    let is_unclear = matches!(status.code(), Code::Unknown | Code::Internal | Code::Cancelled | Code::Unavailable);
    is_unclear && status.source().is_some()
}

/// Whether a timeout of the channel has ended the call. tonic's code for it is CANCELLED.
pub(super) fn has_timed_out(status: &Status) -> bool {
    successors(status.source(), |&cause| cause.source()).any(|cause| cause.is::<TimeoutExpired>())
}
