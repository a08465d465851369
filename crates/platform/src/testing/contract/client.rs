//! Calls any method, by its descriptor.

use std::sync::LazyLock;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ServiceDescriptor};
use tonic::{
    Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::Channel,
};

use crate::testing::from;

/// The answer of a method.
pub type Answer = Result<DynamicMessage, Status>;

/// A service of the contract, by its full name.
pub fn service(name: &str) -> ServiceDescriptor {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(quire_proto::FILE_DESCRIPTOR_SET).unwrap());
    POOL.get_service_by_name(name).unwrap_or_else(|| panic!("the contract has no service {name}"))
}

/// Parses JSON as the request of a method.
pub fn request(method: &MethodDescriptor, json: &str) -> DynamicMessage {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    DynamicMessage::deserialize(method.input(), &mut deserializer)
        .unwrap_or_else(|error| panic!("{} {json}: {error}", method.name()))
}

/// Calls a method as a caller of this workspace.
pub async fn call(channel: &Channel, workspace: &str, method: &MethodDescriptor, request: &DynamicMessage) -> Answer {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut client = Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let request = from(workspace, Bytes::from(request.encode_to_vec()));
    let response = client.unary(request, PathAndQuery::try_from(path).unwrap(), Raw).await?;
    Ok(DynamicMessage::decode(method.output(), response.into_inner()).unwrap())
}

/// A codec for encoded messages.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
