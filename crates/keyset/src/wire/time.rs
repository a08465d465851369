//! Times and durations, as the well-known messages of protobuf.

use prost::encoding::encode_varint;

use super::{
    Fault,
    scalar::{array, insert_length},
};

const MICROSECONDS: i64 = 1_000_000;
const DAY: i64 = 86_400;
/// 2000-01-01T00:00:00Z, the epoch of Postgres, in seconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800;
/// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, the range of `google.protobuf.Timestamp`.
const TIMESTAMPS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// About 10,000 years each way, the range of `google.protobuf.Duration`.
const DURATIONS: std::ops::RangeInclusive<i64> = -315_576_000_000..=315_576_000_000;

/// A timestamptz: microseconds since 2000. Infinity is out of range.
pub(super) fn put_timestamp(bytes: [u8; 8], out: &mut Vec<u8>) -> Result<bool, Fault> {
    let microseconds = i64::from_be_bytes(bytes);
    // The division leaves enough room in an i64 for the sum.
    let seconds = microseconds.div_euclid(MICROSECONDS) + POSTGRES_EPOCH;
    if !TIMESTAMPS.contains(&seconds) {
        return Err(Fault::Time);
    }
    put_seconds(seconds, microseconds.rem_euclid(MICROSECONDS) * 1_000, out);
    Ok(false)
}

/// An interval: microseconds, days of 24 hours, and months, which have no fixed length.
pub(super) fn put_duration(bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, Fault> {
    let (microseconds, rest) = bytes.split_first_chunk().ok_or(Fault::Length)?;
    let (days, months) = rest.split_first_chunk().ok_or(Fault::Length)?;
    let [microseconds, days] = [i64::from_be_bytes(*microseconds), i32::from_be_bytes(*days).into()];
    if i32::from_be_bytes(array(months)?) != 0 {
        return Err(Fault::Months);
    }
    let total = i128::from(microseconds) + i128::from(days) * i128::from(DAY * MICROSECONDS);
    // Both parts have the sign of the total.
    let seconds =
        i64::try_from(total / i128::from(MICROSECONDS)).map_err(|_: std::num::TryFromIntError| Fault::Time)?;
    let rest = (total % i128::from(MICROSECONDS)) as i64;
    if !DURATIONS.contains(&seconds) {
        return Err(Fault::Time);
    }
    put_seconds(seconds, rest * 1_000, out);
    Ok(false)
}

/// The message `{int64 seconds = 1, int32 nanos = 2}`, with its length.
fn put_seconds(seconds: i64, nanos: i64, out: &mut Vec<u8>) {
    const SECONDS_KEY: u8 = 1 << 3;
    const NANOS_KEY: u8 = 2 << 3;
    let begin = out.len();
    for (key, value) in [(SECONDS_KEY, seconds), (NANOS_KEY, nanos)] {
        if value != 0 {
            out.push(key);
            encode_varint(value as u64, out);
        }
    }
    insert_length(out, begin);
}
