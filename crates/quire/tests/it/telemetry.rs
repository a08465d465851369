//! Spans of calls and statements, as a collector gets them.
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use crate::support::{Client, Server, admin, database, eventually, free_address, list, make};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use quire_proto::prompts::v1::{GetPromptRequest, ListPromptsRequest};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that keeps the spans it gets.
#[derive(Clone, Default)]
pub struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().unwrap();
        for resource in request.into_inner().resource_spans {
            let service = attributes(&resource.resource.unwrap().attributes).remove("service.name").unwrap();
            let those = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(those.map(|span| (service.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Self::default();
        let server = transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, address)
    }

    /// All spans, by their begin.
    pub fn all(&self) -> Vec<Span> {
        let mut spans: Vec<_> = self.0.lock().unwrap().iter().map(|(_, span)| span.clone()).collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }

    /// The spans of a trace, by name.
    fn spans(&self, trace: &str) -> Vec<Span> {
        let spans = self.0.lock().unwrap();
        spans.iter().filter(|(_, span)| hex(&span.trace_id) == trace).map(|(_, span)| span.clone()).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn attributes(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| {
        let number = if let Value::IntValue(number) = value { Some(number.to_string()) } else { None };
        if let Value::StringValue(text) = value { text.clone() } else { number.unwrap_or_default() }
    };
    let pairs =
        attributes.iter().filter_map(|pair| Some((pair.key.clone(), text(pair.value.as_ref()?.value.as_ref()?))));
    pairs.collect()
}

fn in_trace<T>(message: T, traceparent: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    request
}

/// A server that exports to this address, and has these further arguments.
async fn serve(collector: SocketAddr, arguments: &[&str]) -> (Server, Client) {
    let (_, url) = database().await;
    let endpoint = format!("http://{collector}");
    let mut server = Server::on_database(&url, &[&["--otlp-endpoint", &endpoint], arguments].concat());
    let client = server.client().await;
    (server, client)
}

#[tokio::test]
async fn calls_and_statements_are_spans_in_the_trace_of_the_caller() {
    let (collector, address) = Collector::start().await;
    let (mut server, client) = serve(address, &[]).await;
    let id = make(&client, "a secret name").await.unwrap();
    let traceparent = format!("00-{TRACE}-{PARENT}-00");
    let filtered = ListPromptsRequest { name_prefix: Some("a secret".to_owned()), ..Default::default() };
    client.clone().list_prompts(in_trace(filtered, &traceparent)).await.unwrap();
    client.clone().get_prompt(in_trace(GetPromptRequest { id: "x".to_owned() }, &traceparent)).await.unwrap_err();
    assert_eq!(server.program.stop().await, Some(0));

    let spans = collector.spans(TRACE);
    let named =
        |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {spans:#?}"));
    let call = named("prompts.v1.PromptService/ListPrompts");
    assert_eq!((hex(&call.parent_span_id).as_str(), call.kind), (PARENT, 2));
    let of_call = attributes(&call.attributes);
    let names = ["rpc.system", "rpc.service", "rpc.method", "rpc.grpc.status_code"];
    let values = names.map(|name| of_call.get(name).map(String::as_str));
    assert_eq!(values, [Some("grpc"), Some("prompts.v1.PromptService"), Some("ListPrompts"), Some("0")]);
    let refused = attributes(&named("prompts.v1.PromptService/GetPrompt").attributes);
    assert_eq!(refused.get("rpc.grpc.status_code").map(String::as_str), Some("3"));

    let statement = spans.iter().find(|span| span.parent_span_id == call.span_id).unwrap();
    let of_statement = attributes(&statement.attributes);
    assert_eq!((of_statement["db.system.name"].as_str(), statement.kind), ("postgresql", 3));
    assert!(of_statement["db.query.text"].contains("from prompts"), "{of_statement:?}");
    assert_eq!(of_statement["db.response.returned_rows"], "1");
    // Every span is of the service, and none has what a caller has sent or stored.
    let all = collector.0.lock().unwrap();
    assert!(all.iter().all(|(service, _)| service == "quire"));
    let text = format!("{all:?}");
    assert!(!text.contains("secret") && !text.contains(&id), "{text}");
}

/// Callers cannot decide what is exported, and not whose trace it is by a wrong header.
#[tokio::test]
async fn the_sample_ratio_holds_whatever_callers_send() {
    let (collector, address) = Collector::start().await;
    let (mut server, client) = serve(address, &["--otlp-sample-ratio", "0"]).await;
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    client.clone().list_prompts(in_trace(ListPromptsRequest::default(), &traceparent)).await.unwrap();
    server.program.stop().await;
    assert!(collector.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_traceparent_is_ignored() {
    let (collector, address) = Collector::start().await;
    let (mut server, client) = serve(address, &[]).await;
    let long = format!("00-{TRACE}-{PARENT}-01-{}", "x".repeat(1_000));
    let wrong = [
        String::new(),
        "00".to_owned(),
        format!("01-{TRACE}-{PARENT}-01"),
        format!("00-{}-{PARENT}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("00-+{}-{PARENT}-01", &TRACE[1..]),
        long,
    ];
    for traceparent in &wrong {
        client.clone().list_prompts(in_trace(ListPromptsRequest::default(), traceparent)).await.unwrap();
    }
    server.program.stop().await;
    assert!(collector.spans(TRACE).is_empty());
    let all = collector.0.lock().unwrap();
    let calls: Vec<_> = all.iter().filter(|(_, span)| span.name.ends_with("/ListPrompts")).collect();
    assert_eq!(calls.len(), wrong.len());
    assert!(calls.iter().all(|(_, span)| span.parent_span_id.is_empty()));
}

/// A collector that is not there costs spans, and nothing else.
#[tokio::test]
async fn without_a_collector_calls_go_on() {
    let admin = free_address();
    let (mut server, client) = serve(free_address(), &["--admin-listen", &admin.to_string()]).await;
    for _ in 0..50 {
        list(&client, "").await.unwrap();
    }
    eventually("spans were lost", async || {
        let text = admin::get(admin, "/metrics").1;
        admin::metric(&text, "otlp_spans_lost_total", &[r#"reason="export_failed""#])
    })
    .await;
    assert_eq!(server.program.stop().await, Some(0));
    let log = server.program.stderr();
    assert!((1..5).contains(&log.matches("cannot export spans").count()), "{log}");
}

#[tokio::test]
async fn a_wrong_endpoint_is_refused() {
    let (_, url) = database().await;
    for endpoint in ["collector:4317", "ftp://collector", "http://"] {
        let mut server = Server::on_database(&url, &["--otlp-endpoint", endpoint]);
        assert_eq!(server.program.exit_code().await, Some(1), "{endpoint}");
        let stderr = server.program.stderr();
        let expected =
            format!("quire: {endpoint} is not the address of a collector: write it as in http://127.0.0.1:4317\n");
        assert_eq!(stderr, expected);
    }
}
