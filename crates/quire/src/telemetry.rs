//! The log, and the export of spans to an OpenTelemetry collector.
//!
//! Spans have the level debug. Without an export, and with a log of the level info, none is made.

mod export;

use std::io::IsTerminal;

use axum::http::HeaderMap;
use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use tracing::{Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt,
};

pub(crate) use self::export::{Export, describe};
use crate::{arguments::Otlp, error::Error};

/// The crates whose spans are exported. Those of other crates, such as h2, would be thousands for each call.
const CRATES: [&str; 2] = ["quire", "keyset"];

/// Starts the log with these directives, and the export if the arguments name a collector.
pub(crate) fn start(log: &str, otlp: Option<&Otlp>) -> Result<Option<Export>, Error> {
    let export = otlp.map(Export::start).transpose()?.flatten();
    let with_colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(with_colours)
        .with_filter(EnvFilter::builder().parse_lossy(log));
    let spans = export.as_ref().map(|export| {
        let layer = tracing_opentelemetry::layer().with_tracer(export.tracer());
        layer.with_location(false).with_threads(false).with_target(false).with_filter(filter_fn(is_exported))
    });
    registry().with(log).with(spans).init();
    Ok(export)
}

fn is_exported(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && CRATES.iter().any(|name| metadata.target().split("::").next() == Some(name))
}

/// Makes the span a part of the caller's trace, if the headers name one. Nothing else of the caller's context is taken,
/// such as whether to export the trace.
pub(crate) fn follow(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() {
        return;
    }
    if let Some(parent) = headers.get("traceparent").and_then(|value| parent(value.as_bytes())) {
        // It fails only without an export.
        let _: Result<(), _> = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// Reads `00-<trace id>-<span id>-<flags>` ([Trace Context](https://www.w3.org/TR/trace-context/#traceparent-header)).
fn parent(value: &[u8]) -> Option<SpanContext> {
    let text = str::from_utf8(value).ok().filter(|text| text.len() == 55)?;
    let mut parts = text.split('-');
    let (Some("00"), Some(trace), Some(span), Some(_flags), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let hex = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hex(trace, 32) || !hex(span, 16) {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let parent = SpanContext::new(trace, span, TraceFlags::default(), true, TraceState::NONE);
    parent.is_valid().then_some(parent)
}
