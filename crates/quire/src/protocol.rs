//! What gRPC requires of the headers of a call. Every call is checked: those of the services, of health and of reflection.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::Response,
};
use metrics::counter;
use platform::Error;

use crate::{deadline::Deadline, gate::refused};

/// The maximum size of a call's headers, as HTTP/2 counts them. It is the usual limit of gRPC servers.
const MAX_HEADERS: usize = 16 << 10;
/// The maximum size of headers that HTTP/2 reads. It answers larger ones by itself, without a gRPC status, so there is
/// room for those that this program refuses.
pub(crate) const MAX_READ_HEADERS: u32 = 256 << 10;
/// What HTTP/2 counts for each header besides its name and value.
const HEADER_BYTES: usize = 32;

/// Answers a call by its deadline, which is at most this time from now, if its headers are valid.
pub(crate) async fn answer<F: Future<Output = Response>>(
    request: Request,
    most: Duration,
    run: impl FnOnce(Request) -> F,
) -> Response {
    match check(&request, most) {
        Ok(deadline) => deadline.bound(run(request)).await,
        Err((http_status, error)) => {
            let mut response = refused(error.into(), request).await;
            *response.status_mut() = http_status;
            response
        }
    }
}

/// Middleware for calls that have no other. The state is the maximum time of a call.
pub(crate) async fn checked(State(most): State<Duration>, request: Request, next: Next) -> Response {
    answer(request, most, |request| next.run(request)).await
}

fn check(request: &Request, most: Duration) -> Result<Deadline, (StatusCode, Error)> {
    let headers = request.headers();
    let malformed = |status, message: &str| (status, unreadable("CALL_MALFORMED", message.to_owned()));
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let size = size_of(headers) + path;
    if size > MAX_HEADERS {
        counter!("limits_reached_total", "limit" => "header_bytes").increment(1);
        let message = format!("the headers have {size} bytes; they may have at most {MAX_HEADERS}");
        return Err((StatusCode::OK, unreadable("HEADERS_TOO_LARGE", message)));
    }
    if !is_grpc(headers) {
        // gRPC requires this status, so that other clients do not take the answer for a success.
        let message = "the content-type must be application/grpc";
        return Err(malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if request.method() != Method::POST {
        return Err(malformed(StatusCode::METHOD_NOT_ALLOWED, "the HTTP method must be POST"));
    }
    let deadline = Deadline::of(headers, most);
    deadline.ok_or_else(|| malformed(StatusCode::OK, "grpc-timeout must be 1 to 8 digits and one of H, M, S, m, u, n"))
}

fn size_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES).sum()
}

/// Whether the messages are those of gRPC, in protobuf.
fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    matches!(media_type, b"application/grpc" | b"application/grpc+proto")
}

fn unreadable(reason: &'static str, message: String) -> Error {
    Error::Unreadable { message, reason }
}
