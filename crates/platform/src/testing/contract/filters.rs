//! The filters of lists.

use prost_reflect::{DynamicMessage, Kind, Value};

use super::{
    Contract,
    method::Method,
    paths::{self, Leaf},
    run::is_id,
};

impl Contract {
    /// Whether a leaf of a list's request is an optional filter.
    pub fn is_filter(&self, method: &Method, leaf: &Leaf) -> bool {
        let field = leaf.path.field();
        let can_be_left_out = field.supports_presence() || field.is_list() || matches!(field.kind(), Kind::Enum(_));
        let is_parameter = self.parameters.contains(&leaf.path.key()) || self.is_required(method, leaf);
        leaf.is_given && can_be_left_out && !is_parameter
    }

    /// Whether a leaf of a list's request is a parameter, which cannot be omitted.
    pub fn is_parameter(&self, method: &Method, leaf: &Leaf) -> bool {
        leaf.is_given && !self.is_filter(method, leaf) && leaf.path.field().name() != "order_by"
    }

    /// A list's example without filters, with the maximum page size.
    pub fn without_filters(&self, list: &Method) -> DynamicMessage {
        let mut request = list.request.clone();
        for leaf in paths::leaves(&list.request).iter().filter(|leaf| self.is_filter(list, leaf)) {
            leaf.path.set(&mut request, None);
        }
        let page = list.page().unwrap();
        request.get_field_mut(&page).as_message_mut().unwrap().set_field_by_name("page_size", Value::I32(200));
        request
    }
}

/// Whether a filter accepts any text.
pub fn is_text(value: &Value) -> bool {
    value.as_str().is_some() && !is_id(value)
}

/// Valid values that differ from the example.
pub fn other_values(kind: &Kind, value: &Value) -> Vec<Value> {
    match (kind, value) {
        (Kind::Bool, Value::Bool(value)) => vec![Value::Bool(!value)],
        (Kind::Enum(names), Value::EnumNumber(number)) => {
            let others = names.values().map(|value| value.number()).filter(|other| *other != 0 && other != number);
            others.map(Value::EnumNumber).take(1).collect()
        }
        (Kind::Enum(_), Value::List(values)) => {
            let first = values.first().cloned();
            let others = first.map(|first| other_values(kind, &first)).unwrap_or_default();
            vec![Value::List(others)]
        }
        (Kind::Message(message), value) if message.full_name() == "google.protobuf.Timestamp" => {
            // The first and the last second of the valid years.
            let times = [-62_135_596_800_i64, 253_402_300_799].into_iter().map(|seconds| {
                let mut time = DynamicMessage::new(message.clone());
                time.set_field_by_name("seconds", Value::I64(seconds));
                Value::Message(time)
            });
            times.filter(|time| time != value).collect()
        }
        (_, Value::String(text)) if is_id(value) => {
            vec![Value::String(text.replace(&text[..8], "01934f6f"))]
        }
        // Another word, because a query of words means the same with another space.
        (_, Value::String(text)) => vec![Value::String(format!("{text} 2"))],
        (kind, value) => panic!("the kit has no other value of the type {kind:?} than {value}"),
    }
}
