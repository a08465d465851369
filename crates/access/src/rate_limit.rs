use std::{
    collections::HashMap,
    hash::Hash,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;

/// The number of keys that are remembered. Further keys share one limit.
const MAX_KEYS: usize = 10_000;

/// Limits how often something may happen for each key, such as an address: as often as in a minute at once, and then at
/// that rate. It is the generic cell rate algorithm of ATM ([ITU-T
/// I.371](https://www.itu.int/rec/T-REC-I.371)), which needs one time for each key.
#[derive(Debug)]
pub struct RateLimit<K> {
    interval: time::Duration,
    burst: time::Duration,
    /// When each key will have rested: when it may happen as often as in a minute again.
    rested: Mutex<HashMap<Option<K>, OffsetDateTime>>,
}

/// It happened too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften {
    /// When it may happen again.
    pub retry_after: Duration,
}

impl<K: Eq + Hash> RateLimit<K> {
    /// At most this often a minute for each key.
    pub fn per_minute(times: NonZeroU32) -> Self {
        let burst = time::Duration::MINUTE;
        Self { interval: burst / times.get(), burst, rested: Mutex::default() }
    }

    /// Counts that it happens.
    ///
    /// # Errors
    ///
    /// [`TooOften`] if it must not happen now. Then it is not counted.
    pub fn count(&self, key: K, now: OffsetDateTime) -> Result<(), TooOften> {
        self.happen(key, now, true)
    }

    /// Whether it may happen now.
    ///
    /// # Errors
    ///
    /// [`TooOften`] if it must not.
    pub fn check(&self, key: K, now: OffsetDateTime) -> Result<(), TooOften> {
        self.happen(key, now, false)
    }

    fn happen(&self, key: K, now: OffsetDateTime, is_counted: bool) -> Result<(), TooOften> {
        let mut rested = self.rested.lock().unwrap_or_else(PoisonError::into_inner);
        if rested.len() >= MAX_KEYS {
            rested.retain(|_, time| *time > now);
        }
        let key = Some(key);
        let key = if rested.len() < MAX_KEYS || rested.contains_key(&key) { key } else { None };
        // A clock that was set back must not make callers wait longer.
        let rests = rested.get(&key).copied().unwrap_or(now).clamp(now, now + self.burst);
        let next = rests + self.interval;
        let too_long = next - now - self.burst;
        let is_too_often = too_long.is_positive();
        rested.insert(key, if is_counted && !is_too_often { next } else { rests });
        if is_too_often { Err(TooOften { retry_after: too_long.unsigned_abs() }) } else { Ok(()) }
    }
}
