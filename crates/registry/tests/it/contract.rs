//! The contract kit, on every method of the service.
use platform::testing::contract::Contract;
use registry::SERVICE;

const REGISTER: &str = r#"{"agent": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120001", "name": "reviewer-rust",
    "surface": "ci", "endpoint": "https://agents.example.com/rust", "capabilities": ["code-review", "rust"],
    "status": "AGENT_STATUS_ACTIVE", "load": 2, "capacity": 6, "time_to_live": "43200.500s",
    "metadata": {"owner": "platform", "region": "eu"}}}"#;

const BATCH: &str = r#"{"requests": [
    {"agent": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120002", "name": "reviewer-python", "surface": "ci",
        "endpoint": "https://agents.example.com/python", "capabilities": ["code-review"],
        "status": "AGENT_STATUS_ACTIVE", "load": 1, "capacity": 2, "time_to_live": "43200s",
        "metadata": {"owner": "data"}}},
    {"agent": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120003", "name": "support-triage", "surface": "chat",
        "endpoint": "unix:/run/triage", "capabilities": ["triage", "english"], "status": "AGENT_STATUS_BUSY",
        "load": 11, "capacity": 24, "time_to_live": "57600s", "metadata": {"owner": "support"}}}]}"#;

const UPDATE: &str = r#"{"agent": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120001", "name": "reviewer", "surface": "ide",
    "endpoint": "unix:/run/reviewer", "capabilities": ["review"], "status": "AGENT_STATUS_SUSPENDED", "capacity": 7,
    "time_to_live": "1.005s", "metadata": {"owner": "quality"}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_method_fulfils_the_contract() {
    const ID: &str = r#"{"id": "01934f6e-8a3b-7c21-9d55-0242ac120001"}"#;
    const BEAT: &str =
        r#"{"id": "01934f6e-8a3b-7c21-9d55-0242ac120001", "status": "AGENT_STATUS_DEGRADED", "load": 3}"#;
    let most = f64::from(i32::MAX);
    Contract::of(&SERVICE)
        .example("RegisterAgent", REGISTER)
        .example("BatchRegisterAgents", BATCH)
        .example("GetAgent", ID)
        .example("ListAgents", r#"{"status": "AGENT_STATUS_ACTIVE", "surface": "ci", "capability": "code-review", "name": "reviewer-rust"}"#)
        .example("DiscoverAgents", r#"{"capability": "code-review"}"#)
        .example("Heartbeat", BEAT)
        .example("UpdateAgent", UPDATE)
        .example("DeregisterAgent", ID)
        .unique("Agent.id")
        .unique("Agent.name")
        .required("UpdateAgent agent.status")
        .volatile("Agent.status")
        .volatile("Agent.load")
        .text("Agent.name", 1..=256)
        .text("Agent.surface", 0..=64)
        .text("Agent.endpoint", 0..=1_024)
        .text("DiscoverAgentsRequest.capability", 1..=64)
        .number("Agent.load", 0.0..=most)
        .number("Agent.capacity", 0.0..=most)
        .number("Agent.time_to_live", 1.0..=86_400.0)
        .number("HeartbeatRequest.load", 0.0..=most)
        .except("ListAgents name: finds 1 rows", "a name is unique")
        .except("BatchRegisterAgents: with values that are not read", "a batch takes nothing over")
        .except("Heartbeat status AGENT_STATUS_SUSPENDED", "only UpdateAgent suspends agents")
        .check()
        .await;
}
