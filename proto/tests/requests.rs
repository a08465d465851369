//! What a request may cost: the maximum size of each method, and the number of elements in each field.

use proptest::{prelude::*, sample::Index};
use std::sync::LazyLock;

use prost::{Message, encoding};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, MethodDescriptor, Value,
};
use quire_proto::{
    FILE_DESCRIPTOR_SET,
    jobs::v1::ListJobsRequest,
    memory::v1::{BatchStoreMemoriesRequest, Memory, StoreMemoryRequest},
    requests::{MIN_REQUEST_BYTES, Refusal, SPARE_ELEMENTS, check_elements, max_elements, max_request_bytes},
};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap());

fn methods() -> Vec<MethodDescriptor> {
    POOL.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// The request of any method.
fn any_request() -> impl Strategy<Value = MessageDescriptor> {
    any::<Index>().prop_map(|place| place.get(&methods()).input())
}

/// A source of numbers for the generated messages.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    /// A number of elements for a field: few, or about as many as are allowed. There are few inside of elements.
    fn elements(&mut self, field: &FieldDescriptor, depth: usize) -> usize {
        let most = max_elements(field);
        match self.below(8) {
            0 => most,
            1 => most + 1,
            2 if depth == 0 => most + self.below(2 * SPARE_ELEMENTS),
            _ => self.below(4),
        }
    }

    fn message(&mut self, message: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut made = DynamicMessage::new(message.clone());
        for field in message.fields() {
            let value = if field.is_map() {
                let count = self.elements(&field, depth);
                // The keys of several messages do not repeat, so that merging them keeps all entries.
                let key = |place| MapKey::String(format!("{place} {}", self.0));
                Value::Map((0..count).map(key).map(|key| (key, Value::String(String::new()))).collect())
            } else if field.is_list() {
                let count = self.elements(&field, depth);
                Value::List((0..count).map(|_| self.value(&field, depth + 1)).collect())
            } else if self.below(2) == 0 {
                self.value(&field, depth)
            } else {
                continue;
            };
            made.set_field(&field, value);
        }
        made
    }

    fn value(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        match field.kind() {
            Kind::Message(message) => Value::Message(self.message(&message, depth)),
            kind => Value::default_value(&kind),
        }
    }
}

/// The fields of a decoded message with too many elements, and how many are too many.
fn excess(message: &DynamicMessage, path: &str) -> Vec<(String, usize)> {
    let mut all = Vec::new();
    for (field, value) in message.fields() {
        let name = format!("{path}{}", field.name());
        let count = match value {
            Value::Message(inner) => {
                all.extend(excess(inner, &format!("{name}.")));
                continue;
            }
            Value::List(values) => {
                for (place, inner) in values.iter().enumerate() {
                    if let Value::Message(inner) = inner {
                        all.extend(excess(inner, &format!("{name}[{place}].")));
                    }
                }
                values.len()
            }
            Value::Map(entries) => entries.len(),
            _ => continue,
        };
        if count > max_elements(&field) {
            all.push((name, count - max_elements(&field)));
        }
    }
    all
}

fn total(excess: &[(String, usize)]) -> usize {
    excess.iter().map(|(_, count)| count).sum()
}

proptest! {
    /// A request is refused if and only if its decoded message has too many elements, and one of these fields is named.
    #[test]
    fn the_elements_of_a_message_are_counted_as_they_are_decoded(
        seed: u64, request in any_request(), parts in 1..3_usize,
    ) {
        let mut numbers = Numbers(seed);
        // Several encoded messages in a row are merged.
        let parts = (0..parts).map(|_| numbers.message(&request, 0).encode_to_vec());
        let bytes = parts.collect::<Vec<_>>().concat();
        let decoded = DynamicMessage::decode(request.clone(), bytes.as_slice()).unwrap();
        let excess = excess(&decoded, "");
        match check_elements(request.full_name(), &bytes) {
            Ok(()) => prop_assert!(total(&excess) <= SPARE_ELEMENTS, "{excess:?}"),
            Err(Refusal::TooMany { field, .. }) => {
                prop_assert!(total(&excess) > SPARE_ELEMENTS, "{field} {excess:?}");
                prop_assert!(excess.iter().any(|(name, _)| *name == field), "{field} {excess:?}");
            }
            Err(refusal) => prop_assert!(false, "{refusal:?}"),
        }
    }

    /// Bytes that can be decoded are not called malformed, and whatever is accepted has few elements.
    #[test]
    fn any_bytes_are_checked(
        seed: u64, request in any_request(), changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..9),
    ) {
        let mut numbers = Numbers(seed);
        let mut bytes = numbers.message(&request, 1).encode_to_vec();
        for (place, byte) in &changes {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
        }
        let checked = check_elements(request.full_name(), &bytes);
        if let Ok(decoded) = DynamicMessage::decode(request.clone(), bytes.as_slice()) {
            prop_assert!(!matches!(checked, Err(Refusal::Malformed(_))), "{checked:?}");
            prop_assert!(checked.is_err() || total(&excess(&decoded, "")) <= SPARE_ELEMENTS);
        }
    }
}

