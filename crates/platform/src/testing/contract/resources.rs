//! The fields that only the service sets are marked as output only in the contract.

use std::collections::BTreeMap;

use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage, Value};
use quire_proto::resources::is_output_only;

use super::{Contract, method::Method, paths::message_of, run::Run};

impl Contract {
    /// A resource is a row of a list. A copy of it has all other fields. `refusals` finds out that the fields that the
    /// examples omit are not read.
    pub(super) fn check_output_only(&self, run: &Run<'_>) {
        let mut given = BTreeMap::new();
        for creation in self.examples.iter().filter(|method| method.mask().is_none()) {
            collect(&creation.request, &mut given);
        }
        for (message, names) in given.values() {
            let is_row = |method: &Method| method.rows().and_then(|rows| message_of(&rows)).as_ref() == Some(message);
            if !self.methods().any(is_row) {
                continue;
            }
            for field in message.fields() {
                let is_right = is_output_only(&field) != names.iter().any(|name| name == field.name());
                run.hold(is_right, || format!("{}: output_only is wrong", field.full_name()));
            }
        }
    }
}

/// Adds the names of the fields that a message has, by the full name of the message.
fn collect(message: &DynamicMessage, given: &mut BTreeMap<String, (MessageDescriptor, Vec<String>)>) {
    let descriptor = message.descriptor();
    for (field, value) in message.fields() {
        let entry = given.entry(descriptor.full_name().to_owned());
        entry.or_insert_with(|| (descriptor.clone(), Vec::new())).1.push(field.name().to_owned());
        for message in messages(value) {
            collect(message, given);
        }
    }
}

fn messages(value: &Value) -> Vec<&DynamicMessage> {
    match value {
        Value::Message(message) => vec![message],
        Value::List(values) => values.iter().filter_map(Value::as_message).collect(),
        _ => Vec::new(),
    }
}
