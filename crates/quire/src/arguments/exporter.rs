use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, builder::BoolishValueParser};

use super::{Connect, Otlp, Tls};

/// The longest window: a hundred years.
const MAX_WINDOW: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

#[derive(Debug, Args)]
pub(crate) struct Exporter {
    /// The address to serve metrics on
    #[arg(long, env = "QUIRE_EXPORTER_LISTEN", default_value = "127.0.0.1:50053")]
    pub(crate) listen: SocketAddr,

    /// A PEM file with the exporter's certificate chain. With this file, metrics are served over TLS. SIGHUP reloads it
    #[arg(long, env = "QUIRE_EXPORTER_TLS_CERT", requires = "listen_tls_key")]
    pub(crate) listen_tls_cert: Option<PathBuf>,

    /// A PEM file with the private key of the exporter's certificate
    #[arg(long, env = "QUIRE_EXPORTER_TLS_KEY", requires = "listen_tls_cert")]
    pub(crate) listen_tls_key: Option<PathBuf>,

    /// Allow an address that is not a loopback address without TLS
    #[arg(long, env = "QUIRE_EXPORTER_INSECURE", value_parser = BoolishValueParser::new())]
    pub(crate) listen_insecure: bool,

    /// The window: jobs that ended this long ago or later are summed
    #[arg(long, env = "QUIRE_EXPORTER_WINDOW", default_value = "24h", value_parser = window)]
    pub(crate) window: Duration,

    /// Answer scrapes from the last reading for this long, as in `30s`. Without it, the server is read for each scrape. A
    /// failed reading is never kept
    #[arg(long, env = "QUIRE_EXPORTER_CACHE", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) cache: Option<Duration>,

    #[command(flatten)]
    pub(crate) connect: Connect,

    #[command(flatten)]
    pub(crate) otlp: Otlp,
}

impl Exporter {
    /// The TLS of the address for metrics. Prometheus needs no certificate.
    pub(crate) fn tls(&self) -> Tls {
        Tls { tls_cert: self.listen_tls_cert.clone(), tls_key: self.listen_tls_key.clone(), tls_client_ca: None }
    }
}

fn window(text: &str) -> Result<Duration, String> {
    let window = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let is_valid = !window.is_zero() && window <= MAX_WINDOW;
    if is_valid { Ok(window) } else { Err("it must be longer than 0 and at most 100 years".to_owned()) }
}
