//! Invalid values for a field, and values at its limits, by type.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};
use quire_proto::requests::{max_bytes, max_elements};

use super::{
    Contract,
    method::{Method, is_list_of_values},
    paths::Leaf,
    run::is_id,
    values::{id, messages, metadata, number, order, text, time, words},
};

/// A test value for a field.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Its description in a report.
    pub what: String,
    /// The value; `None` to omit the field.
    pub value: Option<Value>,
    /// The suffix of the field's path in the error, as in `[2]`.
    pub at: String,
    /// The text that the error must contain.
    pub says: String,
}

/// The test values for a field.
#[derive(Debug, Default)]
pub struct Trials {
    /// Values that must be refused.
    pub wrong: Vec<Trial>,
    /// Values that must be accepted.
    pub right: Vec<Trial>,
    /// Why there are no values: what the test must tell the kit first.
    pub missing: Option<&'static str>,
}

impl Trials {
    /// Adds a value that must be refused.
    pub fn wrong(&mut self, what: impl Into<String>, value: Value, says: impl Into<String>) {
        self.wrong_at("", what, value, says);
    }

    /// Adds a value that must be refused with this suffix of the path.
    pub fn wrong_at(&mut self, at: &str, what: impl Into<String>, value: Value, says: impl Into<String>) {
        self.wrong.push(Trial { what: what.into(), value: Some(value), at: at.to_owned(), says: says.into() });
    }

    /// Adds a value that must be accepted.
    pub fn right(&mut self, what: impl Into<String>, value: Value) {
        let (at, says) = Default::default();
        self.right.push(Trial { what: what.into(), value: Some(value), at, says });
    }

    /// Requires the limits of a field in the proto to be those of its rule.
    fn has_limits(&mut self, field: &FieldDescriptor, elements: usize, bytes: usize) {
        if (max_elements(field), max_bytes(field)) != (elements, bytes) {
            self.missing = Some("its limits in the proto differ from its rule");
        }
    }
}

impl Contract {
    /// The test values for a leaf of a method's request.
    pub fn trials(&self, method: &Method, leaf: &Leaf) -> Trials {
        let mut trials = Trials::default();
        let field = leaf.path.field();
        let value = leaf.path.get(&method.request);
        match field.kind() {
            _ if field.is_map() => {
                trials.has_limits(field, 64, 1_024);
                metadata(&mut trials);
            }
            Kind::String if self.forms.contains_key(&leaf.path.key()) => self.form_trials(&mut trials, leaf),
            Kind::String if field.is_list() => {
                trials.has_limits(field, 32, 64);
                words(&mut trials);
            }
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

    /// Omits the field. Whether that is an error depends on the field.
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
        trials.wrong("NUL", text("\0"), "must not contain NUL");
        trials.wrong("NUL inside", text("a\0b"), "must not contain NUL");
        let is_etag = leaf.path.field().name() == "etag";
        let Some(bytes) = self.texts.get(&key).cloned().or_else(|| is_etag.then_some(0..=256)) else {
            if method.page().is_some() {
                trials.right("the longest", text(&"a".repeat(max_bytes(leaf.path.field()))));
            } else {
                trials.missing = Some("its range is not given: use `text`");
            }
            return;
        };
        let (least, most) = (*bytes.start(), *bytes.end());
        trials.has_limits(leaf.path.field(), max_elements(leaf.path.field()), most);
        let says = format!("must have {least} to {most} bytes");
        // Letters of two bytes distinguish a limit in bytes from a limit in characters.
        trials.wrong("a byte too long", text(&("é".repeat(most / 2) + &"x".repeat(most % 2 + 1))), &says);
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

    fn form_trials(&self, trials: &mut Trials, leaf: &Leaf) {
        let form = &self.forms[&leaf.path.key()];
        let is_list = leaf.path.field().is_list();
        let value = |one: &String| if is_list { Value::List(vec![text(one)]) } else { text(one) };
        let at = if is_list { "[0]" } else { "" };
        form.wrong.iter().for_each(|wrong| trials.wrong_at(at, format!("{wrong:?}"), value(wrong), form.says));
        form.right.iter().for_each(|right| trials.right(format!("{right:?}"), value(right)));
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
        let (least, most) = (*range.start(), *range.end());
        let outside = if is_float { [least.next_down(), most.next_up()] } else { [least - 1.0, most + 1.0] };
        for (what, value) in ["too little", "too much"].iter().zip(outside) {
            if let Some(value) = number(&kind, value) {
                trials.wrong(*what, value, "must be");
            }
        }
        let within = if is_float { vec![least, least.next_up(), most.next_down(), most] } else { vec![least, most] };
        for value in within {
            trials.right(value.to_string(), number(&kind, value).unwrap());
        }
        if is_float {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                trials.wrong(value.to_string(), number(&kind, value).unwrap(), "must be");
            }
        }
    }
}
