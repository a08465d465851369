//! `numeric` as decimal text: exact, without an exponent and without trailing zeros in its fraction.

use super::{Fault, scalar::array};

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;
/// Decimal digits in one digit of Postgres, which has the base 10,000.
const WIDTH: usize = 4;

/// The text of a number in Postgres's binary format: number of digits, weight of the first digit, sign, display scale,
/// then the digits. Each has two bytes.
pub(super) fn text(bytes: &[u8]) -> Result<String, Fault> {
    let (header, digits) = bytes.split_first_chunk::<8>().ok_or(Fault::Length)?;
    let [_, weight, sign, _] = [0, 2, 4, 6].map(|place| header.get(place..place + 2).map(array::<2>));
    let weight = i16::from_be_bytes(weight.ok_or(Fault::Length)??);
    let is_negative = match u16::from_be_bytes(sign.ok_or(Fault::Length)??) {
        0 => false,
        NEGATIVE => true,
        NAN => return Ok("NaN".to_owned()),
        INFINITY => return Ok("Infinity".to_owned()),
        NEGATIVE_INFINITY => return Ok("-Infinity".to_owned()),
        _ => return Err(Fault::Number),
    };
    let digits: Vec<u16> = digits.as_chunks().0.iter().map(|digit| u16::from_be_bytes(*digit)).collect();
    if digits.iter().any(|digit| *digit > 9_999) {
        return Err(Fault::Number);
    }
    let at = |weight_of_digit: i32| {
        let place = usize::try_from(i32::from(weight) - weight_of_digit).ok();
        place.and_then(|place| digits.get(place)).copied().unwrap_or_default()
    };
    let mut text = String::new();
    for weight in (0..=i32::from(weight).max(0)).rev() {
        push(&mut text, at(weight));
    }
    let whole = text.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let mut fraction = String::new();
    let last = i32::from(weight) - digits.len() as i32 + 1;
    for weight in (last..0).rev() {
        push(&mut fraction, at(weight));
    }
    let fraction = fraction.trim_end_matches('0');
    let sign = if is_negative { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    Ok(format!("{sign}{whole}{point}{fraction}"))
}

fn push(text: &mut String, digit: u16) {
    let digits = format!("{digit:0WIDTH$}");
    text.push_str(&digits);
}
