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
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.times += 1;
        if state.logged.is_some_and(|logged| logged.elapsed() < INTERVAL) {
            return None;
        }
        state.logged = Some(Instant::now());
        Some(std::mem::take(&mut state.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_logged_every_five_seconds_with_the_number_of_times() {
        let rarely = Rarely::new();
        assert_eq!([rarely.times(), rarely.times(), rarely.times()], [Some(1), None, None]);
        tokio::time::advance(INTERVAL).await;
        assert_eq!([rarely.times(), rarely.times()], [Some(3), None]);
    }
}
