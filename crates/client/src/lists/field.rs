use std::{fmt, time::SystemTime};

use heck::ToKebabCase;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, EnumValueDescriptor, FieldDescriptor, FileDescriptor, Kind, Value,
};
use prost_types::Timestamp;

const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// A field of a request whose values can be written as text: a scalar, an enum or a time, or a list of them.
#[derive(Clone)]
pub struct Field {
    /// Its descriptor.
    pub descriptor: FieldDescriptor,
}

impl Field {
    pub(super) fn new(descriptor: FieldDescriptor) -> Option<Self> {
        let kind = descriptor.kind();
        let is_other = kind.as_message().is_some_and(|message| message.full_name() != TIMESTAMP);
        let is_text = !is_other && !matches!(kind, Kind::Bytes);
        is_text.then_some(Self { descriptor })
    }

    /// Its comment in the proto, on one line.
    pub fn comment(&self) -> String {
        comment(&self.descriptor.parent_file(), self.descriptor.path())
    }

    /// The name, as in `create-time-from`. For a list, the name of one: `status` for `statuses`.
    pub fn name(&self) -> String {
        let name = self.descriptor.name().to_kebab_case();
        if self.descriptor.is_list() { singular(&name) } else { name }
    }

    /// Whether it says which record or list is meant, as an `id` does. Such a field is required.
    pub fn is_identifying(&self) -> bool {
        let is_other = matches!(self.descriptor.kind(), Kind::Bool | Kind::Enum(_) | Kind::Message(_));
        let is_optional = self.descriptor.supports_presence() || self.descriptor.is_list();
        !is_other && !is_optional && !self.descriptor.name().ends_with("_by")
    }

    /// Whether its values are times.
    pub fn is_time(&self) -> bool {
        matches!(self.descriptor.kind(), Kind::Message(_))
    }

    /// The words of its enum, if it has one, without that of the value 0, which means that the field is not set.
    pub fn words(&self) -> Option<Vec<String>> {
        let kind = self.descriptor.kind();
        let values = kind.as_enum()?.values().filter(|value| value.number() != 0);
        Some(values.map(|value| enum_word(&value)).collect())
    }

    /// The value that a text means, or one element of a list:
    ///
    /// - a time is RFC 3339, a date, or how long before `now` it was: `24h`;
    /// - the value of an enum is its [word](enum_word), in any case and with `-` or `_`.
    ///
    /// # Errors
    ///
    /// What the text must be, as in `must be true or false`.
    pub fn parse(&self, text: &str, now: SystemTime) -> Result<Value, String> {
        let number = |_| "must be a number in the range of the field".to_owned();
        Ok(match self.descriptor.kind() {
            Kind::Bool => Value::Bool(text.parse().map_err(|_: std::str::ParseBoolError| "must be true or false")?),
            Kind::Enum(of) => Value::EnumNumber(enum_number(&of, text)?),
            Kind::Message(of) => {
                let mut message = DynamicMessage::new(of);
                message.transcode_from(&time(text, now)?).map_err(|error| error.to_string())?;
                Value::Message(message)
            }
            Kind::String => Value::String(text.to_owned()),
            Kind::Bytes => Value::Bytes(text.to_owned().into()),
            Kind::Double => Value::F64(text.parse().map_err(|_: std::num::ParseFloatError| "must be a number")?),
            Kind::Float => Value::F32(text.parse().map_err(|_: std::num::ParseFloatError| "must be a number")?),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(text.parse().map_err(number)?),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(text.parse().map_err(number)?),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(text.parse().map_err(number)?),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(text.parse().map_err(number)?),
        })
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.descriptor.name())
    }
}

/// The value of an enum as people see it: in lower case and without the name of the enum, as in `partial_failure` for
/// `JOB_STATUS_PARTIAL_FAILURE`.
pub fn enum_word(value: &EnumValueDescriptor) -> String {
    let (of, name) = (value.parent_enum(), value.name());
    let is_enum = |prefix: &str| prefix.replace('_', "").eq_ignore_ascii_case(of.name());
    let mut prefixes = name.match_indices('_').filter_map(|(place, _)| name.split_at_checked(place));
    let rest = prefixes.find_map(|(prefix, rest)| if is_enum(prefix) { rest.strip_prefix('_') } else { None });
    rest.unwrap_or(name).to_ascii_lowercase()
}

fn enum_number(of: &EnumDescriptor, text: &str) -> Result<i32, String> {
    let wanted = text.replace('-', "_").to_ascii_lowercase();
    let found = of.values().find(|value| enum_word(value) == wanted);
    found.map(|value| value.number()).ok_or_else(|| {
        let words: Vec<String> =
            of.values().filter(|value| value.number() != 0).map(|value| enum_word(&value)).collect();
        format!("must be one of {}", words.join(", "))
    })
}

fn time(text: &str, now: SystemTime) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text)
        && let Some(time) = now.checked_sub(ago)
    {
        // Whole seconds, so that a person can read it.
        return Ok(Timestamp { nanos: 0, ..Timestamp::from(time) });
    }
    let wanted = "must be a time as in 2026-10-01T12:00:00Z, a date as in 2026-10-01, or how long ago as in 24h";
    text.parse().map_err(|_: prost_types::TimestampError| wanted.to_owned())
}

/// Of plural nouns that end as those of the contract: statuses, entries, tags.
fn singular(name: &str) -> String {
    if let Some(stem) = name.strip_suffix("ies") {
        return format!("{stem}y");
    }
    let is_long = ["sses", "uses", "xes", "ches", "shes"].iter().any(|ending| name.ends_with(ending));
    let stem = if is_long { name.strip_suffix("es") } else { name.strip_suffix('s') };
    stem.unwrap_or(name).to_owned()
}

/// The comment above what has this path in a file, on one line.
pub(super) fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let locations = file.file_descriptor_proto().source_code_info.as_ref().map(|info| info.location.as_slice());
    let location = locations.unwrap_or_default().iter().find(|location| location.path == path);
    let comment = location.map(|location| location.leading_comments()).unwrap_or_default();
    comment.split_whitespace().collect::<Vec<_>>().join(" ")
}
