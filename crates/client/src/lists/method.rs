use std::fmt;

use heck::ToKebabCase;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor};
use tonic::{
    Request, Status,
    body::Body,
    client::{Grpc, GrpcService},
    codegen::{Bytes, StdError, http::uri::PathAndQuery},
};

use super::{Field, codec::DynamicCodec, field::comment};

/// What calls are made over: a [`Client`](crate::Client), a `tonic::transport::Channel`, or a service in this process.
pub trait Channel:
    GrpcService<
        Body,
        ResponseBody: http_body::Body<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
        Error: Into<StdError>,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
}

impl<T> Channel for T where
    T: GrpcService<
            Body,
            ResponseBody: http_body::Body<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
            Error: Into<StdError>,
            Future: Send,
        > + Clone
        + Send
        + 'static
{
}

/// A method with one request and one response.
#[derive(Clone)]
pub struct Method {
    /// The full name, as in `jobs.v1.JobService.GetJob`.
    pub full_name: String,
    /// The first word of its name, as in `revoke`.
    pub verb: String,
    /// The rest of its name, as in `api-key`.
    pub noun: String,
    /// The fields of its request that can be written as text, in the order of the message.
    pub fields: Vec<Field>,
    /// The request.
    pub input: MessageDescriptor,
    /// The response.
    pub output: MessageDescriptor,
    path: PathAndQuery,
    descriptor: MethodDescriptor,
}

impl Method {
    pub(super) fn new(method: &MethodDescriptor) -> Option<Self> {
        let name = method.name().to_kebab_case();
        let (verb, noun) = name.split_once('-')?;
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name()).parse().ok()?;
        let is_unary = !method.is_client_streaming() && !method.is_server_streaming();
        is_unary.then(|| Self {
            full_name: method.full_name().to_owned(),
            verb: verb.to_owned(),
            noun: noun.to_owned(),
            fields: method.input().fields().filter_map(Field::new).collect(),
            input: method.input(),
            output: method.output(),
            path,
            descriptor: method.clone(),
        })
    }

    /// Its comment in the proto, on one line.
    pub fn comment(&self) -> String {
        comment(&self.descriptor.parent_service().parent_file(), self.descriptor.path())
    }

    /// Calls the method.
    ///
    /// # Errors
    ///
    /// The status of the call.
    pub async fn call<C: Channel>(&self, channel: C, request: DynamicMessage) -> Result<DynamicMessage, Status> {
        let mut grpc = Grpc::new(channel);
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let codec = DynamicCodec(self.output.clone());
        grpc.unary(Request::new(request), self.path.clone(), codec).await.map(tonic::Response::into_inner)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Method").field("full_name", &self.full_name).finish_non_exhaustive()
    }
}
