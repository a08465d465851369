//! A collector: shares its readings among scrapers.

use std::{
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use platform::Rarely;
use prometheus::proto::MetricFamily;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::{
    reading::{Last, Record, Source, read},
    server::Server,
};

/// The metrics of a reading; `None` if it failed.
type Outcome = Option<Arc<[MetricFamily]>>;
type Reading = BoxFuture<'static, Outcome>;

/// Reads the metrics of a source: one reading at a time, which all scrapers share that ask meanwhile. It is dropped when
/// the last of them has gone.
pub(super) struct Collector<S> {
    server: Arc<Server>,
    window: Duration,
    cache: Duration,
    current: Mutex<Option<WeakShared<Reading>>>,
    kept: Arc<Mutex<Option<Kept>>>,
    last: Last,
    source: PhantomData<fn() -> S>,
}

/// The metrics of a reading, until this time.
struct Kept(Instant, Arc<[MetricFamily]>);

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
        let (current, kept, last) = Default::default();
        Self { server, window, cache, current, kept, last, source: PhantomData }
    }

    /// The metrics, if they can be read until the deadline.
    pub(super) async fn collect(&self, deadline: Instant) -> Collected {
        let outcome = match self.kept() {
            Some(kept) => Some(kept),
            None => timeout_at(deadline, self.reading()).await.ok().flatten(),
        };
        Collected { name: S::NAME, outcome, last: *lock(&self.last) }
    }

    /// The metrics of the last reading, if they may be used again.
    fn kept(&self) -> Outcome {
        let kept = lock(&self.kept);
        kept.as_ref().filter(|Kept(until, _)| Instant::now() < *until).map(|Kept(_, families)| families.clone())
    }

    /// The reading that goes on, or a new one.
    fn reading(&self) -> Shared<Reading> {
        let mut current = lock(&self.current);
        let going_on = current.as_ref().and_then(WeakShared::upgrade).filter(|reading| reading.peek().is_none());
        going_on.unwrap_or_else(|| {
            let reading = self.begin().shared();
            *current = reading.downgrade();
            reading
        })
    }

    fn begin(&self) -> Reading {
        let (server, window, cache) = (self.server.clone(), self.window, self.cache);
        let (last, kept) = (self.last.clone(), self.kept.clone());
        let reading = async move {
            match read::<S>(&server, window, last).await {
                Ok(families) => {
                    let families: Arc<[_]> = families.into();
                    if !cache.is_zero() {
                        *lock(&kept) = Some(Kept(Instant::now() + cache, families.clone()));
                    }
                    Some(families)
                }
                Err(error) => {
                    failed(S::NAME, &*error);
                    None
                }
            }
        };
        reading.instrument(tracing::debug_span!("reading", collector = S::NAME)).boxed()
    }
}

/// Logs a failed reading.
fn failed(collector: &str, error: &(dyn std::error::Error + Send + Sync)) {
    static FAILED: Rarely = Rarely::new();
    if let Some(times) = FAILED.times() {
        tracing::warn!(collector, %error, times, "cannot read metrics");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
