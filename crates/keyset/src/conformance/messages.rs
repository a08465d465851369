//! Compares messages with the same rows as Postgres writes them in JSON.

use std::collections::{BTreeMap, HashMap};

use pagination::proto::PageRequest;
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, ReflectMessage, Value,
};
use sqlx::{AssertSqlSafe, Row};

use super::{Conformance, FEW, describe, fail};

/// The columns of a row as text; `None` for a null.
type Texts = BTreeMap<String, Option<String>>;

impl Conformance<'_> {
    /// Fetches the rows as messages, in the order of the list, and compares each field with the column of its name.
    pub(super) async fn check_messages(&self) {
        let listing = self.list.listing();
        let [order, ..] = listing.orders else { return };
        if listing.message.is_empty() {
            return;
        }
        let none = vec![None; listing.filters.len()];
        let what = describe(order, &none, listing);
        let expected = self.texts(order, &none).await;
        let message = DescriptorPool::decode(self.list.paging.descriptors).unwrap_or_else(fail);
        let message = message.get_message_by_name(listing.message);
        let message = message.unwrap_or_else(|| fail("the descriptors do not contain the list's message"));
        let mut token = String::new();
        let mut found: Vec<DynamicMessage> = Vec::new();
        loop {
            let request = PageRequest { page_size: 7, page_token: token, ..Default::default() };
            let page = self.query(order, &none, request).fetch().await.unwrap_or_else(fail);
            let mut rows = page.rows;
            while !rows.is_empty() {
                // The key of field 1 in one byte, then the length of the message.
                let row = rows.split_to(1);
                assert_eq!(row.as_ref(), [10], "{what}: a row that is not in field 1");
                found.push(DynamicMessage::decode(message.clone(), take_delimited(&mut rows)).unwrap_or_else(fail));
            }
            token = page.page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found.len(), expected.len(), "{what}: messages for rows");
        for (message, texts) in found.iter().zip(&expected) {
            for (path, text) in texts {
                let is_numeric = self.list.is_numeric(path);
                let text = text.as_deref().map(|text| if is_numeric { without_zeros(text) } else { text });
                self.check_field(message, path, text, &what).await;
            }
        }
    }

    /// All rows in JSON, each value as text.
    async fn texts(&self, order: &crate::Order, filters: &super::Filters) -> Vec<Texts> {
        let json = "(select json_object_agg(key, value) from json_each_text(row_to_json(reference))
            where key !~ '^(keyset_key|reference)_[0-9]+$')";
        let rows = self.reference(order, filters, json, &format!("limit {FEW}")).await;
        let texts = rows.iter().map(|row| row.try_get::<serde_json::Value, _>(0).unwrap_or_else(fail));
        texts.map(|texts| serde_json::from_value(texts).unwrap_or_else(fail)).collect()
    }

    async fn check_field(&self, message: &DynamicMessage, path: &str, text: Option<&str>, what: &str) {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let field = message.descriptor().get_field_by_name(name);
        let field = field.unwrap_or_else(|| fail(format!("{what}: no field {name}")));
        let found = message.get_field(&field);
        if let Some(rest) = rest {
            match found.as_message() {
                Some(nested) if message.has_field(&field) => {
                    return Box::pin(self.check_field(nested, rest, text, what)).await;
                }
                // An absent message has only nulls.
                Some(_) | None => return assert_eq!(text, None, "{what}: {path} is absent"),
            }
        }
        match text {
            None if field.supports_presence() => assert!(!message.has_field(&field), "{what}: {path} is {found}"),
            None => assert!(found.is_default_for_field(&field), "{what}: {path} is {found}"),
            Some(text) => {
                let expected = self.expected_value(&field, text).await;
                // Compared as text, in which NaN equals itself.
                assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{what}: {path} of {text:?}");
            }
        }
    }

    /// The field value for a column's text in JSON.
    async fn expected_value(&self, field: &FieldDescriptor, text: &str) -> Value {
        if field.is_map() {
            let entries: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).unwrap_or_else(fail);
            let Kind::Message(entry) = field.kind() else { return fail("a map without entries") };
            let kind = entry.map_entry_value_field().kind();
            let mut map = HashMap::new();
            for (key, value) in entries {
                map.insert(MapKey::String(key), self.expected_scalar(&kind, &plain(&value)).await);
            }
            return Value::Map(map);
        }
        if field.is_list() {
            let values: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_else(fail);
            let mut list = Vec::new();
            for value in values {
                list.push(self.expected_scalar(&field.kind(), &plain(&value)).await);
            }
            return Value::List(list);
        }
        self.expected_scalar(&field.kind(), text).await
    }

    async fn expected_scalar(&self, kind: &Kind, text: &str) -> Value {
        match kind {
            Kind::Bool => Value::Bool(text == "true"),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(text.parse().unwrap_or_else(fail)),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(text.parse().unwrap_or_else(fail)),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(text.parse().unwrap_or_else(fail)),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(text.parse().unwrap_or_else(fail)),
            Kind::Float => Value::F32(text.parse().unwrap_or_else(fail)),
            Kind::Double => Value::F64(text.parse().unwrap_or_else(fail)),
            Kind::String => Value::String(text.to_owned()),
            Kind::Bytes => {
                let digits = text.strip_prefix("\\x").unwrap_or(text).as_bytes().chunks(2);
                let byte =
                    |digits: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(digits), 16).unwrap_or_else(fail);
                Value::Bytes(digits.map(byte).collect::<Vec<u8>>().into())
            }
            Kind::Enum(words) => Value::EnumNumber(number(words, text)),
            Kind::Message(message) => {
                let cast = if message.name() == "Duration" { "interval" } else { "timestamptz" };
                let microseconds = self.microseconds(cast, text).await;
                let mut expected = DynamicMessage::new(message.clone());
                let (seconds, rest) = if message.name() == "Duration" {
                    (microseconds / 1_000_000, microseconds % 1_000_000)
                } else {
                    (microseconds.div_euclid(1_000_000), microseconds.rem_euclid(1_000_000))
                };
                if seconds != 0 {
                    expected.set_field_by_name("seconds", Value::I64(seconds));
                }
                if rest != 0 {
                    expected.set_field_by_name("nanos", Value::I32(rest as i32 * 1_000));
                }
                Value::Message(expected)
            }
        }
    }

    async fn microseconds(&self, cast: &str, text: &str) -> i64 {
        let sql = format!("select (extract(epoch from $1::text::{cast}) * 1000000)::int8");
        let mut connection = self.list.paging.connections.connection().await.unwrap_or_else(fail);
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(text);
        query.fetch_one(&mut **connection).await.unwrap_or_else(fail)
    }
}

/// The number of the value whose name ends with this word.
fn number(words: &EnumDescriptor, word: &str) -> i32 {
    let ends = |name: &str| name.to_lowercase().strip_suffix(word).is_some_and(|rest| rest.ends_with('_'));
    // The shortest name: the word may also end the name of another value.
    let named = words.values().filter(|value| ends(value.name())).min_by_key(|value| value.name().len());
    named.map_or(0, |value| value.number())
}

/// A number without trailing zeros in its fraction.
fn without_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// A JSON value as text; a string without its quotes.
fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn take_delimited(rows: &mut prost::bytes::Bytes) -> prost::bytes::Bytes {
    let length = prost::decode_length_delimiter(&mut *rows).unwrap_or_else(fail);
    rows.split_to(length)
}
