use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use metrics::{counter, describe_counter};
use opentelemetry::{Context, KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter,
        SpanProcessor,
    },
};
use platform::Rarely;
use tonic::transport::{ClientTlsConfig, Endpoint};

use crate::{arguments::Otlp, error::Error};

/// How many spans can wait to be exported. Further ones are dropped.
const MAX_WAITING: usize = 8_192;
/// How long spans wait at most, so that one request carries many.
const DELAY: Duration = Duration::from_secs(1);
/// How long the collector may take for a request, and the export at the end of the program.
const LIMIT: Duration = Duration::from_secs(5);

/// A running export.
#[derive(Debug)]
pub(crate) struct Export(SdkTracerProvider);

impl Export {
    /// Starts the export, if the arguments name a collector. The collector need not run yet.
    pub(crate) fn start(otlp: &Otlp) -> Result<Option<Self>, Error> {
        let Some(endpoint) = &otlp.otlp_endpoint else { return Ok(None) };
        let invalid = || Error::OtlpEndpoint(endpoint.clone());
        let mut channel = Endpoint::from_shared(endpoint.clone()).map_err(|_error| invalid())?;
        match channel.uri().scheme_str() {
            Some("http") => {}
            Some("https") => {
                channel = channel.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(|_error| invalid())?;
            }
            Some(_) | None => return Err(invalid()),
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_channel(channel.connect_timeout(LIMIT).connect_lazy())
            .with_timeout(LIMIT)
            .build()
            .map_err(|_error| invalid())?;
        let waiting = Arc::new(AtomicUsize::new(0));
        let exporter = Counted { exporter, waiting: Arc::clone(&waiting), failed: Rarely::new() };
        let batches =
            BatchConfigBuilder::default().with_max_queue_size(MAX_WAITING).with_scheduled_delay(DELAY).build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go first.
        let resource = Resource::builder().with_attribute(version);
        let resource = if std::env::var_os("OTEL_SERVICE_NAME").is_none_or(|name| name.is_empty()) {
            resource.with_service_name("quire")
        } else {
            resource
        };
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::TraceIdRatioBased(otlp.otlp_sample_ratio))
            .with_resource(resource.build())
            .with_span_processor(Bounded { batches, waiting })
            .build();
        Ok(Some(Self(provider)))
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.0.tracer("quire")
    }

    /// Exports what is left, for a bounded time.
    pub(crate) async fn stop(self) {
        let stop = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(LIMIT));
        if let Ok(Err(error @ (OTelSdkError::Timeout(_) | OTelSdkError::InternalFailure(_)))) = stop.await {
            tracing::warn!(%error, "the last spans could not be exported");
        }
    }
}

/// Describes the metrics of the export.
pub(crate) fn describe() {
    describe_counter!("otlp_spans_exported_total", "Spans that the collector has taken.");
    describe_counter!("otlp_spans_lost_total", "Spans that could not be exported, by reason.");
}

/// Drops spans when too many wait.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING {
            self.batches.on_end(span);
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            counter!("otlp_spans_lost_total", "reason" => "queue_full").increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Counts what is exported, and logs failures.
#[derive(Debug)]
struct Counted {
    exporter: opentelemetry_otlp::SpanExporter,
    waiting: Arc<AtomicUsize>,
    failed: Rarely,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let exported = self.exporter.export(batch).await;
        match &exported {
            Ok(()) => counter!("otlp_spans_exported_total").increment(spans as u64),
            Err(error) => {
                counter!("otlp_spans_lost_total", "reason" => "export_failed").increment(spans as u64);
                if let Some(times) = self.failed.times() {
                    tracing::warn!(%error, times, "cannot export spans");
                }
            }
        }
        exported
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
