use std::{convert::Infallible, time::Duration};

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use tokio::time::Instant;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{BoxFuture, Context, Poll, Service, http},
    server::NamedService,
};
use tower_layer::Layer;

use crate::Methods;

const CALLS: &str = "grpc_server_handled_total";
const SECONDS: &str = "grpc_server_handling_seconds";

/// Counts and times calls by method and code, as a [`Layer`] around each service. Metrics and labels have the names that gRPC
/// servers in other languages give them.
#[derive(Debug, Clone)]
pub struct Measure(Methods);

impl Measure {
    /// Measures calls of these methods; all others are called `unknown`, so that callers cannot make up labels.
    pub fn new(methods: Methods) -> Self {
        describe_counter!(CALLS, "Calls that were answered, by method and code.");
        describe_histogram!(SECONDS, Unit::Seconds, "How long calls took until they were answered.");
        Self(methods)
    }
}

impl<S> Layer<S> for Measure {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Measured { methods: self.0.clone(), inner }
    }
}

/// A service whose calls are counted and timed.
#[derive(Debug, Clone)]
pub struct Measured<S> {
    methods: Methods,
    inner: S,
}

impl<S: NamedService> NamedService for Measured<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Measured<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + NamedService,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let method = if self.methods.has(path) { path.rsplit('/').next().unwrap_or(path) } else { "unknown" };
        let mut call = Call::begin(S::NAME, method.to_owned());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            call.is_answered_with(answer.headers());
            Ok(answer)
        })
    }
}

/// A call that is counted when it ends, also when its caller hangs up first.
struct Call {
    service: &'static str,
    method: String,
    begin: Instant,
    code: Code,
}

impl Call {
    fn begin(service: &'static str, method: String) -> Self {
        Self { service, method, begin: Instant::now(), code: Code::Cancelled }
    }

    /// A call that fails is answered by headers alone. All methods answer one message, so one that has begun to is done.
    fn is_answered_with(&mut self, headers: &http::HeaderMap) {
        self.code = Status::from_header_map(headers).map_or(Code::Ok, |status| status.code());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let elapsed: Duration = self.begin.elapsed();
        let (service, method) = (self.service, std::mem::take(&mut self.method));
        histogram!(SECONDS, "grpc_service" => service, "grpc_method" => method.clone()).record(elapsed);
        let code = if self.code == Code::Ok { "OK".to_owned() } else { format!("{:?}", self.code) };
        counter!(CALLS, "grpc_service" => service, "grpc_method" => method, "grpc_code" => code).increment(1);
    }
}
