//! The age of streams: calls whose answers go on.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use hyper::body::Frame;
use tokio::time::{Sleep, sleep};
use tonic::Status;

use crate::listener::reached;

/// Middleware that ends answers of this age with UNAVAILABLE. Clients then open a new stream.
pub(crate) async fn bound(State(age): State<Duration>, request: Request, next: Next) -> Response {
    let end = Box::pin(sleep(age));
    next.run(request).await.map(|body| Body::new(Aging { body, end, is_ended: false }))
}

struct Aging {
    body: Body,
    end: Pin<Box<Sleep>>,
    is_ended: bool,
}

impl HttpBody for Aging {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        if self.end.as_mut().poll(context).is_pending() {
            return Pin::new(&mut self.body).poll_frame(context);
        }
        self.is_ended = true;
        self.body = Body::empty();
        reached("stream_age");
        let mut trailers = HeaderMap::new();
        let status = Status::unavailable("the stream has reached its maximum age; open a new one");
        Poll::Ready(status.add_header(&mut trailers).ok().map(|()| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended || self.body.is_end_stream()
    }
}
