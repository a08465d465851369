//! Numbers between the types of Postgres.

use crate::{target::oid, wire};

/// A number of any of Postgres's types.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Number {
    Integer(i64),
    Single(f32),
    Double(f64),
    /// A numeric: decimal text without trailing zeros, `NaN`, `Infinity` or `-Infinity`.
    Decimal(String),
}

impl Number {
    /// A value of the type with this OID; `None` if that is not a number.
    pub(crate) fn decode(source: u32, bytes: &[u8]) -> Option<Self> {
        Some(match source {
            oid::INT2 => Self::Integer(i16::from_be_bytes(bytes.try_into().ok()?).into()),
            oid::INT4 => Self::Integer(i32::from_be_bytes(bytes.try_into().ok()?).into()),
            oid::INT8 => match bytes.len() {
                // A domain over a smaller type is compared as an int8.
                2 => Self::decode(oid::INT2, bytes)?,
                4 => Self::decode(oid::INT4, bytes)?,
                _ => Self::Integer(i64::from_be_bytes(bytes.try_into().ok()?)),
            },
            oid::FLOAT4 => Self::Single(f32::from_be_bytes(bytes.try_into().ok()?)),
            oid::FLOAT8 if bytes.len() == 4 => Self::decode(oid::FLOAT4, bytes)?,
            oid::FLOAT8 => Self::Double(f64::from_be_bytes(bytes.try_into().ok()?)),
            oid::NUMERIC => Self::Decimal(wire::decimal(bytes)?),
            _ => return None,
        })
    }

    /// The number as an integer of this type; otherwise, what the number must be.
    pub(crate) fn integer<T: TryFrom<i64> + Bounds>(&self) -> Result<T, String> {
        /// 2^63. The doubles below it are in the range of an i64.
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        let whole = |number: f64| (number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number)).then_some(number as i64);
        let integer = match self {
            Self::Integer(number) => Some(*number),
            Self::Single(number) => whole((*number).into()),
            Self::Double(number) => whole(*number),
            Self::Decimal(text) => text.parse().ok(),
        };
        integer.and_then(|integer| T::try_from(integer).ok()).ok_or_else(|| {
            let (least, most) = T::BOUNDS;
            format!("must be a whole number, {least} to {most}")
        })
    }

    /// The number as a double; otherwise, what the number must be. Negative zero becomes zero, which equals it.
    pub(crate) fn double(&self) -> Result<f64, String> {
        let double = match self {
            Self::Integer(number) => {
                let double = *number as f64;
                if double as i128 != i128::from(*number) {
                    return Err("must be a whole number, -2^53 to 2^53".to_owned());
                }
                double
            }
            Self::Single(number) => (*number).into(),
            Self::Double(number) => *number,
            Self::Decimal(text) => text.parse().map_err(|error: std::num::ParseFloatError| error.to_string())?,
        };
        Ok(if double == 0.0 { 0.0 } else { double })
    }

    /// The number as decimal text: of a float, the shortest that stands for it.
    pub(crate) fn decimal(&self) -> String {
        fn float(number: impl Into<f64>, text: String) -> String {
            match number.into() {
                f64::INFINITY => "Infinity".to_owned(),
                f64::NEG_INFINITY => "-Infinity".to_owned(),
                0.0 => "0".to_owned(),
                _ => text,
            }
        }
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Single(number) => float(*number, number.to_string()),
            Self::Double(number) => float(*number, number.to_string()),
            Self::Decimal(text) => text.clone(),
        }
    }
}

/// The smallest and the largest value of an integer type.
pub(crate) trait Bounds {
    const BOUNDS: (i64, i64);
}

impl Bounds for i16 {
    const BOUNDS: (i64, i64) = (Self::MIN as i64, Self::MAX as i64);
}

impl Bounds for i32 {
    const BOUNDS: (i64, i64) = (Self::MIN as i64, Self::MAX as i64);
}

impl Bounds for i64 {
    const BOUNDS: (i64, i64) = (Self::MIN, Self::MAX);
}