fn refused_field<M: Message + prost::Name>(bytes: &[u8]) -> Option<String> {
    match check_elements(&M::full_name(), bytes) {
        Ok(()) => None,
        Err(Refusal::TooMany { field, .. }) => Some(field),
        Err(refusal) => panic!("{refusal:?}"),
    }
}

/// A message field that is not repeated can occur many times, each time with one more tag.
#[test]
fn the_elements_of_merged_messages_are_counted_together() {
    let of = |tags: usize| Memory { tags: vec![String::new(); tags], ..Default::default() };
    let store = |tags| StoreMemoryRequest { memory: Some(of(tags)) }.encode_to_vec();
    assert_eq!(refused_field::<StoreMemoryRequest>(&store(1).repeat(32 + SPARE_ELEMENTS)), None);
    let merged = store(1).repeat(33 + SPARE_ELEMENTS);
    assert_eq!(refused_field::<StoreMemoryRequest>(&merged).unwrap(), "memory.tags");

    // Elements of a repeated field are not merged.
    let mut batch = BatchStoreMemoriesRequest::default().encode_to_vec();
    for element in [store(32), store(32), merged] {
        encoding::bytes::encode(1, &element, &mut batch);
    }
    assert_eq!(refused_field::<BatchStoreMemoriesRequest>(&batch).unwrap(), "requests[2].memory.tags");
}

/// Numbers can be packed into one value, or written one by one, or both.
#[test]
fn packed_numbers_are_counted() {
    let of = |count: usize| ListJobsRequest { statuses: vec![1; count], ..Default::default() }.encode_to_vec();
    let mut one_by_one = Vec::new();
    encoding::int32::encode_repeated(3, &vec![1_000; 200], &mut one_by_one);
    for (rest, is_refused) in [(88, false), (89, true)] {
        let both = [one_by_one.clone(), of(rest)].concat();
        assert_eq!(refused_field::<ListJobsRequest>(&both).is_some(), is_refused, "{rest}");
    }
}

#[test]
fn malformed_messages_are_refused_as_the_decoder_refuses_them() {
    let store = StoreMemoryRequest { memory: Some(Memory { tags: vec!["tea".to_owned()], ..Default::default() }) };
    let whole = store.encode_to_vec();
    for length in 1..whole.len() {
        let error = StoreMemoryRequest::decode(&whole[..length]).unwrap_err();
        let Err(Refusal::Malformed(refusal)) = check_elements("memory.v1.StoreMemoryRequest", &whole[..length]) else {
            panic!("{length} bytes are accepted");
        };
        // The decoder also names the fields around the error.
        let text = error.to_string();
        assert_eq!(
            refusal.to_string(),
            text.split(": ").next().unwrap().to_owned() + ": " + text.rsplit(": ").next().unwrap()
        );
    }
}

#[test]
fn the_maximum_size_of_a_request_follows_from_its_fields() {
    let mut lines = String::new();
    for method in methods() {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let bytes = max_request_bytes(&path).unwrap();
        if bytes > MIN_REQUEST_BYTES {
            lines += &format!("{} {} KiB\n", method.name(), bytes >> 10);
        }
    }
    insta::assert_snapshot!(lines, @"
    CreateJob 288 KiB
    BatchCreateJobs 16384 KiB
    AppendJobEvents 16384 KiB
    StoreMemory 394 KiB
    BatchStoreMemories 16384 KiB
    UpdateMemory 650 KiB
    RecallMemories 288 KiB
    RecordUsage 16384 KiB
    CreatePrompt 3212 KiB
    BatchCreatePrompts 16384 KiB
    UpdatePrompt 1931 KiB
    CreatePromptVersion 1537 KiB
    RegisterAgent 142 KiB
    BatchRegisterAgents 16384 KiB
    UpdateAgent 398 KiB
    ");
}
