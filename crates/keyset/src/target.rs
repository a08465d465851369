//! The types of the values that statements bind, and the conversion of given values to them.
//!
//! The type of a value is that of the column it is compared with, as the catalogue says when the list is opened. Each
//! placeholder has a cast to it, so the text of a statement decides the types of its parameters, whichever values a
//! connection sees first.

use std::borrow::Cow;

use sqlx::{TypeInfo, postgres::PgTypeInfo};
use uuid::Uuid;

use crate::{
    array::Array,
    number::Number,
    value::{Given, Value},
};

/// The OIDs of Postgres's own types. They never change.
pub(crate) mod oid {
    pub(crate) const NAME: u32 = 19;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const CIDR: u32 = 650;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const UNKNOWN: u32 = 705;
    pub(crate) const INET: u32 = 869;
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const BIT: u32 = 1560;
    pub(crate) const VARBIT: u32 = 1562;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const UUID: u32 = 2950;
}

/// The type of a bound value. For an array, this is the type of its elements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its name in a cast.
    pub(crate) name: String,
    /// Its OID in the binary format of an array.
    pub(crate) oid: u32,
    /// The OID of the type that its values have the format of: for a domain, its base type.
    pub(crate) base: u32,
    /// The name under which the database defines it, as of a domain or an enum.
    pub(crate) declared: String,
    /// Whether its binary format is text: text, citext, an enum and the like.
    pub(crate) is_text: bool,
    pub(crate) is_array: bool,
    /// The collation that compares its values, if it is not the default one.
    pub(crate) collation: Option<String>,
}

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The service gives a value of a type without a conversion, whatever the value is.
    Type(String),
    /// The request has a value that the type cannot hold.
    Value(String),
}

type Converted<'v> = Result<Bytes<'v>, Refusal>;

/// The converted bytes of one value, and whether Postgres reads it from text.
struct Bytes<'v> {
    bytes: Cow<'v, [u8]>,
    is_text: bool,
}

impl<'v> Bytes<'v> {
    fn binary(bytes: impl Into<Cow<'v, [u8]>>) -> Self {
        Self { bytes: bytes.into(), is_text: false }
    }

    fn text(text: impl Into<Cow<'v, [u8]>>) -> Self {
        Self { bytes: text.into(), is_text: true }
    }
}

impl Target {
    /// The type in which values of a column are compared. For numbers, it is the widest type whose values the same index
    /// serves, so that a value outside the column's range matches no row instead of being refused.
    pub(crate) fn of_column(self) -> Self {
        let (name, oid) = match self.base {
            oid::INT2 | oid::INT4 => ("int8", oid::INT8),
            oid::FLOAT4 => ("float8", oid::FLOAT8),
            oid::VARCHAR | oid::NAME => ("text", oid::TEXT),
            oid::CIDR => ("inet", oid::INET),
            _ => return self,
        };
        // An array is compared with arrays of its own type only.
        if self.is_array { self } else { Self { name: name.to_owned(), oid, base: oid, ..self } }
    }

    /// The type of an array of these values.
    pub(crate) fn array(&self) -> Self {
        Self { is_array: true, ..self.clone() }
    }

