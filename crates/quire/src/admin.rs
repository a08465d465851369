//! The admin port: metrics, probes, and the public keys of access tokens.

use std::{sync::Arc, time::Duration};

use access::SigningKeys;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use database::{Availability, Database};
use metrics::{Unit, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::{budget::Budget, error::Error, tls::CurrentTls};

/// The maximum number of connections to the admin port.
pub(crate) const MAX_CONNECTIONS: usize = 64;
/// The maximum number of connections to the admin port from one address.
pub(crate) const MAX_ADDRESS_CONNECTIONS: usize = 32;
/// How often the recorded samples are aggregated, even if nobody reads the metrics.
const UPKEEP: Duration = Duration::from_secs(5);
/// The bounds of the histogram buckets in seconds: from the time of a fast page to the time after which callers give
/// up.
const SECONDS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Installs the recorder of metrics.
pub(crate) fn measure() -> Result<PrometheusHandle, Error> {
    let builder = PrometheusBuilder::new().set_buckets(&SECONDS).map_err(|error| Error::Metrics(error.to_string()))?;
    let handle = builder.install_recorder().map_err(|error| Error::Metrics(error.to_string()))?;
    describe_counter!("keyset_pages_total", "Pages served, by list.");
    describe_counter!("keyset_rows_total", "Rows served in pages, by list.");
    describe_counter!(
        "keyset_rows_examined_total",
        "Index entries examined for pages, as far as known, by list. Many more than rows means a filter without an index."
    );
    describe_counter!("keyset_counts_total", "Totals served, by list and precision.");
    describe_counter!("keyset_page_tokens_refused_total", "Page tokens refused, by list and reason.");
    describe_counter!("keyset_unfit_rows_total", "Rows that no message could carry, by list.");
    describe_gauge!("keyset_list_problems", "Problems that the last check of a list has found, by list.");
    describe_gauge!(
        "database_connections_in_use",
        Unit::Count,
        "Connections of the pool that are running a statement."
    );
    describe_gauge!("call_memory_in_use_bytes", Unit::Bytes, "What the calls in flight hold.");
    describe_counter!(
        "limits_reached_total",
        "How often a limit has ended a call, a stream or a connection, by limit."
    );
    describe_gauge!(
        "tls_certificate_expire_time_seconds",
        Unit::Seconds,
        "When the first certificate of --tls-cert expires, in seconds since 1970."
    );
    describe_counter!("credential_reloads_total", "Reloads of certificates and keys, by result.");
    describe_counter!("swept_rows_total", "Rows that were changed or deleted in the background, by sweep.");
    describe_gauge!("database_connections_max", Unit::Count, "Maximum number of connections of the pool.");
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// The state of the admin port.
pub(crate) struct Admin {
    pub(crate) metrics: PrometheusHandle,
    pub(crate) database: Database,
    pub(crate) availability: Availability,
    pub(crate) budget: Budget,
    pub(crate) signing_keys: Option<SigningKeys>,
    pub(crate) tls: Option<CurrentTls>,
}

impl Admin {
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/.well-known/jwks.json", get(jwks))
            .with_state(Arc::new(self))
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    gauge!("database_connections_in_use").set(admin.database.connections_in_use() as f64);
    gauge!("database_connections_max").set(admin.database.max_connections() as f64);
    gauge!("call_memory_in_use_bytes").set(admin.budget.in_use() as f64);
    if let Some(tls) = &admin.tls {
        gauge!("tls_certificate_expire_time_seconds").set(tls.load().expire_seconds as f64);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], admin.metrics.render())
}

/// Reports that the process is alive.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Reports whether calls can be answered, which is whether the database answers.
async fn readyz(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    if admin.availability.is_available() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the database is unavailable\n")
    }
}

/// The public keys ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)); an empty set without authentication.
async fn jwks(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let keys = admin.signing_keys.as_ref().map(SigningKeys::public);
    let keys = keys.map_or_else(|| Ok(r#"{"keys":[]}"#.to_owned()), |keys| serde_json::to_string(&keys));
    match keys {
        Ok(keys) => (StatusCode::OK, [(CONTENT_TYPE, "application/jwk-set+json")], keys),
        Err(error) => {
            tracing::error!(%error, "cannot encode the public keys");
            (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "text/plain")], String::new())
        }
    }
}
