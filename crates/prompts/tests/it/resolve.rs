//! ResolvePrompt: the version that a label of a named prompt points at, in one statement.
use crate::support::{Client, add, assign, from, label, make, named, one, start, text, told};
use keyset::Statement;
use quire_proto::prompts::v1::{
    DeletePromptRequest, GetPromptVersionRequest, Prompt, PromptVersion, ResolvePromptRequest, UpdatePromptRequest,
};
use tonic::{Code, Status};

/// What a label, or the default one, of a prompt with this name points at, as a caller of the workspace sees it.
async fn resolve(client: &Client, workspace: &str, name: &str, label: Option<&str>) -> Result<PromptVersion, Status> {
    let request = ResolvePromptRequest { name: name.into(), label: label.map(str::to_owned) };
    let response = client.clone().resolve_prompt(from(workspace, request)).await?;
    Ok(response.into_inner().version.unwrap())
}

#[tokio::test]
async fn a_label_that_is_left_out_is_production() {
    let (_platform, client) = start().await;
    let id = &one(&client, "x").await.id;
    let asked = PromptVersion { model: "m".into(), author: "ada".into(), ..text(id, "Hello {{name}}") };
    let second = add(&client, "default", asked).await.unwrap();
    let first = GetPromptVersionRequest { prompt_id: id.clone(), version: 1 };
    let first = client.clone().get_prompt_version(first).await.unwrap().into_inner().version.unwrap();
    for (name, version) in [("production", 2), ("canary", 1), ("\u{1f600} x", 1)] {
        assign(&client, "default", label(id, name, version)).await.unwrap();
    }
    assert_eq!(resolve(&client, "default", "x", None).await.unwrap(), second);
    assert_eq!(resolve(&client, "default", "x", Some("production")).await.unwrap(), second);
    for name in ["canary", "\u{1f600} x"] {
        assert_eq!(resolve(&client, "default", "x", Some(name)).await.unwrap(), first);
    }
}

#[tokio::test]
async fn what_a_label_points_at_now_is_what_it_resolves_to() {
    let (_platform, client) = start().await;
    let made = make(&client, "default", &[named("x"), named("y")]).await;
    let id = &made[0].id;
    for version in 2..=4 {
        add(&client, "default", text(id, version.to_string())).await.unwrap();
    }
    // Another prompt's label of the same name is another label.
    assign(&client, "default", label(&made[1].id, "production", 1)).await.unwrap();
    for version in [1, 4, 2, 3, 1] {
        assign(&client, "default", label(id, "production", version)).await.unwrap();
        assert_eq!(resolve(&client, "default", "x", None).await.unwrap().version, version);
        // A version that no label points at is served to nobody.
        add(&client, "default", text(id, format!("after {version}"))).await.unwrap();
        assert_eq!(resolve(&client, "default", "x", None).await.unwrap().version, version);
    }
    assert_eq!(resolve(&client, "default", "y", None).await.unwrap().prompt_id, made[1].id);

    // The name is the one that the prompt has now.
    let prompt = Prompt { id: id.clone(), name: "z".into(), ..Default::default() };
    client.clone().update_prompt(UpdatePromptRequest { prompt: Some(prompt), update_mask: None }).await.unwrap();
    assert_eq!(resolve(&client, "default", "x", None).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(resolve(&client, "default", "z", None).await.unwrap().prompt_id, *id);
    client.clone().delete_prompt(DeletePromptRequest { id: id.clone() }).await.unwrap();
    assert_eq!(resolve(&client, "default", "z", None).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn what_cannot_be_resolved_is_told_why() {
    let (_platform, client) = start().await;
    let id = &one(&client, "x").await.id;
    assign(&client, "default", label(id, "canary", 1)).await.unwrap();
    let long = "x".repeat(257);
    let requests = [
        ("no such label", "x", Some("staging")),
        ("no label production", "x", None),
        ("no such prompt", "X", Some("canary")),
        ("a label in capitals", "x", Some("Canary")),
        ("an empty label", "x", Some("")),
        ("an empty name", "", Some("canary")),
        ("too long", &long, Some(&long[..65])),
        ("NUL", "\0", Some("\0")),
    ];
    let mut answers = String::new();
    for (what, name, label) in requests {
        let answer = told(&resolve(&client, "default", name, label).await.unwrap_err());
        answers += &format!("{what}\n{answer}\n");
    }
    insta::assert_snapshot!(answers, @r#"
    no such label
    NotFound: prompts.v1.Label with label "x/staging" does not exist
      NOT_FOUND of quire {"field": "label"}
      prompts.v1.Label "x/staging"
    no label production
    NotFound: prompts.v1.Label with label "x/production" does not exist
      NOT_FOUND of quire {"field": "label"}
      prompts.v1.Label "x/production"
    no such prompt
    NotFound: prompts.v1.Label with label "X/canary" does not exist
      NOT_FOUND of quire {"field": "label"}
      prompts.v1.Label "X/canary"
    a label in capitals
    NotFound: prompts.v1.Label with label "x/Canary" does not exist
      NOT_FOUND of quire {"field": "label"}
      prompts.v1.Label "x/Canary"
    an empty label
    InvalidArgument: label: must have 1 to 64 bytes; it has 0
      label: must have 1 to 64 bytes; it has 0
    an empty name
    InvalidArgument: name: must have 1 to 256 bytes; it has 0
      name: must have 1 to 256 bytes; it has 0
    too long
    InvalidArgument: name: must have 1 to 256 bytes; it has 257; label: must have 1 to 64 bytes; it has 65
      name: must have 1 to 256 bytes; it has 257
      label: must have 1 to 64 bytes; it has 65
    NUL
    InvalidArgument: name: must not contain NUL; label: must not contain NUL
      name: must not contain NUL
      label: must not contain NUL
    "#);
    resolve(&client, "default", "x", Some("canary")).await.unwrap();
}

#[tokio::test]
async fn what_another_workspace_has_is_as_if_it_were_nowhere() {
    let (_platform, client) = start().await;
    let nowhere = told(&resolve(&client, "theirs", "x", None).await.unwrap_err());
    let ours = make(&client, "ours", &[named("x")]).await.remove(0);
    assign(&client, "ours", label(&ours.id, "production", 1)).await.unwrap();
    assert_eq!(told(&resolve(&client, "theirs", "x", None).await.unwrap_err()), nowhere);
    let theirs = make(&client, "theirs", &[named("x")]).await.remove(0);
    assert_eq!(told(&resolve(&client, "theirs", "x", None).await.unwrap_err()), nowhere);
    assign(&client, "theirs", label(&theirs.id, "production", 1)).await.unwrap();
    for (workspace, prompt) in [("ours", ours), ("theirs", theirs)] {
        assert_eq!(resolve(&client, workspace, "x", None).await.unwrap().prompt_id, prompt.id);
    }
}

#[tokio::test]
async fn each_call_runs_one_statement() {
    let (platform, client) = start().await;
    let database = &platform.database;
    let id = &one(&client, "x").await.id;
    assign(&client, "default", label(id, "production", 1)).await.unwrap();
    // From here on there is one connection, on which nothing has been run.
    database.forget_connections();
    for _ in 0..10 {
        resolve(&client, "default", "x", None).await.unwrap();
        resolve(&client, "default", "x", Some("canary")).await.unwrap_err();
    }
    // Each statement that was run on it has been prepared, and is counted each time.
    let runs =
        "select generic_plans + custom_plans from pg_prepared_statements where statement not like '%generic_plans%'";
    let runs: Vec<(i64,)> = database.read(Statement::new(runs)).await.unwrap();
    assert_eq!(runs, [(20,)]);
}
