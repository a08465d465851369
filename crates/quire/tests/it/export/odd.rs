//! Records with values that are hard to copy: empty, at their limits, with unusual characters, and with every field.
use serde_json::{Map, Value, json};

const TEXT: &str = "ünï \u{1F600} \u{202e}\u{1b}[1m\"\\/\t\r\n\u{1}\u{7f}\u{2028}{{name}}<&>";

/// The lines of the records with this noun.
pub fn lines(noun: &str) -> String {
    let records = match noun {
        "prompts" => prompts(),
        "memories" => memories(),
        "agents" => agents(),
        "usage" => usage(),
        "jobs" => jobs(),
        _ => panic!("no {noun}"),
    };
    records.iter().map(|record| format!("{record}\n")).collect()
}

/// So many bytes of text.
fn long(bytes: usize) -> String {
    "é".repeat(bytes / 2) + &"x".repeat(bytes % 2)
}

fn tags() -> Vec<String> {
    (0..32).map(|number| format!("{number:02}{}", long(62))).collect()
}

fn metadata() -> Map<String, Value> {
    let entries = (0..60).map(|number| (format!("ü{number}"), json!(long(100))));
    entries.chain([(TEXT.to_owned(), json!(TEXT)), ("empty".to_owned(), json!("")), (long(64), json!("x"))]).collect()
}

fn prompts() -> Vec<Value> {
    let id = "ffffffff-ffff-4fff-bfff-ffffffffffff";
    vec![
        json!({"prompt": {"name": "x"}, "version": {"content": "\u{1}"}}),
        json!({"prompt": {"name": TEXT, "surface": TEXT}, "version": {"content": TEXT, "model": TEXT, "author": TEXT}}),
        json!({
            "prompt": {"id": id, "name": long(256), "surface": long(64), "tags": tags(), "metadata": metadata()},
            "version": {"content": long(1 << 20), "model": long(128), "author": long(128)},
        }),
        // A page of these is too large for a client.
        json!({"prompt": {"name": "y"}, "version": {"content": "y".repeat(1 << 20)}}),
        json!({"prompt": {"name": "z"}, "version": {"content": "\u{2}".repeat(1 << 20)}}),
        json!({"prompt": {"name": "0"}, "version": {"content": "\"".repeat(1 << 20)}}),
    ]
}

fn memories() -> Vec<Value> {
    vec![
        json!({"memory": {"scope": "MEMORY_SCOPE_AGENT", "content": "x"}}),
        json!({"memory": {"scope": 3, "content": TEXT, "confidence": 0, "tags": [TEXT]}}),
        json!({"memory": {"scope": "MEMORY_SCOPE_TEAM", "content": "x", "confidence": 0.1, "policy": true}}),
        json!({"memory": {
            "id": "00000000-0000-0000-0000-000000000000",
            "scope": "MEMORY_SCOPE_PROJECT",
            "content": long(1 << 18),
            "type": long(64),
            "source": long(256),
            "confidence": 0.300_000_000_000_000_04,
            "pinned": true,
            "policy": true,
            "user_id": long(128),
            "team_id": long(128),
            "project_id": long(128),
            "repository": long(256),
            "agent": long(256),
            "tags": tags(),
            "metadata": metadata(),
        }}),
    ]
}

fn agents() -> Vec<Value> {
    vec![
        json!({"agent": {"name": "x", "time_to_live": "86400s"}}),
        json!({"agent": {"name": TEXT, "capacity": 0, "status": "AGENT_STATUS_OFFLINE", "time_to_live": "1.001s"}}),
        json!({"agent": {"name": "y", "status": "AGENT_STATUS_SUSPENDED", "load": 7, "time_to_live": "86399.999s"}}),
        json!({"agent": {
            "id": "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "name": long(256),
            "surface": long(64),
            "endpoint": long(1_024),
            "capabilities": tags(),
            "status": "AGENT_STATUS_DEGRADED",
            "load": i32::MAX,
            "capacity": i32::MAX,
            "time_to_live": "86400s",
            "metadata": metadata(),
        }}),
    ]
}

fn usage() -> Vec<Value> {
    vec![
        json!({"request_id": "x"}),
        json!({"request_id": TEXT, "model": TEXT, "cost_usd": "000.1000", "occur_time": "1969-12-31T23:59:59.999999Z"}),
        json!({
            "request_id": long(128),
            "team_id": long(128),
            "agent_id": long(256),
            "surface": long(64),
            "event_type": long(64),
            "model": long(128),
            "provider": long(64),
            "input_tokens": "1000000000000",
            "output_tokens": 1_000_000_000_000_i64,
            "cache_read_tokens": 1,
            "cache_write_tokens": 1,
            "cost_usd": "999999999.999999999999",
            "metadata": metadata(),
            "occur_time": "2026-01-01T00:00:00.123456789+14:00",
        }),
    ]
}

fn jobs() -> Vec<Value> {
    vec![
        json!({"job": {"operation": {"type": TEXT}}}),
        json!({"job": {"operation": {"type": "x", "data": "{ \"a\":1e999,\n\t\"a\": null}"}, "priority": i32::MIN}}),
        json!({"job": {
            "id": "AAAAAAAA-AAAA-AAAA-AAAA-AAAAAAAAAAAA",
            "operation": {"type": long(128), "data": format!(r#"{{"{}": 1}}"#, long(262_135))},
            "target": long(256),
            "priority": i32::MAX,
            "policy_type": long(64),
        }}),
    ]
}
