//! Values as text.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prost_reflect::Value;

use super::{
    fields::Form,
    json::{Json, base64, duration, entries, timestamp},
};
use crate::terminal::shown;

/// What people see in place of nothing.
const NOTHING: &str = "-";
/// Spans of time in seconds, the longest first.
const SPANS: [(u64, char); 5] = [(365 * 86_400, 'y'), (86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];

/// The whole value: times in RFC 3339; lists, maps and messages in JSON.
pub(super) fn whole<'a>(form: &Form, value: &'a Value) -> Cow<'a, str> {
    match value {
        Value::String(text) => text.into(),
        Value::Bytes(bytes) => base64(bytes).to_string().into(),
        Value::EnumNumber(number) => form.word(*number).map_or_else(|| number.to_string(), str::to_owned).into(),
        Value::Message(message) => match form {
            Form::Timestamp => timestamp(message).to_string().into(),
            Form::Duration => duration(message).to_string().into(),
            Form::Message(_) | Form::Plain | Form::Enum(_) => json(form, value),
        },
        Value::Bool(_)
        | Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::U64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::List(_)
        | Value::Map(_) => json(form, value),
    }
}

fn json(form: &Form, value: &Value) -> Cow<'static, str> {
    match serde_json::to_string(&Json { form, value }) {
        Ok(text) => text.into(),
        // Only a message of google.protobuf that is not valid.
        Err(error) => error.to_string().into(),
    }
}

/// The whole value on one line of tab-separated values. Tabs, the ends of lines and other control characters are written
/// as in JSON, and so is the backslash.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    let is_special = |c: char| c == '\\' || c.is_control();
    if !text.contains(is_special) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\t' => escaped.push_str("\\t"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\\' => escaped.push_str("\\\\"),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped.into()
}

/// The value on one line of a terminal, for people.
pub(super) fn line(form: &Form, value: Option<&Value>) -> String {
    let text = value.map(|value| whole(form, value)).unwrap_or_default();
    on_one_line(&text)
}

/// A shorter form of [`line()`]: how long ago a time is, and what is in a list or map without quotes.
pub(super) fn short(form: &Form, value: Option<&Value>, now: SystemTime) -> String {
    match (form, value) {
        (Form::Timestamp, Some(Value::Message(message))) => ago(timestamp(message), now),
        (Form::Duration, Some(Value::Message(message))) => match Duration::try_from(duration(message)) {
            Ok(duration) => humantime::format_duration(duration).to_string(),
            Err(_) => duration(message).to_string(),
        },
        (_, Some(Value::List(elements))) => {
            on_one_line(&elements.iter().map(|element| whole(form, element)).collect::<Vec<_>>().join(", "))
        }
        (_, Some(map @ Value::Map(_))) => {
            let entry = |(key, value): (String, &Value)| format!("{key}={}", whole(form, value));
            on_one_line(&entries(map).into_iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        (_, value) => line(form, value),
    }
}

fn on_one_line(text: &str) -> String {
    if text.is_empty() {
        return NOTHING.to_owned();
    }
    // What separates lines and words becomes a space.
    shown(&text.replace(['\n', '\r', '\t'], " ")).into_owned()
}

/// As in `5m ago`.
pub(super) fn ago(time: prost_types::Timestamp, now: SystemTime) -> String {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let ago = i128::from(now) - i128::from(time.seconds);
    let seconds = u64::try_from(ago.unsigned_abs()).unwrap_or(u64::MAX);
    let span = SPANS.iter().find(|(length, _)| seconds >= *length);
    match span.map(|(length, unit)| format!("{}{unit}", seconds / length)) {
        None => "now".to_owned(),
        Some(span) if ago < 0 => format!("in {span}"),
        Some(span) => format!("{span} ago"),
    }
}
