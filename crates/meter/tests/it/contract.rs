//! The contract kit, on every method of the service.
use meter::SERVICE;
use platform::testing::contract::Contract;

/// Two records that all filters of [`FILTERS`] find, and one that only the filters by time find.
const RECORD: &str = r#"{"records": [
    {"request_id": "r-1", "team_id": "search", "agent_id": "crawler-7", "surface": "ci", "event_type": "completion",
        "model": "large-2", "provider": "acme", "input_tokens": 1000000000000, "output_tokens": 1, "cache_read_tokens": 2,
        "cache_write_tokens": 3, "cost_usd": "12.34", "metadata": {"trace": "abc"},
        "occur_time": "2026-01-01T00:00:00.123456Z"},
    {"request_id": "r-2", "team_id": "search", "agent_id": "crawler-7", "surface": "chat", "event_type": "completion",
        "model": "large-2", "provider": "acme", "input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 3,
        "cache_write_tokens": 4, "cost_usd": "0.0125", "metadata": {"trace": "def"}, "occur_time": "2026-01-02T00:00:00Z"},
    {"request_id": "r-3", "team_id": "web", "agent_id": "helper", "surface": "chat", "event_type": "embedding",
        "model": "small-1", "provider": "other", "input_tokens": 4, "output_tokens": 3, "cache_read_tokens": 2,
        "cache_write_tokens": 1, "cost_usd": "0.5", "metadata": {"trace": "ghi"}, "occur_time": "2026-01-03T00:00:00Z"}]}"#;

const FILTERS: &str = r#""agent_id": "crawler-7", "team_id": "search", "model": "large-2", "event_type": "completion",
    "provider": "acme""#;

const COSTS: [&str; 5] = ["0.0125", "0.000000000001", "999999999.999999999999", "100", "007"];

/// Texts that are not costs. `cost.rs` tries more texts.
const NO_COSTS: [&str; 10] = [".5", "5.", "-1", "+1", "1e3", "1_000", " 1", "\u{661}", "1\0", "0.0000000000001"];

#[tokio::test(flavor = "multi_thread")]
async fn every_method_fulfils_the_contract() {
    let list = format!(r#"{{{FILTERS}, "start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-03T00:00:00Z"}}"#);
    let summarize = format!(
        r#"{{{FILTERS}, "start_time": "0001-01-01T00:00:00Z", "end_time": "9999-12-31T23:59:59Z",
            "group_by": ["USAGE_DIMENSION_TEAM", "USAGE_DIMENSION_AGENT", "USAGE_DIMENSION_MODEL",
                "USAGE_DIMENSION_PROVIDER", "USAGE_DIMENSION_EVENT_TYPE", "USAGE_DIMENSION_DAY"]}}"#
    );
    let tokens = 0.0..=1e12;
    Contract::of(&SERVICE)
        .example("RecordUsage", RECORD)
        .example("ListUsage", &list)
        .example("SummarizeUsage", &summarize)
        .unique("UsageRecord.request_id")
        .text("UsageRecord.request_id", 1..=128)
        .text("UsageRecord.team_id", 0..=128)
        .text("UsageRecord.agent_id", 0..=256)
        .text("UsageRecord.surface", 0..=64)
        .text("UsageRecord.event_type", 0..=64)
        .text("UsageRecord.model", 0..=128)
        .text("UsageRecord.provider", 0..=64)
        .number("UsageRecord.input_tokens", tokens.clone())
        .number("UsageRecord.output_tokens", tokens.clone())
        .number("UsageRecord.cache_read_tokens", tokens.clone())
        .number("UsageRecord.cache_write_tokens", tokens)
        .form("UsageRecord.cost_usd", "must be 1 to 9 digits", &COSTS, &NO_COSTS)
        // An omitted time is not compared.
        .volatile("UsageRecord.occur_time")
        .parameter("SummarizeUsageRequest.group_by")
        .parameter("SummarizeUsageRequest.start_time")
        .parameter("SummarizeUsageRequest.end_time")
        .required("SummarizeUsageRequest.start_time")
        .required("SummarizeUsageRequest.end_time")
        .check()
        .await;
}
