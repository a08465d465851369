//! A client that ignores its own deadlines and waits for the answer, unlike tonic's client.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tonic::{
    Request, Status,
    body::Body,
    codegen::{Service, http},
};

/// One connection.
#[derive(Clone)]
pub struct Raw(http2::SendRequest<Body>);

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }
}

impl Service<http::Request<Body>> for Raw {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// A request to the method with this path.
pub fn request(address: SocketAddr, path: &str, body: impl Into<axum::body::Body>) -> http::Request<Body> {
    http::Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(body.into()))
        .unwrap()
}

/// A message after its flag and its length.
pub fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag], u32::try_from(message.len()).unwrap().to_be_bytes().as_slice(), message].concat()
}

/// What a call was answered with.
pub struct Answered {
    pub head: http::response::Parts,
    pub body: Bytes,
    /// From the headers or the trailers.
    pub status: Status,
}

impl Raw {
    /// Calls a method, and reads the whole answer.
    pub async fn answered(&self, request: http::Request<Body>) -> Answered {
        let (head, body) = self.clone().call(request).await.unwrap().into_parts();
        let body = super::within("the answer ended", body.collect()).await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let status = Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(&trailers));
        Answered { head, body: body.to_bytes(), status: status.unwrap() }
    }
}

/// A request with this value of `grpc-timeout`.
pub fn within<T>(timeout: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
    request
}
