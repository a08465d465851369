//! The HTTP pages: metrics, health, and a page that names the others.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{Html, IntoResponse},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use prometheus::{TEXT_FORMAT, proto::MetricFamily};
use tokio::time::Instant;

use super::{
    collector::{Collected, Collector},
    jobs::Jobs,
    metrics::{Samples, gauge, gauges, text},
    queue::Queue,
    reading::Record,
};

/// The header with which Prometheus says how long it waits for an answer, in seconds.
const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";
/// How long a scrape waits that does not say so: as Prometheus does by default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a scrape waits at most.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(300);
/// The part of that time in which the answer travels.
const MARGIN: Duration = Duration::from_millis(500);

/// The collectors.
pub(super) struct Exporter {
    pub(super) window: Duration,
    pub(super) queue: Collector<Queue>,
    pub(super) jobs: Collector<Jobs>,
}

impl Exporter {
    pub(super) fn router(self) -> Router {
        Router::new()
            .route("/", get(index))
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .with_state(Arc::new(self))
    }
}

async fn index() -> Html<&'static str> {
    Html(concat!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Quire exporter</title></head>\n<body>",
        "<h1>Quire exporter ",
        env!("CARGO_PKG_VERSION"),
        "</h1>\n<ul>\n<li><a href=\"/metrics\">/metrics</a>: the jobs of a server, for Prometheus</li>\n",
        "<li><a href=\"/healthz\">/healthz</a>: whether this process runs</li>\n</ul></body></html>\n"
    ))
}

/// Reports that the process is alive, whether the server is or not.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn metrics(State(exporter): State<Arc<Exporter>>, headers: HeaderMap) -> impl IntoResponse {
    let deadline = Instant::now() + time_to_read(&headers);
    let (queue, jobs) = tokio::join!(exporter.queue.collect(deadline), exporter.jobs.collect(deadline));
    match texts(&exporter, [queue, jobs]) {
        Ok(texts) => {
            let length = texts.iter().map(Bytes::len).sum::<usize>();
            let headers = [(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT)), (CONTENT_LENGTH, length.into())];
            let body = stream::iter(texts.into_iter().map(Ok::<_, Infallible>));
            (headers, Body::from_stream(body)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "cannot write the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The time that a scrape has for reading: half a second less than the scraper waits, or half of it if that is less than
/// a second.
fn time_to_read(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(SCRAPE_TIMEOUT).and_then(|value| value.to_str().ok()?.trim().parse::<f64>().ok());
    let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let timeout = timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(DEFAULT_TIMEOUT).min(MAX_TIMEOUT);
    timeout - MARGIN.min(timeout / 2)
}

/// The answer to a scrape, in parts.
fn texts(exporter: &Exporter, collected: [Collected; 2]) -> prometheus::Result<Vec<Bytes>> {
    let mut texts = vec![text(&own(exporter.window, &collected))?];
    for Collected { name, outcome, .. } in collected {
        let up = gauge(
            &format!("quire_{name}_up"),
            "Whether this scrape has read all metrics of the collector. If not, it has none of them.",
            if outcome.is_some() { 1.0 } else { 0.0 },
        );
        texts.push(text(up.as_slice())?);
        texts.extend(outcome);
    }
    Ok(texts)
}

/// The metrics of the exporter itself.
fn own(window: Duration, collected: &[Collected]) -> Vec<MetricFamily> {
    let of_readings = |name, help, value: fn(&Record) -> f64| {
        let samples = collected.iter().filter_map(|Collected { name, last, .. }| {
            Some((vec![("collector", (*name).to_owned())], value(last.as_ref()?)))
        });
        gauges(name, help, samples.collect::<Samples>())
    };
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    let families = [
        gauges("quire_exporter_build_info", "The version of the exporter.", vec![(version, 1.0)]),
        gauge("quire_exporter_window_seconds", "The length of the window.", window.as_secs_f64()),
        of_readings(
            "quire_exporter_reading_timestamp_seconds",
            "When the last reading began, in seconds since 1970.",
            |last| last.begin_time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        ),
        of_readings("quire_exporter_reading_duration_seconds", "How long the last reading took.", |last| {
            last.duration.as_secs_f64()
        }),
        of_readings("quire_exporter_reading_pages", "Pages of the last reading.", |last| last.pages as f64),
        of_readings("quire_exporter_reading_rows", "Rows of the last reading.", |last| last.rows as f64),
    ];
    families.into_iter().flatten().collect()
}
