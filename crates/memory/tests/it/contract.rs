//! The contract kit, on every method of the service.
use memory::SERVICE;
use platform::testing::contract::Contract;

const STORE: &str = r#"{"memory": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120001", "scope": "MEMORY_SCOPE_PROJECT",
    "content": "Ada likes green tea", "type": "fact", "source": "standup", "confidence": 0.75, "pinned": true,
    "policy": true, "user_id": "ada", "team_id": "web", "project_id": "quire", "repository": "quire/lists",
    "agent": "scribe", "tags": ["taste", "drinks"], "metadata": {"room": "4", "empty": ""}}}"#;

const BATCH: &str = r#"{"requests": [
    {"memory": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120002", "scope": "MEMORY_SCOPE_PROJECT",
        "content": "Tea is served at four", "type": "fact", "source": "calendar", "confidence": 0.5, "pinned": true,
        "policy": true, "user_id": "ada", "team_id": "tea", "project_id": "quire", "repository": "quire/lists",
        "agent": "scribe", "tags": ["drinks"], "metadata": {"room": "5"}}},
    {"memory": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120003", "scope": "MEMORY_SCOPE_USER",
        "content": "Ben prefers coffee to tea", "type": "preference", "source": "chat", "confidence": 0.25,
        "pinned": true, "policy": true, "user_id": "ben", "team_id": "api", "project_id": "pages",
        "repository": "quire/pages", "agent": "reviewer", "tags": ["coffee"], "metadata": {"room": "6"}}}]}"#;

/// Updates a memory that is neither pinned nor a policy.
const UPDATE: &str = r#"{"memory": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120004", "scope": "MEMORY_SCOPE_TEAM",
    "content": "Cocoa", "type": "rule", "source": "mail", "confidence": 0.125, "pinned": true, "policy": true,
    "user_id": "eve", "team_id": "ops", "project_id": "tokens", "repository": "quire/tokens", "agent": "pager",
    "tags": ["cocoa"], "metadata": {"room": "7"}}}"#;

const FILTERS: &str = r#""agent": "scribe", "user_id": "ada", "project_id": "quire", "scope": "MEMORY_SCOPE_PROJECT",
    "repository": "quire/lists", "type": "fact", "tag": "drinks", "pinned": true, "policy": true}"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_method_fulfils_the_contract() {
    const ID: &str = r#"{"id": "01934f6e-8a3b-7c21-9d55-0242ac120001"}"#;
    const PLAIN: &str = r#"{"memory": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120004", "scope": "MEMORY_SCOPE_USER",
        "content": "A cup of tea"}}"#;
    Contract::of(&SERVICE)
        .example("StoreMemory", STORE)
        .example("StoreMemory", PLAIN)
        .example("BatchStoreMemories", BATCH)
        .example("GetMemory", ID)
        .example("ListMemories", &format!("{{{FILTERS}"))
        .example("RecallMemories", &format!(r#"{{"query": "tea", {FILTERS}"#))
        .example("UpdateMemory", UPDATE)
        .example("DeleteMemory", ID)
        .unique("Memory.id")
        .required("Memory.scope")
        .text("Memory.content", 1..=256 << 10)
        .text("Memory.type", 0..=64)
        .text("Memory.source", 0..=256)
        .text("Memory.user_id", 0..=128)
        .text("Memory.team_id", 0..=128)
        .text("Memory.project_id", 0..=128)
        .text("Memory.repository", 0..=256)
        .text("Memory.agent", 0..=256)
        .text("RecallMemoriesRequest.query", 1..=256 << 10)
        .number("Memory.confidence", 0.0..=1.0)
        .check()
        .await;
}
