use clap::Args;

/// Where spans go.
#[derive(Debug, Args)]
pub(crate) struct Otlp {
    /// An OpenTelemetry collector that gets spans of calls and statements by OTLP over gRPC, as in http://127.0.0.1:4317
    #[arg(long, env = "QUIRE_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,

    /// How many of the traces to export, from 0 to 1
    #[arg(long, env = "QUIRE_OTLP_SAMPLE_RATIO", value_name = "RATIO", default_value = "1", value_parser = ratio)]
    pub(crate) otlp_sample_ratio: f64,
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "it must be a number from 0 to 1".to_owned())
}
