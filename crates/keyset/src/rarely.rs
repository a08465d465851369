use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The shortest time between two log lines about the same thing.
const INTERVAL: Duration = Duration::from_secs(5);

/// Something that callers can make happen many times a second, and that is logged at most every five seconds.
#[derive(Debug)]
pub struct Rarely(Mutex<State>);

#[derive(Debug)]
struct State {
    log_time: Option<Instant>,
    /// How often it happened since then.
    times: u64,
}

impl Rarely {
    /// Something that has not happened yet.
    pub const fn new() -> Self {
        Self(Mutex::new(State { log_time: None, times: 0 }))
    }

    /// Counts that it happened. If it is to be logged now, returns how often it happened since it was last logged.
    pub fn times(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.times += 1;
        if state.log_time.is_some_and(|logged| logged.elapsed() < INTERVAL) {
            return None;
        }
        state.log_time = Some(Instant::now());
        Some(std::mem::take(&mut state.times))
    }
}

impl Default for Rarely {
    fn default() -> Self {
        Self::new()
    }
}
