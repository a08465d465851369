use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use crate::Clock;
use prost_types::Timestamp;
use uuid::Uuid;

use crate::Ids;

/// The hands of a clock that stands still unless a test moves them.
#[derive(Debug, Clone)]
pub struct Hands(Arc<AtomicU64>);

impl Hands {
    /// At so many seconds since 1970.
    pub fn at(seconds: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seconds)))
    }

    /// At the second that it is.
    pub fn at_present() -> Self {
        Self::at(Clock::system().now().duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    /// The clock that they belong to.
    pub fn clock(&self) -> Clock {
        let seconds = self.0.clone();
        Clock::new(move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::SeqCst)))
    }

    /// Makes it so much later.
    pub fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Makes it so much earlier.
    pub fn go_back(&self, seconds: u64) {
        self.0.fetch_sub(seconds, Ordering::SeqCst);
    }

    /// The time that many seconds from now.
    pub fn time(&self, seconds: i64) -> Timestamp {
        Timestamp { seconds: self.0.load(Ordering::SeqCst) as i64 + seconds, nanos: 0 }
    }
}

/// A clock that is a second later each time it is asked.
pub fn ticking() -> Clock {
    let seconds = AtomicU64::new(1_800_000_000);
    Clock::new(move || UNIX_EPOCH + Duration::from_secs(seconds.fetch_add(1, Ordering::Relaxed)))
}

/// Ids that are the numbers from 1 on.
pub fn counting() -> Ids {
    let number = AtomicU64::new(1);
    Ids::new(move || Uuid::from_u128(number.fetch_add(1, Ordering::Relaxed).into()))
}
