//! Values that are wrong for a field, and values at its limits, by the field's type.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, Kind, MapKey, MessageDescriptor, Value};

use super::{
    Contract,
    method::{Method, is_list_of_values},
    paths::{Leaf, message_of},
    run::is_id,
};

/// A value to try a field with.
#[derive(Debug, Clone)]
pub struct Trial {
    /// What it is, for a report.
    pub what: String,
    /// The value; nothing to leave the field out.
    pub value: Option<Value>,
    /// What a refusal names behind the field's path, as in `[2]`.
    pub at: String,
    /// What a refusal says.
    pub says: String,
}

/// The values to try a field with.
#[derive(Debug, Default)]
pub struct Trials {
    /// Those that must be refused.
    pub wrong: Vec<Trial>,
    /// Those that must be accepted.
    pub right: Vec<Trial>,
    /// Why there are none: what the kit must be told first.
    pub missing: Option<&'static str>,
}

impl Trials {
    fn wrong(&mut self, what: impl Into<String>, value: Value, says: impl Into<String>) {
        self.wrong_at("", what, value, says);
    }

    fn wrong_at(&mut self, at: &str, what: impl Into<String>, value: Value, says: impl Into<String>) {
        self.wrong.push(Trial { what: what.into(), value: Some(value), at: at.to_owned(), says: says.into() });
    }

    fn right(&mut self, what: impl Into<String>, value: Value) {
        let (at, says) = Default::default();
        self.right.push(Trial { what: what.into(), value: Some(value), at, says });
    }
}

impl Contract {
    /// The values to try a leaf of a method's request with.
    pub fn trials(&self, method: &Method, leaf: &Leaf) -> Trials {
        let mut trials = Trials::default();
        let field = leaf.path.field();
        let value = leaf.path.get(&method.request);
        match field.kind() {
            _ if field.is_map() => metadata(&mut trials),
            Kind::String if field.is_list() => words(&mut trials),
            Kind::String if field.name() == "order_by" => order(&mut trials),
            Kind::String if is_id(&value) => {
                id(&mut trials);
                if method.creates(self) && self.is_unique(&leaf.path) {
                    trials.right("in capitals", text("ABCDEF00-0000-0000-0000-00000000000A"));
                }
            }
            Kind::String => self.text_trials(&mut trials, method, leaf),
            Kind::Enum(_) if is_list_of_values(field) => {
                trials.wrong_at("[0]", "an unknown number", Value::List(vec![Value::EnumNumber(99)]), "must be one of");
            }
            Kind::Enum(names) => {
                for number in [99, -1, i32::MAX] {
                    trials.wrong(format!("the number {number}"), Value::EnumNumber(number), "must be one of");
                }
                for value in names.values().filter(|value| value.number() != 0) {
                    trials.right(value.name(), Value::EnumNumber(value.number()));
                }
            }
            Kind::Bool => {
                trials.right("true", Value::Bool(true));
                trials.right("false", Value::Bool(false));
            }
            Kind::Message(message) if message.full_name() == "google.protobuf.Duration" => {
                self.duration_trials(&mut trials, &message, leaf);
            }
            Kind::Message(message) => messages(&mut trials, &message),
            Kind::Bytes => trials.missing = Some("the kit has no values to try bytes with"),
            _ => self.number_trials(&mut trials, leaf),
        }
        self.leave_out(&mut trials, method, leaf);
        trials
    }

    /// Leaving the field out: whether that is wrong depends on what an empty one means.
    fn leave_out(&self, trials: &mut Trials, method: &Method, leaf: &Leaf) {
        let is_wrong = self.is_required(method, leaf);
        let trial = Trial { what: "left out".to_owned(), value: None, at: String::new(), says: "must".to_owned() };
        if is_wrong { trials.wrong.push(trial) } else { trials.right.push(trial) }
    }

