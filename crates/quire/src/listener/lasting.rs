use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// A state that begins and ends, and must not last too long.
#[derive(Debug, Default)]
pub(crate) struct Lasting(Mutex<Option<Instant>>);

impl Lasting {
    /// A state that begins now.
    pub(crate) fn begun() -> Self {
        Self(Mutex::new(Some(Instant::now())))
    }

    /// Begins the state now, or again.
    pub(crate) fn begin(&self) {
        *self.lock() = Some(Instant::now());
    }

    /// Ends the state. Returns whether it had begun.
    pub(crate) fn end(&self) -> bool {
        self.lock().take().is_some()
    }

    /// When the state began.
    pub(crate) fn begin_time(&self) -> Option<Instant> {
        *self.lock()
    }

    /// Waits until the state has lasted for this time without an end.
    pub(crate) async fn longer_than(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            // A state that begins later cannot last too long before that.
            let due = self.begin_time().unwrap_or(now) + limit;
            if due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
