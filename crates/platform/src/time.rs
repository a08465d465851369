use crate::Clock;
use prost_types::Timestamp;
use time::OffsetDateTime;

/// The time now, to the microsecond, which is what Postgres keeps.
pub fn now(clock: &Clock) -> OffsetDateTime {
    let now = OffsetDateTime::from(clock.now());
    now.replace_microsecond(now.microsecond()).unwrap_or(now)
}

/// A time as protobuf has it.
pub fn timestamp(time: OffsetDateTime) -> Timestamp {
    // Less than a billion, which an i32 holds.
    Timestamp { seconds: time.unix_timestamp(), nanos: time.nanosecond() as i32 }
}