    /// Whether a request without this leaf is refused.
    pub fn is_required(&self, method: &Method, leaf: &Leaf) -> bool {
        let (path, key) = (&leaf.path, leaf.path.key());
        let of_method = format!("{} {path}", method.name());
        if self.required.contains(&key) || self.required.contains(&of_method) {
            return true;
        }
        if path.field().supports_presence() || !leaf.is_given || path.field().is_list() || path.field().is_map() {
            return false;
        }
        let is_made = method.creates(self) && self.is_unique(path);
        is_id(&path.get(&method.request)) && !is_made
            || self.texts.get(&key).is_some_and(|bytes| *bytes.start() > 0)
            || self.numbers.get(&key).is_some_and(|range| *range.start() > 0.0)
    }

    fn text_trials(&self, trials: &mut Trials, method: &Method, leaf: &Leaf) {
        let key = leaf.path.key();
        if let Some(form) = self.forms.get(&key) {
            form.wrong.iter().for_each(|wrong| trials.wrong(format!("{wrong:?}"), text(wrong), form.says));
            form.right.iter().for_each(|right| trials.right(format!("{right:?}"), text(right)));
            return;
        }
        trials.wrong("NUL", text("\0"), "must not contain NUL");
        trials.wrong("NUL inside", text("a\0b"), "must not contain NUL");
        let is_etag = leaf.path.field().name() == "etag";
        let Some(bytes) = self.texts.get(&key).cloned().or_else(|| is_etag.then_some(0..=256)) else {
            if method.page().is_some() {
                trials.right("100,000 bytes", text(&"a".repeat(100_000)));
            } else {
                trials.missing = Some("its range is not given: use `text`");
            }
            return;
        };
        let (least, most) = (*bytes.start(), *bytes.end());
        let says = format!("must have {least} to {most} bytes");
        // What is made of letters of two bytes tells bytes from characters.
        trials.wrong("a byte too long", text(&("é".repeat(most / 2) + &"x".repeat(most % 2 + 1))), &says);
        trials.wrong("2 MiB", text(&"x".repeat((2 << 20).max(most + 1))), &says);
        if least > 0 {
            trials.wrong("empty", text(""), &says);
            trials.wrong("a byte too short", text(&"x".repeat(least - 1)), &says);
        }
        if !is_etag {
            trials.right("the longest", text(&("é".repeat(most / 2) + &"x".repeat(most % 2))));
            trials.right("the shortest", text(&"x".repeat(least)));
            let odd =
                ["e\u{301}日😀\u{10ffff}\u{feff}", r#"{"a"}, \ \u0000 ' `$1` %_"#, " \t\r\n ", "null", "\u{1}\u{85}"];
            let fits = odd.into_iter().filter(|text| bytes.contains(&text.len()));
            fits.for_each(|odd| trials.right(format!("{odd:?}"), text(odd)));
        }
    }

    fn duration_trials(&self, trials: &mut Trials, message: &MessageDescriptor, leaf: &Leaf) {
        for (seconds, nanos) in
            [(0, 0), (-1, 0), (i64::MAX, 999_999_999), (2, -1_000_000), (1, 1_000_000_000), (1, 500_000)]
        {
            trials.wrong(format!("{seconds} s and {nanos} ns"), time(message, seconds, nanos), "must be");
        }
        let Some(range) = self.numbers.get(&leaf.path.key()) else {
            trials.missing = Some("its range is not given: use `number`");
            return;
        };
        let (least, most) = (*range.start() as i64, *range.end() as i64);
        trials.wrong("too short", time(message, least - 1, 999_000_000), "must be");
        trials.wrong("too long", time(message, most, 1_000_000), "must be");
        trials.right("the shortest", time(message, least, 0));
        trials.right("the longest", time(message, most, 0));
        trials.right("a millisecond more", time(message, least, 1_000_000));
    }

    fn number_trials(&self, trials: &mut Trials, leaf: &Leaf) {
        let Some(range) = self.numbers.get(&leaf.path.key()) else {
            trials.missing = Some("its range is not given: use `number`");
            return;
        };
        let kind = leaf.path.field().kind();
        let is_float = matches!(kind, Kind::Double | Kind::Float);
        let step = if is_float { 0.001 } else { 1.0 };
        let (least, most) = (*range.start(), *range.end());
        for (what, value) in [("too little", least - step), ("too much", most + step)] {
            if let Some(value) = number(&kind, value) {
                trials.wrong(what, value, "must be");
            }
        }
        for (what, value) in [("the least", least), ("the most", most)] {
            trials.right(what, number(&kind, value).unwrap());
        }
        if is_float {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                trials.wrong(value.to_string(), number(&kind, value).unwrap(), "must be");
            }
        }
    }
}

