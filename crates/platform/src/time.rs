use crate::Clock;
use prost_types::Timestamp;
use time::OffsetDateTime;

/// The time now, truncated to microseconds, which is the precision of Postgres.
pub fn now(clock: &Clock) -> OffsetDateTime {
    let now = OffsetDateTime::from(clock.now());
    now.replace_microsecond(now.microsecond()).unwrap_or(now)
}

/// Converts a time to protobuf.
pub fn timestamp(time: OffsetDateTime) -> Timestamp {
    // Nanoseconds are less than a billion, which fits in an i32.
    Timestamp { seconds: time.unix_timestamp(), nanos: time.nanosecond() as i32 }
}
