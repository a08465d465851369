//! The maximum size of the requests of each method.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use quire_proto::requests::{MIN_REQUEST_BYTES, max_request_bytes};
use tonic::{
    Status,
    body::Body,
    codegen::{Service, http},
    server::NamedService,
};

/// In gRPC, a message follows a flag and its length.
const FLAG_BYTES: usize = 1;
const PREFIX_BYTES: usize = FLAG_BYTES + 4;

/// A service that refuses a request when its length has arrived, if the request is too large for its method. Tonic itself
/// has one maximum for all methods of a service.
#[derive(Clone)]
pub(crate) struct Limited<S>(pub(crate) S);

impl<S> Service<http::Request<Body>> for Limited<S>
where
    S: Service<http::Request<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> S::Future {
        let most = max_request_bytes(request.uri().path()).unwrap_or(MIN_REQUEST_BYTES);
        self.0.call(request.map(|body| Body::new(OneMessage { body, most, prefix: 0, missing: 0 })))
    }
}

impl<S: NamedService> NamedService for Limited<S> {
    const NAME: &'static str = S::NAME;
}

/// The body of a call with one message of at most this size.
struct OneMessage {
    body: Body,
    most: usize,
    /// How many bytes of the prefix have arrived.
    prefix: usize,
    /// How many bytes of the message have not arrived, once the prefix has.
    missing: usize,
}

impl OneMessage {
    /// Checks the next bytes of the body.
    fn check(&mut self, data: &[u8]) -> Result<(), Status> {
        let (prefix, message) = data.split_at(data.len().min(PREFIX_BYTES - self.prefix));
        for byte in prefix {
            if self.prefix >= FLAG_BYTES {
                self.missing = self.missing << 8 | usize::from(*byte);
            }
            self.prefix += 1;
        }
        let Self { most, missing, .. } = *self;
        if self.prefix == PREFIX_BYTES && missing > most {
            metrics::counter!("limits_reached_total", "limit" => "request_bytes").increment(1);
            let text = format!("the request has {missing} bytes; this method accepts at most {most}");
            return Err(Status::invalid_argument(text));
        }
        let left = missing.checked_sub(message.len());
        self.missing = left.ok_or_else(|| Status::invalid_argument("the call must have one message"))?;
        Ok(())
    }
}

impl HttpBody for OneMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context)?);
        let data = frame.as_ref().and_then(Frame::data_ref);
        Poll::Ready(match data.map_or(Ok(()), |data| self.check(data)) {
            Ok(()) => frame.map(Ok),
            Err(refused) => Some(Err(refused)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