/// A number of a field's type, if it can hold it.
fn number(kind: &Kind, value: f64) -> Option<Value> {
    match kind {
        Kind::Double => Some(Value::F64(value)),
        Kind::Float => Some(Value::F32(value as f32)),
        Kind::Int32 => (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value).then_some(Value::I32(value as i32)),
        Kind::Int64 => (-9.2e18..=9.2e18).contains(&value).then_some(Value::I64(value as i64)),
        kind => panic!("the kit has no numbers of the type {kind:?}"),
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn order(trials: &mut Trials) {
    for wrong in ["nonsense", "id; drop", "create_time desc, id", "\0", "NAME"] {
        trials.wrong(format!("{wrong:?}"), text(wrong), "must be one of");
    }
}

fn id(trials: &mut Trials) {
    let id = "01934f6e-8a3b-7c21-9d55-0242ac120002";
    let bare = id.replace('-', "");
    let others = ["x".to_owned(), "\0".to_owned(), format!(" {id}"), format!("{id}\n"), format!("{id}\0")];
    let forms = [bare, format!("{{{id}}}"), format!("urn:uuid:{id}"), id[..35].to_owned(), id.replace("01", "g1")];
    for wrong in others.into_iter().chain(forms) {
        trials.wrong(format!("{wrong:?}"), text(&wrong), "must be a UUID");
    }
}

fn words(trials: &mut Trials) {
    let words = |words: &[String]| Value::List(words.iter().map(|word| text(word)).collect());
    let of = |word: &str| words(&["a".to_owned(), word.to_owned()]);
    let numbered = |count: usize| (0..count).map(|number| format!("{number:064}")).collect::<Vec<_>>();
    trials.wrong("33", words(&numbered(33)), "must be at most 32");
    trials.wrong("200 that are empty", words(&vec![String::new(); 200]), "must be at most 32");
    trials.wrong_at("[1]", "one twice", of("a"), "must not be given twice");
    trials.wrong_at("[1]", "one that is empty", of(""), "must have 1 to 64 bytes");
    trials.wrong_at("[1]", "one of 65 bytes", of(&"é".repeat(32).replacen('é', "xyz", 1)), "must have 1 to 64 bytes");
    trials.wrong_at("[1]", "one with NUL", of("a\0"), "must not contain NUL");
    trials.right("32 of 64 bytes", words(&numbered(32)));
    trials.right("in the order given", words(&["z".to_owned(), "a".to_owned(), "日本語 ,\"{}".to_owned()]));
}

fn metadata(trials: &mut Trials) {
    let map = |entries: Vec<(String, String)>| {
        let entries = entries.into_iter().map(|(key, value)| (MapKey::String(key), Value::String(value)));
        Value::Map(HashMap::from_iter(entries))
    };
    let one = |key: &str, value: &str| map(vec![(key.to_owned(), value.to_owned())]);
    let sized = |count: usize, bytes: usize| (0..count).map(|key| (format!("{key:02}"), "x".repeat(bytes))).collect();
    trials.wrong("65 entries", map(sized(65, 0)), "must have at most 64 entries");
    trials.wrong(
        "300 entries with NUL",
        map((0..300).map(|key| (format!("\0{key}"), "\0".into())).collect()),
        "at most",
    );
    trials.wrong("an empty key", one("", "x"), "a key must have 1 to 64 bytes");
    trials.wrong("a key of 65 bytes", one(&"k".repeat(65), "x"), "a key must have 1 to 64 bytes");
    trials.wrong("a key of 10,000 bytes", one(&"k".repeat(10_000), "x"), "a key must have 1 to 64 bytes");
    trials.wrong("a value of 1,025 bytes", one("key", &"x".repeat(1_025)), "a value must have at most 1024 bytes");
    trials.wrong("NUL in a key", one("a\0", "x"), "must not contain NUL");
    trials.wrong("NUL in a value", one("key", "a\0b"), "must not contain NUL");
    let mut most: Vec<(String, String)> = sized(62, 111);
    most.extend([("k".repeat(64), "v".repeat(1_024)), ("rest".into(), "v".repeat(94))]);
    trials.right("64 entries of 8 KiB", map(most.clone()));
    most[0].1.push('x');
    trials.wrong("a byte too much in all", map(most), "must have at most 8192 bytes in all");
    trials.right("an odd entry", one("é \"{}", "日本語 \u{1}"));
    trials.right("an empty value", one("key", ""));
}

fn messages(trials: &mut Trials, message: &MessageDescriptor) {
    match message.full_name() {
        "google.protobuf.FieldMask" => {
            for path in ["nonsense", "", "id", "etag", "update_time", "metadata.key"] {
                trials.wrong(
                    format!("the path {path:?}"),
                    mask(message, &[path]),
                    "must name fields to change, out of",
                );
            }
        }
        "google.protobuf.Timestamp" => {
            let wrong = [(253_402_300_800, 0), (-62_135_596_801, 0), (i64::MIN, 0), (i64::MAX, 0), (0, -1)];
            for (seconds, nanos) in wrong.into_iter().chain([(0, 1_000_000_000), (0, i32::MAX)]) {
                trials.wrong(format!("{seconds} s and {nanos} ns"), time(message, seconds, nanos), "years 1 to 9999");
            }
        }
        _ => {}
    }
    if message_of_contract(message) {
        trials.missing = Some("the example does not give it");
    }
}

/// A time or a duration.
fn time(message: &MessageDescriptor, seconds: i64, nanos: i32) -> Value {
    let mut value = DynamicMessage::new(message.clone());
    for (name, part) in [("seconds", Value::I64(seconds)), ("nanos", Value::I32(nanos))] {
        // A part that is 0 is left out, as in an answer.
        if !part.is_default(&Kind::Int64) && !part.is_default(&Kind::Int32) {
            value.set_field_by_name(name, part);
        }
    }
    Value::Message(value)
}

/// A mask of these paths.
pub fn mask(message: &MessageDescriptor, paths: &[&str]) -> Value {
    let mut value = DynamicMessage::new(message.clone());
    value.set_field_by_name("paths", Value::List(paths.iter().map(|path| text(path)).collect()));
    Value::Message(value)
}

fn message_of_contract(message: &MessageDescriptor) -> bool {
    super::paths::has_fields(message)
}

/// A value that no method would keep, for a field that it does not read.
pub fn garbage(leaf: &Leaf) -> Option<Value> {
    let field = leaf.path.field();
    let value = match field.kind() {
        _ if field.is_map() => Value::Map(HashMap::from([(MapKey::String("\0".to_owned()), text("\0"))])),
        Kind::String => text("\0 garbage"),
        Kind::Bytes => Value::Bytes(bytes::Bytes::from_static(b"garbage")),
        Kind::Enum(_) => Value::EnumNumber(99),
        Kind::Int32 => Value::I32(-7),
        Kind::Int64 => Value::I64(-7),
        Kind::Bool => Value::Bool(true),
        Kind::Double => Value::F64(f64::NAN),
        Kind::Message(message) if !message_of_contract(&message) => time(&message, -i64::MAX, -7),
        _ => return None,
    };
    debug_assert!(message_of(field).is_none() || !field.is_list());
    Some(if is_list_of_values(field) { Value::List(vec![value.clone(), value]) } else { value })
}
