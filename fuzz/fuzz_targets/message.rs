//! Any bytes as a value in Postgres's binary format, of each type that becomes a field of a message. What is written is read
//! as that field and no other.
#![no_main]

use std::sync::LazyLock;

use keyset::conformance::convert;
use libfuzzer_sys::fuzz_target;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use rust_decimal::Decimal;
use sqlx::{
    Postgres, Type,
    postgres::{PgTypeInfo, types::PgInterval},
    types::{Json, time::OffsetDateTime},
};
use uuid::Uuid;

/// The message of keyset's own tests, which has a field of each kind.
static MESSAGE: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/keyset/tests/proto");
    let files = protox::compile(["everything/v1/everything.proto"], [folder]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
    pool.get_message_by_name("everything.v1.Everything").unwrap()
});

fn of<T: Type<Postgres>>() -> PgTypeInfo {
    T::type_info()
}

static TYPES: LazyLock<Vec<PgTypeInfo>> = LazyLock::new(|| {
    vec![
        of::<bool>(),
        of::<i16>(),
        of::<i32>(),
        of::<i64>(),
        of::<f32>(),
        of::<f64>(),
        of::<String>(),
        of::<Vec<u8>>(),
        of::<Uuid>(),
        of::<Decimal>(),
        of::<OffsetDateTime>(),
        of::<PgInterval>(),
        of::<Json<()>>(),
        of::<Vec<bool>>(),
        of::<Vec<i32>>(),
        of::<Vec<i64>>(),
        of::<Vec<f64>>(),
        of::<Vec<String>>(),
        of::<Vec<Uuid>>(),
        of::<Vec<Decimal>>(),
        of::<Vec<OffsetDateTime>>(),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    for from in TYPES.iter() {
        for field in MESSAGE.fields() {
            let Some(Ok(converted)) = convert(from, &field, bytes) else { continue };
            let read = DynamicMessage::decode(MESSAGE.clone(), converted.as_slice()).unwrap();
            assert_eq!(read.unknown_fields().count(), 0);
            assert!(read.fields().all(|(found, _)| found.number() == field.number()));
        }
    }
});
