//! The contract kit, on every method of the service.
use platform::testing::contract::Contract;
use prompts::SERVICE;

const CREATE: &str = r#"{
    "prompt": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120001", "name": "support/greeting", "surface": "chat",
        "tags": ["support", "english"], "metadata": {"team": "web", "tier": "1"}},
    "version": {"content": "Hello {{name}}", "model": "text-medium", "author": "ada"}}"#;

const BATCH: &str = r#"{"requests": [
    {"prompt": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120002", "name": "support/goodbye", "surface": "chat",
        "tags": ["support"], "metadata": {"team": "web"}},
        "version": {"content": "Bye {{name}}", "model": "text-medium", "author": "ada"}},
    {"prompt": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120003", "name": "code/review", "surface": "ci",
        "tags": ["code", "review"], "metadata": {"team": "platform"}},
        "version": {"content": "Review {{diff}}", "model": "code-large", "author": "ben"}}]}"#;

const UPDATE: &str = r#"{"prompt": {"id": "01934f6e-8a3b-7c21-9d55-0242ac120001", "name": "support/hello",
    "surface": "cli", "tags": ["hello"], "metadata": {"team": "support"}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_method_fulfils_the_contract() {
    const ID: &str = r#"{"id": "01934f6e-8a3b-7c21-9d55-0242ac120001"}"#;
    const OF: &str = r#"{"prompt_id": "01934f6e-8a3b-7c21-9d55-0242ac120001""#;
    let of = |more: &str| format!("{OF}{more}}}");
    let version = |content| format!(r#"{{"version": {OF}, "content": {content:?}, "model": "m", "author": "ada"}}}}"#);
    Contract::of(&SERVICE)
        .example("CreatePrompt", CREATE)
        .example("BatchCreatePrompts", BATCH)
        .example("GetPrompt", ID)
        .example(
            "ListPrompts",
            r#"{"surface": "chat", "name_prefix": "support/", "tag": "support", "with_latest_version": true}"#,
        )
        .example("CreatePromptVersion", &version("Hi {{name}}"))
        .example("GetPromptVersion", &of(r#", "version": 2"#))
        .example("ListPromptVersions", &of(""))
        .example("AssignLabel", &of(r#", "label": "production", "version": 1, "assigned_by": "ada""#))
        .example("AssignLabel", &of(r#", "label": "production", "version": 2, "assigned_by": "ada""#))
        .example("AssignLabel", &of(r#", "label": "canary", "version": 2, "assigned_by": "ben""#))
        .example("RemoveLabel", &of(r#", "label": "canary", "removed_by": "ben""#))
        .example("ListLabels", &of(""))
        .example("ListDeployments", &of(r#", "label": "production""#))
        .example("UpdatePrompt", UPDATE)
        .example("ResolvePrompt", r#"{"name": "support/hello", "label": "production", "version": 2}"#)
        .example("DeletePrompt", ID)
        .parameter("ListPromptsRequest.with_latest_version")
        .only_listed("Prompt.latest")
        .unique("Prompt.id")
        .unique("Prompt.name")
        .text("Prompt.name", 1..=256)
        .text("Prompt.surface", 0..=64)
        .text("PromptVersion.content", 1..=1 << 20)
        .text("PromptVersion.model", 0..=128)
        .text("PromptVersion.author", 0..=128)
        .text("AssignLabelRequest.label", 1..=64)
        .text("AssignLabelRequest.assigned_by", 0..=128)
        .text("RemoveLabelRequest.label", 1..=64)
        .text("RemoveLabelRequest.removed_by", 0..=128)
        .text("ResolvePromptRequest.name", 1..=256)
        .text("ResolvePromptRequest.label", 1..=64)
        .number("GetPromptVersionRequest.version", 1.0..=f64::from(i32::MAX))
        .number("ResolvePromptRequest.version", 1.0..=f64::from(i32::MAX))
        .number("AssignLabelRequest.version", 1.0..=f64::from(i32::MAX))
        .check()
        .await;
}
