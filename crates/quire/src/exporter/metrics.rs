//! Metrics in the model of Prometheus: gauges only, because they describe a moment or a window and do not only grow.

use bytes::Bytes;
use prometheus::{
    TextEncoder,
    proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

/// The values of a metric, by their labels.
pub(super) type Samples = Vec<(Vec<(&'static str, String)>, f64)>;

/// A metric without labels.
pub(super) fn gauge(name: &str, help: &str, value: f64) -> Option<MetricFamily> {
    gauges(name, help, vec![(Vec::new(), value)])
}

/// A metric with these values; `None` if there are none.
pub(super) fn gauges(name: &str, help: &str, mut samples: Samples) -> Option<MetricFamily> {
    if samples.is_empty() {
        return None;
    }
    samples.sort_unstable_by(|(labels, _), (other, _)| labels.cmp(other));
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(MetricType::GAUGE);
    family.set_metric(samples.into_iter().map(|(labels, value)| metric(labels, value)).collect());
    Some(family)
}

/// Metrics in the text format of Prometheus.
pub(super) fn text(families: &[MetricFamily]) -> prometheus::Result<Bytes> {
    let mut text = String::new();
    TextEncoder::new().encode_utf8(families, &mut text)?;
    Ok(text.into())
}

fn metric(labels: Vec<(&'static str, String)>, value: f64) -> Metric {
    let pair = |(name, value): (&str, _)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value);
        pair
    };
    let mut metric = Metric::from_label(labels.into_iter().map(pair).collect());
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    metric.set_gauge(gauge);
    metric
}
