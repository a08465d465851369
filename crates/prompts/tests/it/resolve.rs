//! ResolvePrompt: the version that a label of a named prompt points at, in one statement.
use crate::support::{Client, add, assign, label, make, named, one, remove, start, text};
use keyset::Statement;
use quire_proto::prompts::v1::{
    DeletePromptRequest, GetPromptVersionRequest, Prompt, PromptVersion, ResolvePromptRequest, UpdatePromptRequest,
};
use tonic::{Code, Status};

/// Resolves a label, or the default label, of the prompt with this name, in the workspace `default`.
async fn resolve(client: &Client, name: &str, label: Option<&str>) -> Result<PromptVersion, Status> {
    let label = label.map(str::to_owned);
    ask(client, ResolvePromptRequest { name: name.into(), label, ..Default::default() }).await
}

async fn ask(client: &Client, request: ResolvePromptRequest) -> Result<PromptVersion, Status> {
    Ok(client.clone().resolve_prompt(request).await?.into_inner().version.unwrap())
}

#[tokio::test]
async fn a_version_and_the_latest_version_are_resolved() {
    let (_platform, client) = start().await;
    let id = &one(&client, "x").await.id;
    one(&client, "y").await;
    let latest = async || resolve(&client, "x", Some("latest")).await.unwrap().version;
    assert_eq!(latest().await, 1);
    add(&client, "default", text(id, "2")).await.unwrap();
    add(&client, "default", text(id, "3")).await.unwrap();
    assert_eq!(latest().await, 3);
    let by_number = async |version, label: Option<&str>| {
        let label = label.map(str::to_owned);
        ask(&client, ResolvePromptRequest { name: "x".into(), label, version: Some(version) }).await
    };
    for (version, label) in [(1, None), (2, Some("latest")), (3, Some("no such label"))] {
        let resolved = by_number(version, label).await.unwrap();
        assert_eq!((resolved.version, &resolved.prompt_id), (version, id));
    }
    for (version, code) in [(4, Code::NotFound), (0, Code::InvalidArgument), (-1, Code::InvalidArgument)] {
        assert_eq!(by_number(version, None).await.unwrap_err().code(), code, "{version}");
    }
    // A label with this name has precedence.
    assign(&client, "default", label(id, "latest", 2)).await.unwrap();
    assert_eq!(latest().await, 2);
    remove(&client, id, "latest", "").await.unwrap();
    assert_eq!(latest().await, 3);
}

#[tokio::test]
async fn the_default_label_is_production() {
    let (_platform, client) = start().await;
    let id = &one(&client, "x").await.id;
    let asked = PromptVersion { model: "m".into(), author: "ada".into(), ..text(id, "Hello {{name}}") };
    let second = add(&client, "default", asked).await.unwrap();
    let first = GetPromptVersionRequest { prompt_id: id.clone(), version: 1 };
    let first = client.clone().get_prompt_version(first).await.unwrap().into_inner().version.unwrap();
    for (name, version) in [("production", 2), ("canary", 1), ("\u{1f600} x", 1)] {
        assign(&client, "default", label(id, name, version)).await.unwrap();
    }
    assert_eq!(resolve(&client, "x", None).await.unwrap(), second);
    assert_eq!(resolve(&client, "x", Some("production")).await.unwrap(), second);
    for name in ["canary", "\u{1f600} x"] {
        assert_eq!(resolve(&client, "x", Some(name)).await.unwrap(), first);
    }
    for (name, label) in [("x", "Canary"), ("X", "canary"), ("x", "staging")] {
        assert_eq!(resolve(&client, name, Some(label)).await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test]
async fn a_label_resolves_to_its_current_version() {
    let (_platform, client) = start().await;
    let made = make(&client, "default", &[named("x"), named("y")]).await;
    let id = &made[0].id;
    for version in 2..=4 {
        add(&client, "default", text(id, version.to_string())).await.unwrap();
    }
    // A label with the same name of another prompt is a different label.
    assign(&client, "default", label(&made[1].id, "production", 1)).await.unwrap();
    for version in [1, 4, 2, 3, 1] {
        assign(&client, "default", label(id, "production", version)).await.unwrap();
        assert_eq!(resolve(&client, "x", None).await.unwrap().version, version);
        // A version without a label is not resolved.
        add(&client, "default", text(id, format!("after {version}"))).await.unwrap();
        assert_eq!(resolve(&client, "x", None).await.unwrap().version, version);
    }
    assert_eq!(resolve(&client, "y", None).await.unwrap().prompt_id, made[1].id);

    // The prompt is found by its current name.
    let prompt = Prompt { id: id.clone(), name: "z".into(), ..Default::default() };
    client.clone().update_prompt(UpdatePromptRequest { prompt: Some(prompt), update_mask: None }).await.unwrap();
    assert_eq!(resolve(&client, "x", None).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(resolve(&client, "z", None).await.unwrap().prompt_id, *id);
    client.clone().delete_prompt(DeletePromptRequest { id: id.clone() }).await.unwrap();
    assert_eq!(resolve(&client, "z", None).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn each_call_runs_one_statement() {
    let (platform, client) = start().await;
    let database = &platform.database;
    let id = &one(&client, "x").await.id;
    assign(&client, "default", label(id, "production", 1)).await.unwrap();
    // From here on there is one connection, which has run no statement yet.
    database.forget_connections();
    for _ in 0..10 {
        resolve(&client, "x", None).await.unwrap();
        resolve(&client, "x", Some("canary")).await.unwrap_err();
    }
    // Every statement on the connection is prepared, and Postgres counts its runs.
    let runs =
        "select generic_plans + custom_plans from pg_prepared_statements where statement not like '%generic_plans%'";
    let runs: Vec<(i64,)> = database.read(Statement::new(runs)).await.unwrap();
    assert_eq!(runs, [(20,)]);
}
