//! Log lines that are not repeated too often.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The shortest time between two log lines about the same thing.
const INTERVAL: Duration = Duration::from_secs(5);

/// Something that can happen many times a second, and is logged at most every five seconds.
#[derive(Debug)]
pub(crate) struct Rarely(Mutex<State>);

#[derive(Debug)]
struct State {
    logged: Option<Instant>,
    /// How often it happened since then.
    times: u64,
}

impl Rarely {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State { logged: None, times: 0 }))
    }

    /// Counts that it happened. If it is to be logged now, returns how often it happened since it was last logged.
    pub(crate) fn times(&self) -> Option<u64> {
        self.times_at(Instant::now())
    }

    fn times_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.times += 1;
        if state.logged.is_some_and(|logged| now.duration_since(logged) < INTERVAL) {
            return None;
        }
        state.logged = Some(now);
        Some(std::mem::take(&mut state.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_logged_every_five_seconds_with_the_number_of_times() {
        let (rarely, begin) = (Rarely::new(), Instant::now());
        let times = [0, 1, 4, 5, 9].map(|second| rarely.times_at(begin + Duration::from_secs(second)));
        assert_eq!(times, [Some(1), None, None, Some(3), None]);
    }
}
