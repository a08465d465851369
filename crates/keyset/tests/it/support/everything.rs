//! A message with a field of each kind, written with prost, and rows that become it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use keyset::{CatalogueError, Error, Listing, Order, Paging, asc};
use pagination::PageTokens;
use prost::Message;
use prost_types::{Duration, Timestamp};
use sqlx::PgPool;

use super::leak;

#[derive(Clone, PartialEq, Message)]
pub struct Everything {
    #[prost(string, tag = "1")]
    pub text: String,
    #[prost(string, optional, tag = "2")]
    pub maybe_text: Option<String>,
    #[prost(int32, tag = "3")]
    pub int32: i32,
    #[prost(int64, tag = "4")]
    pub int64: i64,
    #[prost(sint32, tag = "5")]
    pub sint32: i32,
    #[prost(sint64, tag = "6")]
    pub sint64: i64,
    #[prost(uint32, tag = "7")]
    pub uint32: u32,
    #[prost(uint64, tag = "8")]
    pub uint64: u64,
    #[prost(fixed32, tag = "9")]
    pub fixed32: u32,
    #[prost(fixed64, tag = "10")]
    pub fixed64: u64,
    #[prost(sfixed32, tag = "11")]
    pub sfixed32: i32,
    #[prost(sfixed64, tag = "12")]
    pub sfixed64: i64,
    #[prost(float, tag = "13")]
    pub float: f32,
    #[prost(double, tag = "14")]
    pub double: f64,
    #[prost(bool, tag = "15")]
    pub bool: bool,
    #[prost(bool, optional, tag = "16")]
    pub maybe_bool: Option<bool>,
    #[prost(bytes = "vec", tag = "17")]
    pub bytes: Vec<u8>,
    #[prost(message, optional, tag = "18")]
    pub time: Option<Timestamp>,
    #[prost(message, optional, tag = "19")]
    pub duration: Option<Duration>,
    #[prost(int32, tag = "20")]
    pub status: i32,
    #[prost(int32, optional, tag = "21")]
    pub maybe_status: Option<i32>,
    #[prost(string, repeated, tag = "22")]
    pub texts: Vec<String>,
    #[prost(int32, repeated, tag = "23")]
    pub packed: Vec<i32>,
    #[prost(int64, repeated, packed = "false", tag = "24")]
    pub unpacked: Vec<i64>,
    #[prost(message, repeated, tag = "25")]
    pub times: Vec<Timestamp>,
    #[prost(int32, repeated, tag = "26")]
    pub statuses: Vec<i32>,
    #[prost(btree_map = "string, string", tag = "27")]
    pub strings: BTreeMap<String, String>,
    #[prost(btree_map = "string, int64", tag = "28")]
    pub integers: BTreeMap<String, i64>,
    #[prost(btree_map = "string, bool", tag = "29")]
    pub bools: BTreeMap<String, bool>,
    #[prost(btree_map = "string, double", tag = "30")]
    pub doubles: BTreeMap<String, f64>,
    #[prost(message, optional, tag = "31")]
    pub nested: Option<Nested>,
    #[prost(bool, repeated, tag = "32")]
    pub bools_list: Vec<bool>,
    #[prost(double, repeated, tag = "33")]
    pub doubles_list: Vec<f64>,
    #[prost(int64, optional, tag = "2047")]
    pub maybe_int64: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Nested {
    #[prost(string, tag = "1")]
    pub r#type: String,
    #[prost(int32, optional, tag = "2")]
    pub count: Option<i32>,
    #[prost(message, optional, tag = "3")]
    pub deeper: Option<Deeper>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Deeper {
    #[prost(bool, tag = "1")]
    pub is_there: bool,
}

/// `tests/proto/everything/v1/everything.proto`, and what it imports.
pub static DESCRIPTORS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proto");
    protox::prost::Message::encode_to_vec(&protox::compile(["everything/v1/everything.proto"], [folder]).unwrap())
});

/// A list of one row with these columns. All fields without a column are declared unfilled.
pub fn listing(columns: &str, always_there: &'static [&'static str]) -> Listing {
    let pool = prost_reflect::DescriptorPool::decode(DESCRIPTORS.as_slice()).unwrap();
    let message = pool.get_message_by_name("everything.v1.Everything").unwrap();
    let aliases = columns.split(" as ").skip(1).filter_map(|rest| rest.split([',', ' ']).next());
    let filled: BTreeSet<&str> = aliases.map(|alias| alias.trim_matches('"')).collect();
    let mut unfilled: Vec<&'static str> = Vec::new();
    for field in message.fields() {
        let name = field.name();
        if !filled.iter().any(|column| *column == name || column.starts_with(&format!("{name}."))) {
            unfilled.push(leak(name.to_owned()));
        }
    }
    for path in ["nested.type", "nested.count", "nested.deeper"] {
        let begins = |column: &&str| *column == path || column.starts_with(&format!("{path}."));
        if filled.iter().any(|column| column.starts_with("nested.")) && !filled.iter().any(begins) {
            unfilled.push(path);
        }
    }
    const ORDERS: &[Order] = &[Order { name: "n", keys: &[asc("n")], indexed: &[] }];
    Listing {
        name: "everything",
        from: "(select 1 as n) as one",
        message: "everything.v1.Everything",
        columns: leak(columns.to_owned()),
        unfilled: leak(unfilled),
        always_there,
        orders: ORDERS,
        ..Listing::DEFAULT
    }
}

pub fn paging(pool: &PgPool) -> Paging {
    let keys = "test:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".parse().unwrap();
    Paging::new(pool.clone(), PageTokens::new(keys), DESCRIPTORS.as_slice())
}

/// The one row of the list, in bytes.
pub async fn row(pool: &PgPool, listing: Listing) -> Result<Result<Vec<u8>, Error>, CatalogueError> {
    let list = paging(pool).open(leak(listing)).await?;
    Ok(list.page(None, "").fetch().await.map(|page| page.rows.to_vec()))
}
