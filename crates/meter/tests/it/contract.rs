//! Every method of the service keeps what all methods promise.
use meter::Meter;
use platform::testing::contract::Contract;
use tonic::service::Routes;

const RECORD: &str = r#"{"records": [
    {"request_id": "call-1", "team_id": "web", "agent_id": "reviewer", "surface": "ci", "event_type": "completion",
        "model": "text-large", "provider": "example", "input_tokens": 1200, "output_tokens": 340,
        "cache_read_tokens": 50, "cache_write_tokens": 7, "cost_usd": "0.0125", "metadata": {"ticket": "A-1"},
        "occur_time": "2026-11-01T12:00:00.123456Z"},
    {"request_id": "call-2", "team_id": "web", "agent_id": "reviewer", "surface": "chat", "event_type": "completion",
        "model": "text-large", "provider": "example", "input_tokens": 12, "output_tokens": 34,
        "cache_read_tokens": 5, "cache_write_tokens": 1, "cost_usd": "1", "metadata": {"ticket": "A-2"},
        "occur_time": "2026-11-02T12:00:00Z"}]}"#;

#[tokio::test]
async fn every_method_keeps_its_promises() {
    const FILTERS: &str = r#""agent_id": "reviewer", "team_id": "web", "model": "text-large",
        "event_type": "completion", "provider": "example", "start_time": "2026-10-01T00:00:00Z",
        "end_time": "2026-12-01T00:00:00Z"}"#;
    Contract::of("meter.v1.MeterService")
        .example("RecordUsage", RECORD)
        .example("ListUsage", &format!("{{{FILTERS}"))
        .example("SummarizeUsage", &format!(r#"{{"group_by": ["USAGE_DIMENSION_DAY"], {FILTERS}"#))
        .unique("UsageRecord.request_id")
        .volatile("UsageRecord.occur_time")
        .parameter("SummarizeUsageRequest.group_by")
        .required("SummarizeUsageRequest.start_time")
        .required("SummarizeUsageRequest.end_time")
        .text("UsageRecord.request_id", 1..=128)
        .text("UsageRecord.team_id", 0..=128)
        .text("UsageRecord.agent_id", 0..=256)
        .text("UsageRecord.surface", 0..=64)
        .text("UsageRecord.event_type", 0..=64)
        .text("UsageRecord.model", 0..=128)
        .text("UsageRecord.provider", 0..=64)
        .form(
            "UsageRecord.cost_usd",
            "must be 1 to 9 digits",
            &["0.000000000001", "999999999", "7"],
            &["-1", "1e3", ".", "1.", "\0", "1234567890", "0.1234567890123"],
        )
        .number("UsageRecord.input_tokens", 0.0..=1e12)
        .number("UsageRecord.output_tokens", 0.0..=1e12)
        .number("UsageRecord.cache_read_tokens", 0.0..=1e12)
        .number("UsageRecord.cache_write_tokens", 0.0..=1e12)
        .check(async |platform| Routes::new(Meter::open(platform).await.unwrap().server()))
        .await;
}
