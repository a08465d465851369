//! A collector: shares its readings among scrapers.

use std::{
    fmt::Display,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use platform::Rarely;
use tokio::time::{Instant, error::Elapsed, timeout, timeout_at};
use tracing::Instrument;

use super::{
    pages::MAX_TIMEOUT,
    reading::{Record, Source, read},
    server::Server,
};

/// The text of a reading's metrics, which all answers share; `None` if it failed.
type Outcome = Option<Bytes>;
type Reading = BoxFuture<'static, Outcome>;

/// Reads the metrics of a source: one reading at a time, which all scrapers share that ask meanwhile. It is dropped when
/// the last of them has gone.
pub(super) struct Collector<S> {
    readings: Arc<Readings>,
    current: Mutex<Option<WeakShared<Reading>>>,
    source: PhantomData<fn() -> S>,
}

/// The settings and results of readings.
struct Readings {
    server: Arc<Server>,
    window: Duration,
    cache: Duration,
    kept: Mutex<Option<Kept>>,
    last: Mutex<Option<Record>>,
    failures: Rarely,
}

/// The metrics of a reading, until this time.
struct Kept(Instant, Bytes);

/// What a collector has for a scrape.
pub(super) struct Collected {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    /// The last reading that has ended. There may be none yet.
    pub(super) last: Option<Record>,
}

impl<S: Source> Collector<S> {
    /// A collector that keeps a successful reading for the time `cache`.
    pub(super) fn new(server: Arc<Server>, window: Duration, cache: Duration) -> Self {
        let (kept, last, failures) = Default::default();
        let readings = Arc::new(Readings { server, window, cache, kept, last, failures });
        Self { readings, current: Mutex::default(), source: PhantomData }
    }

    /// The metrics, if they can be read until the deadline.
    pub(super) async fn collect(&self, deadline: Instant) -> Collected {
        let outcome = match self.readings.kept() {
            Some(kept) => Some(kept),
            None => timeout_at(deadline, self.reading()).await.unwrap_or_else(|_: Elapsed| {
                self.readings.failed(S::NAME, &"the scrape's deadline has passed");
                None
            }),
        };
        Collected { name: S::NAME, outcome, last: *lock(&self.readings.last) }
    }

    /// The reading that goes on, or a new one.
    fn reading(&self) -> Shared<Reading> {
        let mut current = lock(&self.current);
        let going_on = current.as_ref().and_then(WeakShared::upgrade).filter(|reading| reading.peek().is_none());
        going_on.unwrap_or_else(|| {
            let readings = self.readings.clone();
            let reading = async move { readings.read::<S>().await };
            let reading = reading.instrument(tracing::debug_span!("reading", collector = S::NAME)).boxed().shared();
            *current = reading.downgrade();
            reading
        })
    }
}

impl Readings {
    /// The metrics of the last successful reading, if they may be used again.
    fn kept(&self) -> Outcome {
        let kept = lock(&self.kept);
        kept.as_ref().filter(|Kept(until, _)| Instant::now() < *until).map(|Kept(_, text)| text.clone())
    }

    async fn read<S: Source>(&self) -> Outcome {
        let reading = timeout(MAX_TIMEOUT, read::<S>(&self.server, self.window, &self.last)).await;
        match reading.unwrap_or_else(|_: Elapsed| Err(format!("it took longer than {MAX_TIMEOUT:?}").into())) {
            Ok(text) => {
                if !self.cache.is_zero() {
                    *lock(&self.kept) = Some(Kept(Instant::now() + self.cache, text.clone()));
                }
                Some(text)
            }
            Err(error) => {
                self.failed(S::NAME, &error);
                None
            }
        }
    }

    /// Logs that a scrape gets no metrics.
    fn failed(&self, collector: &str, error: &dyn Display) {
        if let Some(times) = self.failures.times() {
            tracing::warn!(collector, %error, times, "cannot read metrics");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