    /// What follows the name of the elements' type in that of an array.
    pub(crate) fn brackets(&self) -> &'static str {
        if self.is_array { "[]" } else { "" }
    }

    /// The placeholder as a value of this type.
    pub(crate) fn cast(&self, placeholder: &str, is_text: bool) -> String {
        let array = self.brackets();
        match (is_text, self.oid) {
            (true, oid::TEXT) => format!("({placeholder}::text{array})"),
            (true, _) => format!("({placeholder}::text{array}::{}{array})", self.name),
            (false, _) => format!("({placeholder}::{}{array})", self.name),
        }
    }

    /// Converts a value to this type.
    pub(crate) fn convert(&self, given: &Given) -> Result<Value, Refusal> {
        let Some(bytes) = &given.bytes else { return Ok(Value { bytes: None, is_text: self.is_written() }) };
        if self.is_array {
            return self.convert_array(&given.type_info, bytes);
        }
        let Bytes { bytes, is_text } = self.convert_one(source(&given.type_info), bytes, &given.type_info)?;
        Ok(Value { bytes: Some(bytes.into_owned()), is_text })
    }

    /// Converts an array that stands for a set of values. The result is the same for the same values in any order, and
    /// repeated. `None` for an empty set.
    pub(crate) fn convert_set(&self, given: &Given, most: usize) -> Result<Option<Value>, Refusal> {
        let Some(bytes) = &given.bytes else { return Ok(None) };
        let mut array = self.array_of(&given.type_info, bytes)?;
        if array.dimensions.len() > 1 {
            return Err(Refusal::Type(format!("{} of several dimensions", given.type_info)));
        }
        if array.elements.len() > most {
            return Err(Refusal::Value(format!("must have at most {most} values")));
        }
        if array.elements.is_empty() {
            return Ok(None);
        }
        let is_text = self.convert_elements(&mut array, &given.type_info)?;
        if array.elements.iter().any(Option::is_none) {
            return Err(Refusal::Value("must not contain null".to_owned()));
        }
        array.make_set();
        Ok(Some(Value { bytes: Some(array.encode()), is_text }))
    }

    fn convert_array(&self, type_info: &PgTypeInfo, bytes: &[u8]) -> Result<Value, Refusal> {
        let mut array = self.array_of(type_info, bytes)?;
        let is_text = self.convert_elements(&mut array, type_info)?;
        Ok(Value { bytes: Some(array.encode()), is_text })
    }

    fn array_of<'v>(&self, type_info: &PgTypeInfo, bytes: &'v [u8]) -> Result<Array<'v>, Refusal> {
        Array::decode(bytes).ok_or_else(|| self.no_conversion(type_info))
    }

    /// Converts each element. Returns whether Postgres reads them from text: then it reads all of them from text.
    fn convert_elements(&self, array: &mut Array<'_>, type_info: &PgTypeInfo) -> Result<bool, Refusal> {
        let source = Some(array.element).filter(|oid| *oid != 0);
        let mut is_text = self.is_written();
        for element in array.elements.iter_mut().flatten() {
            let converted = self.convert_one(source, element, type_info)?;
            is_text |= converted.is_text;
            *element = Cow::Owned(converted.bytes.into_owned());
        }
        array.element = if is_text { oid::TEXT } else { self.oid };
        Ok(is_text)
    }

    /// Whether Postgres reads every value of this type from text.
    fn is_written(&self) -> bool {
        self.is_text || self.base == oid::NUMERIC
    }

    /// Converts one value of the type `source`; `None` for a type that the database defines.
    fn convert_one<'v>(&self, source: Option<u32>, bytes: &'v [u8], type_info: &PgTypeInfo) -> Converted<'v> {
        let is_given_text = matches!(source, Some(oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::UNKNOWN));
        if is_given_text || source.is_none() && self.is_text {
            return self.read(bytes, type_info);
        }
        let no_conversion = || self.no_conversion(type_info);
        let source = match source {
            Some(source) => source,
            None if self.is_declared_as(type_info.name()) => self.base,
            None => return Err(no_conversion()),
        };
        match self.base {
            oid::INT2 | oid::INT4 | oid::INT8 | oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC => {
                let number = Number::decode(source, bytes).ok_or_else(no_conversion)?;
                self.number(&number)
            }
            base if base == source => Ok(Bytes::binary(bytes)),
            // They have one format.
            oid::BIT if source == oid::VARBIT => Ok(Bytes::binary(bytes)),
            _ => Err(no_conversion()),
        }
    }

    /// Whether the database defines the type under this name, which may have a schema, or be that of an array.
    fn is_declared_as(&self, name: &str) -> bool {
        let plain = |name: &str| {
            let name = name.rsplit('.').next().unwrap_or(name).trim_end_matches("[]").trim_matches('"');
            name.trim_start_matches('_').to_lowercase()
        };
        plain(name) == plain(&self.declared)
    }

    fn number<'v>(&self, number: &Number) -> Converted<'v> {
        let value = Refusal::Value;
        Ok(match self.base {
            oid::INT2 => Bytes::binary(number.integer::<i16>().map_err(value)?.to_be_bytes().to_vec()),
            oid::INT4 => Bytes::binary(number.integer::<i32>().map_err(value)?.to_be_bytes().to_vec()),
            oid::INT8 => Bytes::binary(number.integer::<i64>().map_err(value)?.to_be_bytes().to_vec()),
            oid::FLOAT4 => Bytes::binary((number.double().map_err(value)? as f32).to_be_bytes().to_vec()),
            oid::FLOAT8 => Bytes::binary(number.double().map_err(value)?.to_be_bytes().to_vec()),
            _ => Bytes::text(number.decimal().into_bytes()),
        })
    }

    /// A text, which Postgres converts to any type.
    fn read<'v>(&self, bytes: &'v [u8], type_info: &PgTypeInfo) -> Converted<'v> {
        let text = std::str::from_utf8(bytes).map_err(|_: std::str::Utf8Error| self.no_conversion(type_info))?;
        if text.contains('\0') {
            return Err(Refusal::Value("must not contain NUL".to_owned()));
        }
        if self.base == oid::UUID {
            let uuid = Uuid::try_parse(text).map_err(|_: uuid::Error| Refusal::Value("must be a UUID".to_owned()))?;
            return Ok(Bytes::binary(uuid.as_bytes().to_vec()));
        }
        Ok(Bytes::text(bytes))
    }

    fn no_conversion(&self, type_info: &PgTypeInfo) -> Refusal {
        Refusal::Type(format!("{} has no conversion to {}{}", type_info.name(), self.name, self.brackets()))
    }
}

/// The OID of a type, if it is one of Postgres's own.
fn source(type_info: &PgTypeInfo) -> Option<u32> {
    type_info.oid().map(|oid| oid.0).filter(|oid| *oid != 0)
}
