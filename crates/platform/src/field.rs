use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

use keyset::Statement;
use rust_decimal::Decimal;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Names, Violations};

/// One field of a message: its path, its column, its value and the rule for the value.
///
/// A service lists the fields of a resource once, in a function of the message. Creates, batches and updates all check
/// and write the fields of this list: see [`Rows`](crate::Rows) and [`Resources`](crate::Resources).
#[derive(Debug, Clone)]
pub struct Field<'m> {
    /// The field's path in its message, as in `name` or `operation.type`.
    pub path: &'static str,
    /// The column that stores it.
    pub column: &'static str,
    /// The value in the message, as it is stored.
    pub value: Value<'m>,
    /// What the value must be.
    pub rule: Rule,
    /// Whether the message leaves the field out.
    pub(crate) is_empty: bool,
}

/// A value as Postgres stores it.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names of Postgres's types")]
pub enum Value<'m> {
    Text(&'m str),
    Tsvector(&'m str),
    TextArray(&'m [String]),
    Jsonb(&'m BTreeMap<String, String>),
    Bool(Option<bool>),
    Int4(Option<i32>),
    Int8(Option<i64>),
    Float8(Option<f64>),
    Numeric(Decimal),
    Timestamptz(OffsetDateTime),
    Uuid(Uuid),
    Bytea(&'m [u8]),
}

/// What a value must be.
#[derive(Debug, Clone)]
pub enum Rule {
    /// Text without NUL, with its length in bytes in this range.
    Bytes(RangeInclusive<usize>),
    /// At least this many words, such as tags. [`Violations::words`] has the other limits.
    Words(usize),
    /// Metadata, with the limits of [`Violations::metadata`].
    Metadata,
    /// An enum value that has a name.
    OneOf(&'static dyn EnumNames),
    /// A number in this range.
    Integer(RangeInclusive<i64>),
    /// A number in this range.
    Float(RangeInclusive<f64>),
    /// A value that the service checks itself: the description of the problem, if there is one.
    Custom(Option<&'static str>),
}

/// The values of an enum that have names.
pub trait EnumNames: fmt::Debug + Sync {
    /// The names in the rows.
    fn in_service(&self) -> Vec<&'static str>;
    /// The names in the contract.
    fn in_contract(&self) -> Vec<&'static str>;
}

impl<'m> Field<'m> {
    /// A field without a rule: the service fills it, or checks it elsewhere.
    pub fn new(column: &'static str, value: Value<'m>) -> Self {
        Self { path: column, column, value, rule: Rule::Custom(None), is_empty: false }
    }

    /// A text, with its length in bytes in this range.
    pub fn text(path: &'static str, text: &'m str, bytes: RangeInclusive<usize>) -> Self {
        Self { is_empty: text.is_empty(), rule: Rule::Bytes(bytes), ..Self::new(path, Value::Text(text)) }
    }

    /// Words, such as tags: at least `least` of them.
    pub fn words(path: &'static str, words: &'m [String], least: usize) -> Self {
        Self { is_empty: words.is_empty(), rule: Rule::Words(least), ..Self::new(path, Value::TextArray(words)) }
    }

    /// Metadata.
    pub fn metadata(path: &'static str, metadata: &'m BTreeMap<String, String>) -> Self {
        Self { is_empty: metadata.is_empty(), rule: Rule::Metadata, ..Self::new(path, Value::Jsonb(metadata)) }
    }

    /// A boolean.
    pub fn bool(path: &'static str, value: bool) -> Self {
        Self { is_empty: !value, ..Self::new(path, Value::Bool(Some(value))) }
    }

    /// An enum value, stored by its name. An unknown number is stored as an empty name.
    pub fn one_of<E>(path: &'static str, number: i32, names: &'static Names<E>) -> Self
    where
        E: Copy + Default + Into<i32> + fmt::Debug + Sync,
    {
        let name = names.name(number).unwrap_or_default();
        Self { is_empty: number == 0, rule: Rule::OneOf(names), ..Self::new(path, Value::Text(name)) }
    }

    /// A number in this range.
    pub fn int4(path: &'static str, number: Option<i32>, range: RangeInclusive<i32>) -> Self {
        let rule = Rule::Integer((*range.start()).into()..=(*range.end()).into());
        Self { is_empty: number.is_none(), rule, ..Self::new(path, Value::Int4(number)) }
    }

    /// A number in this range.
    pub fn int8(path: &'static str, number: Option<i64>, range: RangeInclusive<i64>) -> Self {
        Self { is_empty: number.is_none(), rule: Rule::Integer(range), ..Self::new(path, Value::Int8(number)) }
    }

    /// A number in this range.
    pub fn float8(path: &'static str, number: Option<f64>, range: RangeInclusive<f64>) -> Self {
        Self { is_empty: number.is_none(), rule: Rule::Float(range), ..Self::new(path, Value::Float8(number)) }
    }

    /// Sets the column, if its name differs from the path.
    #[must_use]
    pub fn in_column(self, column: &'static str) -> Self {
        Self { column, ..self }
    }

    /// Sets whether the message leaves the field out, and what is wrong with the value, if anything is.
    #[must_use]
    pub fn checked(self, is_empty: bool, problem: Option<&'static str>) -> Self {
        Self { is_empty, rule: Rule::Custom(problem), ..self }
    }

    /// Reports what is wrong with the value. `path` is the prefix of the field's own path, as in `requests[3].agent.`.
    pub(crate) fn check(&self, path: &str, violations: &mut Violations) {
        let field = format_args!("{path}{}", self.path);
        match (&self.rule, self.value) {
            (Rule::Bytes(bytes), Value::Text(text)) => violations.text(field, text, bytes.clone()),
            (Rule::Words(least), Value::TextArray(words)) if words.len() < *least => {
                violations.add(field, format!("must be at least {least}"));
            }
            (Rule::Words(_), Value::TextArray(words)) => violations.words(field, words),
            (Rule::Metadata, Value::Jsonb(metadata)) => violations.metadata(field, metadata),
            (Rule::OneOf(names), Value::Text("")) => violations.one_of_names(field, *names),
            (Rule::Integer(range), Value::Int4(Some(number))) => violations.integer(field, number.into(), range),
            (Rule::Integer(range), Value::Int8(Some(number))) => violations.integer(field, number, range),
            (Rule::Float(range), Value::Float8(Some(number))) if !range.contains(&number) => {
                violations.add(field, format!("must be {} to {}", range.start(), range.end()));
            }
            (Rule::Custom(Some(problem)), _) => violations.add(field, *problem),
            // The value is valid, or the rule does not apply to its type, which no constructor allows.
            (
                Rule::Bytes(_)
                | Rule::Words(_)
                | Rule::Metadata
                | Rule::OneOf(_)
                | Rule::Integer(_)
                | Rule::Float(_)
                | Rule::Custom(None),
                _,
            ) => {}
        }
    }
}

impl<'m> Value<'m> {
    /// The type of the column's elements in `unnest`. Arrays are bound as JSON there, because `unnest` flattens an
    /// array of arrays, and vectors as text.
    pub(crate) fn element_type(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Tsvector(_) => "text",
            Self::TextArray(_) | Self::Jsonb(_) => "jsonb",
            Self::Bool(_) => "bool",
            Self::Int4(_) => "int4",
            Self::Int8(_) => "int8",
            Self::Float8(_) => "float8",
            Self::Numeric(_) => "numeric",
            Self::Timestamptz(_) => "timestamptz",
            Self::Uuid(_) => "uuid",
            Self::Bytea(_) => "bytea",
        }
    }

    /// About how many bytes the value has in a statement.
    pub(crate) fn bytes(&self) -> usize {
        // The length, and for an entry also quotes and separators.
        const AROUND: usize = 8;
        AROUND
            + match self {
                Self::Text(text) | Self::Tsvector(text) => text.len(),
                Self::TextArray(words) => words.iter().map(|word| AROUND + word.len()).sum(),
                Self::Jsonb(map) => map.iter().map(|(key, value)| AROUND + key.len() + value.len()).sum(),
                Self::Bytea(bytes) => bytes.len(),
                Self::Numeric(_) | Self::Uuid(_) => 16,
                Self::Bool(_) | Self::Int4(_) | Self::Int8(_) | Self::Float8(_) | Self::Timestamptz(_) => 8,
            }
    }

    /// Binds the value, or null unless `is_given`, as the assignments of [`assignments`](crate::assignments) expect it.
    pub fn bind(&self, statement: Statement, is_given: bool) -> Statement {
        match *self {
            Self::Text(text) | Self::Tsvector(text) => statement.bind(is_given.then_some(text)),
            Self::TextArray(words) => statement.bind(is_given.then_some(words)),
            Self::Jsonb(map) => statement.bind(is_given.then_some(Json(map))),
            Self::Bool(value) => statement.bind(value.filter(|_| is_given)),
            Self::Int4(number) => statement.bind(number.filter(|_| is_given)),
            Self::Int8(number) => statement.bind(number.filter(|_| is_given)),
            Self::Float8(number) => statement.bind(number.filter(|_| is_given)),
            Self::Numeric(number) => statement.bind(is_given.then_some(number)),
            Self::Timestamptz(time) => statement.bind(is_given.then_some(time)),
            Self::Uuid(id) => statement.bind(is_given.then_some(id)),
            Self::Bytea(bytes) => statement.bind(is_given.then_some(bytes)),
        }
    }

    /// Binds the values of a column as one array. All values have the type of the first.
    pub(crate) fn bind_column(column: &[Self], statement: Statement) -> Statement {
        macro_rules! array {
            ($type:ident, $item:expr) => {{
                let item = |value: &Value<'m>| if let Self::$type(value) = *value { $item(value) } else { None };
                statement.bind(column.iter().map(item).collect::<Vec<_>>())
            }};
        }
        match column.first() {
            None => statement,
            Some(Self::Text(_)) => array!(Text, Some),
            Some(Self::Tsvector(_)) => array!(Tsvector, Some),
            Some(Self::TextArray(_)) => array!(TextArray, |words| Some(Json(words))),
            Some(Self::Jsonb(_)) => array!(Jsonb, |map| Some(Json(map))),
            Some(Self::Bool(_)) => array!(Bool, |value| value),
            Some(Self::Int4(_)) => array!(Int4, |number| number),
            Some(Self::Int8(_)) => array!(Int8, |number| number),
            Some(Self::Float8(_)) => array!(Float8, |number| number),
            Some(Self::Numeric(_)) => array!(Numeric, Some),
            Some(Self::Timestamptz(_)) => array!(Timestamptz, Some),
            Some(Self::Uuid(_)) => array!(Uuid, Some),
            Some(Self::Bytea(_)) => array!(Bytea, Some),
        }
    }
}
