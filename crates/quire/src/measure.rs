//! Metrics of calls.

use std::time::Duration;

use access::Methods;
use axum::extract::Request;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use tokio::time::Instant;
use tonic::{Code, Status, codegen::http::HeaderMap};
use tracing::{Span, field::Empty};

use crate::telemetry::follow;

const CALLS: &str = "grpc_server_handled_total";
const SECONDS: &str = "grpc_server_handling_seconds";

/// Counts and times calls by method and code. Metrics and labels have the names that are usual for gRPC servers in
/// other languages.
#[derive(Debug, Clone)]
pub(crate) struct Measure(Methods);

impl Measure {
    /// Measures calls of these methods. All other calls have the label `unknown`, so that callers cannot create labels.
    pub(crate) fn new(methods: Methods) -> Self {
        describe_counter!(CALLS, "Calls that were answered, by method and code.");
        describe_histogram!(SECONDS, Unit::Seconds, "How long calls took until they were answered.");
        Self(methods)
    }

    /// Starts to measure a call.
    pub(crate) fn begin(&self, request: &Request) -> MeasuredCall {
        let path = request.uri().path();
        let (service, method) = path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or_default();
        let method = if self.0.has(path) { method } else { "unknown" };
        let span = tracing::debug_span!(
            "call",
            otel.name = format!("{service}/{method}"),
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system = "grpc",
            rpc.service = service,
            rpc.method = method,
            rpc.grpc.status_code = Empty,
        );
        follow(&span, request.headers());
        let (service, method) = (service.to_owned(), method.to_owned());
        MeasuredCall { service, method, begin: Instant::now(), code: Code::Cancelled, span }
    }
}

/// A call, which is counted when it is dropped: with the code of its answer, or as CANCELLED if it has no answer,
/// because the caller has hung up.
#[derive(Debug)]
pub(crate) struct MeasuredCall {
    service: String,
    method: String,
    begin: Instant,
    code: Code,
    /// The span of the call.
    pub(crate) span: Span,
}

impl MeasuredCall {
    /// Takes the code from an answer's headers. The answer to a failed call has only headers. All methods answer with a
    /// single message, so a call whose answer has started has succeeded.
    pub(crate) fn is_answered_with(&mut self, headers: &HeaderMap) {
        self.code = Status::from_header_map(headers).map_or(Code::Ok, |status| status.code());
    }
}

impl Drop for MeasuredCall {
    fn drop(&mut self) {
        self.span.record("rpc.grpc.status_code", self.code as i32);
        if is_of_the_server(self.code) {
            self.span.record("otel.status_code", "ERROR");
        }
        let elapsed: Duration = self.begin.elapsed();
        let (service, method) = (std::mem::take(&mut self.service), std::mem::take(&mut self.method));
        histogram!(SECONDS, "grpc_service" => service.clone(), "grpc_method" => method.clone()).record(elapsed);
        let code = if self.code == Code::Ok { "OK".to_owned() } else { format!("{:?}", self.code) };
        counter!(CALLS, "grpc_service" => service, "grpc_method" => method, "grpc_code" => code).increment(1);
    }
}

/// Whether the code is an error of the server, as OpenTelemetry's conventions for gRPC see it.
fn is_of_the_server(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
