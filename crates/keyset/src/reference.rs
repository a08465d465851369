//! The references under which internal errors are logged.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long an error that occurs again keeps its reference and is only counted.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many different errors are told apart in that time. All further ones have one reference.
const MAX_ERRORS: usize = 100;

static REFERENCES: LazyLock<Mutex<References>> = LazyLock::new(Mutex::default);

/// Returns the reference under which the log has this error. Callers can make an error occur often, so each is logged
/// once a minute.
pub(crate) fn logged(error: String) -> String {
    REFERENCES.lock().unwrap_or_else(PoisonError::into_inner).of(error)
}

/// The errors of the current interval, by text. `None` stands for those that are not told apart.
#[derive(Debug, Default)]
struct References {
    begin: Option<Instant>,
    seen: HashMap<Option<String>, Seen>,
}

#[derive(Debug)]
struct Seen {
    reference: String,
    /// How often the error occurred again.
    again: u64,
}

impl References {
    fn of(&mut self, error: String) -> String {
        if self.begin.is_none_or(|begin| begin.elapsed() >= INTERVAL) {
            self.begin = Some(Instant::now());
            for Seen { reference, again } in std::mem::take(&mut self.seen).into_values().filter(|seen| seen.again > 0)
            {
                tracing::error!(reference, times = again, "the internal error occurred again");
            }
        }
        let error = Some(error);
        let is_told_apart = self.seen.len() < MAX_ERRORS || self.seen.contains_key(&error);
        let key = if is_told_apart { error.clone() } else { None };
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.again += 1;
            return seen.reference.clone();
        }
        let reference = format!("{:016x}", getrandom::u64().unwrap_or_default());
        tracing::error!(reference, error, "internal error");
        self.seen.insert(key, Seen { reference: reference.clone(), again: 0 });
        reference
    }
}
