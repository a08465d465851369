//! Any bytes as a request: the first byte chooses the method. The elements that are counted before a message is decoded are
//! those that the decoder makes, and a message that can be decoded is not called malformed.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};
use quire_proto::requests::{Refusal, SPARE_ELEMENTS, check_elements, max_elements};

static REQUESTS: LazyLock<Vec<MessageDescriptor>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(quire_proto::FILE_DESCRIPTOR_SET).unwrap();
    pool.services().flat_map(|service| service.methods().map(|method| method.input()).collect::<Vec<_>>()).collect()
});

/// How many elements a message has in excess of the limits of its fields.
fn excess(message: &DynamicMessage) -> usize {
    let fields = message.fields().map(|(field, value)| match value {
        Value::Message(inner) => excess(inner),
        Value::List(values) => {
            let inside: usize = values.iter().filter_map(Value::as_message).map(excess).sum();
            inside + values.len().saturating_sub(max_elements(&field))
        }
        Value::Map(entries) => entries.len().saturating_sub(max_elements(&field)),
        _ => 0,
    });
    fields.sum()
}

fuzz_target!(|bytes: &[u8]| {
    let [place, bytes @ ..] = bytes else { return };
    let request = &REQUESTS[usize::from(*place) % REQUESTS.len()];
    let checked = check_elements(request.full_name(), bytes);
    if let Ok(decoded) = DynamicMessage::decode(request.clone(), bytes) {
        assert!(!matches!(checked, Err(Refusal::Malformed(_) | Refusal::Unknown)), "{checked:?}");
        assert!(checked.is_err() || excess(&decoded) <= SPARE_ELEMENTS);
    }
});
