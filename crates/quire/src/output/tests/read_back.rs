//! NDJSON and CSV that are read back give the values.
use proptest::{collection::vec, option, prelude::*};
use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage};
use serde_json::{Map, Value, json};

use super::{Format, choice, from_json, kinds, printed};

fn time() -> impl Strategy<Value = String> {
    (-62_135_596_800_i64..253_402_300_800, 0..1_000_000_000)
        .prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }.to_string())
}

/// A number that JSON readers read exactly.
fn number() -> impl Strategy<Value = f64> {
    any::<i16>().prop_map(|number| f64::from(number) / 64.0)
}

/// A message in protobuf's JSON.
fn row() -> impl Strategy<Value = Value> {
    let numbers = (any::<bool>(), any::<i32>(), any::<i64>(), any::<u32>(), any::<u64>(), number(), number());
    let texts = (any::<String>(), vec(any::<String>(), 0..3), vec((any::<String>(), any::<String>()), 0..3));
    let others = (0..5, vec(0..5, 0..3), time(), 0..315_576_000_000_i64, any::<String>());
    let unset = (option::of(any::<i32>()), any::<bool>(), any::<bool>());
    (numbers, texts, others, unset).prop_map(|(numbers, texts, others, (optional, has_inner, has_time))| {
        let (bool, int32, int64, uint32, uint64, float, double) = numbers;
        let (string, texts, map) = texts;
        let (color, colors, time, seconds, text) = others;
        let mut row = json!({"bool": bool, "int32": int32, "int64": int64, "uint32": uint32, "uint64": uint64, "float": float,
            "double": double, "string": string, "texts": texts, "map": Map::from_iter(map.into_iter().map(|(k, v)| (k, v.into()))),
            "color": color, "colors": colors, "inners": {"-1": {"text": text}}, "list": [{"text": text, "color": color}]});
        if has_inner {
            row["inner"] = json!({"text": text, "color": color});
        }
        if has_time {
            row["time"] = json!(time);
            row["times"] = json!([time]);
            row["duration"] = json!(format!("{seconds}s"));
        }
        if let Some(optional) = optional {
            row["optional"] = json!(optional);
        }
        row
    })
}

/// Names of an enum become protobuf's again.
fn with_names(message: &MessageDescriptor, value: &mut Value) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        let field = message.get_field_by_name(name).unwrap();
        match value {
            Value::Array(elements) => elements.iter_mut().for_each(|element| with_name(&field.kind(), element)),
            Value::Object(entries) if field.is_map() => {
                let kind = field.kind().as_message().unwrap().map_entry_value_field().kind();
                entries.values_mut().for_each(|value| with_name(&kind, value));
            }
            Value::Object(_) | Value::String(_) => with_name(&field.kind(), value),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn with_name(kind: &Kind, value: &mut Value) {
    match (kind, &value) {
        // A number without a name, in a cell.
        (Kind::Enum(_), Value::String(name)) if name.parse::<i32>().is_ok() => {
            *value = json!(name.parse::<i32>().unwrap())
        }
        (Kind::Enum(_), Value::String(name)) if name == "other" => *value = json!("OTHER"),
        (Kind::Enum(_), Value::String(name)) => *value = json!(format!("PAINT_COLOR_{}", name.to_uppercase())),
        (Kind::Message(message), _) => with_names(message, value),
        _ => {}
    }
}

/// Without the fields that have their default and no presence, which are the same as absent ones.
fn decoded(message: &DynamicMessage) -> DynamicMessage {
    DynamicMessage::decode(message.descriptor(), message.encode_to_vec().as_slice()).unwrap()
}

fn from_cells(message: &MessageDescriptor, header: &csv::StringRecord, cells: &csv::StringRecord) -> Value {
    let mut row = json!({});
    for (name, cell) in header.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        let (outer, name) = name.split_once('.').map_or((None, name), |(outer, name)| (Some(outer), name));
        let inner = outer.map(|outer| message.get_field_by_name(outer).unwrap().kind().as_message().unwrap().clone());
        let field = inner.as_ref().unwrap_or(message).get_field_by_name(name).unwrap();
        let value = if is_text(&field) { json!(cell) } else { serde_json::from_str(cell).unwrap() };
        match outer {
            Some(outer) => row[outer][name] = value,
            None => row[name] = value,
        }
    }
    row
}

fn is_text(field: &FieldDescriptor) -> bool {
    let kind = field.kind();
    let is_time = kind.as_message().is_some_and(|message| ["Timestamp", "Duration"].contains(&message.name()));
    !field.is_list() && !field.is_map() && (is_time || matches!(kind, Kind::String | Kind::Bytes | Kind::Enum(_)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_read_back(rows in vec(row(), 1..4)) {
        let message = kinds();
        let expected: Vec<_> = rows.iter().map(|row| decoded(&from_json(&message, row))).collect();
        let again = |mut json: Value| {
            with_names(&message, &mut json);
            decoded(&from_json(&message, &json))
        };

        let lines = printed(&choice(Format::Ndjson, &[]), None, &message, std::slice::from_ref(&rows));
        let read: Vec<_> = lines.lines().map(|line| again(serde_json::from_str(line).unwrap())).collect();
        prop_assert_eq!(&read, &expected);

        let text = printed(&choice(Format::Csv, &[]), None, &message, &[rows]);
        let mut csv = csv::Reader::from_reader(text.as_bytes());
        let header = csv.headers().unwrap().clone();
        let read: Vec<_> = csv.records().map(|cells| again(from_cells(&message, &header, &cells.unwrap()))).collect();
        prop_assert_eq!(&read, &expected);
    }
}
