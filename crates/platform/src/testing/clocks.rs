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

/// Controls a clock that only a test advances.
#[derive(Debug, Clone)]
pub struct Hands(Arc<AtomicU64>);

impl Hands {
    /// A clock at this number of seconds since 1970.
    pub fn at(seconds: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seconds)))
    }

    /// A clock at the current second.
    pub fn at_present() -> Self {
        Self::at(Clock::system().now().duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    /// The controlled clock.
    pub fn clock(&self) -> Clock {
        let seconds = self.0.clone();
        Clock::new(move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::SeqCst)))
    }

    /// Advances the clock.
    pub fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Sets the clock back.
    pub fn go_back(&self, seconds: u64) {
        self.0.fetch_sub(seconds, Ordering::SeqCst);
    }

    /// The clock's time plus a number of seconds.
    pub fn time(&self, seconds: i64) -> Timestamp {
        Timestamp { seconds: self.0.load(Ordering::SeqCst) as i64 + seconds, nanos: 0 }
    }
}

/// A clock that advances by a second at each reading.
pub fn ticking() -> Clock {
    let seconds = AtomicU64::new(1_800_000_000);
    Clock::new(move || UNIX_EPOCH + Duration::from_secs(seconds.fetch_add(1, Ordering::Relaxed)))
}

/// Ids that count from 1.
pub fn counting() -> Ids {
    let number = AtomicU64::new(1);
    Ids::new(move || Uuid::from_u128(number.fetch_add(1, Ordering::Relaxed).into()))
}
