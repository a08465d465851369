//! UpdatePrompt: what the mask names, whose etag wins, and what is refused.
use std::collections::HashSet;

use crate::support::{Client, add, by, from, get, list, make, named, one, start, start_ticking, text, told, with};
use futures_util::future::join_all;
use platform::testing;
use quire_proto::prompts::v1::{ListPromptsRequest, Prompt, UpdatePromptRequest};
use tonic::{Code, Status};
use uuid::Uuid;

async fn update_in(client: &Client, workspace: &str, prompt: Prompt, mask: &[&str]) -> Result<Prompt, Status> {
    let mut request = UpdatePromptRequest { prompt: Some(prompt), ..Default::default() };
    if !mask.is_empty() {
        request.update_mask.get_or_insert_default().paths = mask.iter().map(|&path| path.to_owned()).collect();
    }
    Ok(client.clone().update_prompt(from(workspace, request)).await?.into_inner().prompt.unwrap())
}

/// Asks for a change, as a caller of the workspace `default`.
async fn update(client: &Client, prompt: Prompt, mask: &[&str]) -> Result<Prompt, Status> {
    update_in(client, "default", prompt, mask).await
}

/// A change of one field of a prompt.
fn surface(of: &Prompt, surface: &str) -> Prompt {
    Prompt { id: of.id.clone(), surface: surface.into(), ..Default::default() }
}

/// A prompt of which every field that can change is set.
fn full(name: &str) -> Prompt {
    Prompt {
        name: name.into(),
        surface: "chat".into(),
        tags: vec!["z".into(), "a".into()],
        metadata: [("team".into(), "web".into()), ("tier".into(), "1".into())].into(),
        ..Default::default()
    }
}

fn full_of(id: &str) -> Prompt {
    Prompt { id: id.into(), ..full("y") }
}

async fn make_full(client: &Client, name: &str) -> Prompt {
    make(client, "default", &[with(full(name))]).await.remove(0)
}

#[tokio::test]
async fn the_mask_names_what_changes_and_the_rest_is_not_even_looked_at() {
    let (_platform, client) = start_ticking().await;
    let masks: [&[&str]; 9] = [
        &["name"],
        &["surface"],
        &["tags"],
        &["metadata"],
        &["name", "tags"],
        &["metadata", "surface", "metadata"],
        &["metadata", "tags", "surface", "name"],
        &["*"],
        &["name", "*"],
    ];
    for (place, mask) in masks.into_iter().enumerate() {
        let before = make_full(&client, &format!("before {place}")).await;
        // What is not named is as wrong as it can be.
        let names = |field| mask.contains(&field) || mask.contains(&"*");
        let asked = Prompt {
            id: before.id.clone(),
            name: if names("name") { format!("after {place}") } else { "\0".into() },
            surface: if names("surface") { "cli".into() } else { "x".repeat(65) },
            tags: if names("tags") { vec!["new".into()] } else { vec![String::new(); 33] },
            metadata: [(if names("metadata") { "k" } else { "" }.into(), "v".into())].into(),
            latest_version: 7,
            create_time: Some(Default::default()),
            ..Default::default()
        };
        let after = update(&client, asked.clone(), mask).await.unwrap();
        assert_ne!(after.etag, before.etag);
        assert!(after.update_time.unwrap().seconds > before.update_time.unwrap().seconds);
        let expected = Prompt {
            name: if names("name") { asked.name } else { before.name },
            surface: if names("surface") { asked.surface } else { before.surface },
            tags: if names("tags") { asked.tags } else { before.tags },
            metadata: if names("metadata") { asked.metadata } else { before.metadata },
            etag: after.etag.clone(),
            update_time: after.update_time,
            ..before
        };
        assert_eq!(after, expected, "{mask:?}");
        assert_eq!(get(&client, &after.id).await.unwrap(), after, "{mask:?}");
    }
}

#[tokio::test]
async fn without_a_mask_what_is_given_changes() {
    let (_platform, client) = start().await;
    let asked = full("after");
    let alone = [
        Prompt { name: asked.name.clone(), ..Default::default() },
        Prompt { surface: "cli".into(), ..Default::default() },
        Prompt { tags: vec!["new".into()], ..Default::default() },
        Prompt { metadata: [("k".into(), String::new())].into(), ..Default::default() },
    ];
    for (place, asked) in alone.into_iter().enumerate() {
        let before = make_full(&client, &format!("before {place}")).await;
        let after = update(&client, Prompt { id: before.id.clone(), ..asked.clone() }, &[]).await.unwrap();
        let expected = Prompt {
            name: if asked.name.is_empty() { before.name } else { asked.name },
            surface: if asked.surface.is_empty() { before.surface } else { asked.surface },
            tags: if asked.tags.is_empty() { before.tags } else { asked.tags },
            metadata: if asked.metadata.is_empty() { before.metadata } else { asked.metadata },
            etag: after.etag.clone(),
            update_time: after.update_time,
            ..before
        };
        assert_eq!(after, expected);
    }
    // A mask without a path is none.
    let before = one(&client, "empty mask").await;
    let request = UpdatePromptRequest { prompt: Some(surface(&before, "web")), update_mask: Some(Default::default()) };
    let after = client.clone().update_prompt(request).await.unwrap().into_inner().prompt.unwrap();
    assert_eq!((after.name.as_str(), after.surface.as_str()), ("empty mask", "web"));
}

#[tokio::test]
async fn what_the_mask_names_and_the_prompt_leaves_out_is_cleared() {
    let (_platform, client) = start().await;
    for mask in [&["surface"][..], &["tags"], &["metadata"], &["surface", "tags", "metadata"]] {
        let before = make_full(&client, &mask.concat()).await;
        let after = update(&client, Prompt { id: before.id.clone(), ..Default::default() }, mask).await.unwrap();
        let is_empty = [after.surface.is_empty(), after.tags.is_empty(), after.metadata.is_empty()];
        assert_eq!(is_empty, ["surface", "tags", "metadata"].map(|field| mask.contains(&field)), "{mask:?}");
        assert_eq!(after.name, before.name);
        assert_eq!(get(&client, &after.id).await.unwrap(), after);
    }
}

#[tokio::test]
async fn an_etag_that_is_given_must_be_the_current_one() {
    let (platform, client) = start().await;
    let first = one(&client, "x").await;
    let id = first.id.clone();
    let with_etag = |etag: &str, to: &str| Prompt { etag: etag.into(), ..surface(&first, to) };
    let second = update(&client, with_etag(&first.etag, "a"), &[]).await.unwrap();
    let third = update(&client, with_etag(&second.etag, "b"), &["surface"]).await.unwrap();
    // One that is left out is not looked at.
    let fourth = update(&client, surface(&first, "c"), &["surface"]).await.unwrap();
    // What changes nothing but the etag is a change too, and so is a new version.
    let fifth = update(&client, with_etag(&fourth.etag, "c"), &["surface"]).await.unwrap();
    add(&client, "default", text(&first.id, "new")).await.unwrap();
    let etags = [&first, &second, &third, &fourth, &fifth].map(|prompt| prompt.etag.clone());
    assert_eq!(etags.iter().collect::<HashSet<_>>().len(), 5);

    let before = testing::rows(&platform, &["prompts"]).await;
    let mut answers = Vec::new();
    for etag in etags.iter().map(String::as_str).chain(["x", " ", "01934f6e-8a3b-7c21-9d55-0242ac120002"]) {
        let status = update(&client, with_etag(etag, "stale"), &[]).await.unwrap_err();
        answers.push(told(&status).replace(&id, "<id>"));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @r#"
    Aborted: prompts.v1.Prompt with prompt.id "<id>" has changed meanwhile; read it again
      ABORTED of quire {"field": "prompt.id"}
      prompts.v1.Prompt "<id>"
    "#);
    assert_eq!(testing::rows(&platform, &["prompts"]).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_changes_with_one_etag_one_wins() {
    let (_platform, client) = start().await;
    for round in 0..5 {
        let before = one(&client, &format!("x{round}")).await;
        let change = |place: usize| Prompt { etag: before.etag.clone(), ..surface(&before, &place.to_string()) };
        let answers = join_all((0..20).map(|place| update(&client, change(place), &[]))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        let won: Vec<_> = won.into_iter().map(Result::unwrap).collect();
        assert_eq!(won, [get(&client, &before.id).await.unwrap()]);
        assert!(lost.into_iter().all(|lost| lost.unwrap_err().code() == Code::Aborted));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_other_fields_at_once_are_all_kept() {
    let (_platform, client) = start().await;
    for round in 0..10 {
        let id = make_full(&client, &format!("before {round}")).await.id;
        let asked = Prompt { id: id.clone(), surface: "cli".into(), ..full(&format!("after {round}")) };
        let asked = Prompt { tags: vec!["new".into()], metadata: [("k".into(), "v".into())].into(), ..asked };
        let masks = [["name"], ["surface"], ["tags"], ["metadata"]];
        let answers = join_all(masks.iter().map(|mask| update(&client, asked.clone(), mask))).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let kept = get(&client, &id).await.unwrap();
        assert_eq!(
            (kept.name, kept.surface, kept.tags, kept.metadata),
            (asked.name, asked.surface, asked.tags, asked.metadata)
        );
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_not_given_again() {
    let (platform, client) = start().await;
    let made = make(&client, "default", &[named("a"), named("b")]).await;
    make(&client, "other", &[named("c")]).await;
    let before = testing::rows(&platform, &["prompts"]).await;
    let named = |name: &str| Prompt { name: name.into(), ..surface(&made[0], "chat") };
    let taken = told(&update(&client, named("b"), &["name", "surface"]).await.unwrap_err());
    insta::assert_snapshot!(taken, @r#"
    AlreadyExists: prompts.v1.Prompt with prompt.name "b" already exists
      ALREADY_EXISTS of quire {"field": "prompt.name"}
      prompts.v1.Prompt "b"
    "#);
    assert_eq!(testing::rows(&platform, &["prompts"]).await, before);
    // Its own name, and one of another workspace, are not in the way; what it gives up is free.
    for name in ["a", "c"] {
        assert_eq!(update(&client, named(name), &["name"]).await.unwrap().name, name);
    }
    one(&client, "a").await;
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (platform, client) = start().await;
    let id = one(&client, "x").await.id;
    let before = testing::rows(&platform, &["prompts"]).await;
    let prompt = || Prompt { id: id.clone(), ..Default::default() };
    let tags = |tags: &[&str]| Prompt { tags: tags.iter().map(|&tag| tag.into()).collect(), ..prompt() };
    let entry = |key: &str, value: &str| Prompt { metadata: [(key.into(), value.into())].into(), ..prompt() };
    let requests: [(&str, Prompt, &[&str]); 17] = [
        ("nothing to change", prompt(), &[]),
        ("nothing at all", Prompt::default(), &[]),
        ("no id", Prompt { id: String::new(), ..full("y") }, &["*"]),
        ("no UUID", Prompt { id: "x".into(), ..full("y") }, &["*"]),
        ("a field that is none", full_of(&id), &["nam"]),
        ("a field that is none among others", full_of(&id), &["name", "title"]),
        ("a part of a field", full_of(&id), &["metadata.team"]),
        ("a field that the service sets", full_of(&id), &["etag", "update_time", "latest_version"]),
        ("the id", full_of(&id), &["id"]),
        ("an empty path", full_of(&id), &[""]),
        ("a name cleared", prompt(), &["name"]),
        ("all cleared", prompt(), &["*"]),
        ("257 bytes of name", Prompt { name: "x".repeat(257), ..prompt() }, &[]),
        ("65 bytes of surface", Prompt { surface: "x".repeat(65), ..prompt() }, &[]),
        ("tags", tags(&["a", "", "a", "\0"]), &["tags"]),
        ("a key and a value", entry("\0", &"x".repeat(1_025)), &["metadata"]),
        ("all of it", Prompt { name: "\0".into(), surface: "\0".into(), ..tags(&["a", "a"]) }, &["*", "x"]),
    ];
    let mut answers = String::new();
    for (what, prompt, mask) in requests {
        let answer = told(&update(&client, prompt, mask).await.unwrap_err());
        answers += &format!("{what}\n{answer}\n");
    }
    insta::assert_snapshot!(answers, @"
    nothing to change
    InvalidArgument: update_mask: must name fields to change, out of name, surface, tags, metadata
      update_mask: must name fields to change, out of name, surface, tags, metadata
    nothing at all
    InvalidArgument: prompt.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002; update_mask: must name fields to change, out of name, surface, tags, metadata
      prompt.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      update_mask: must name fields to change, out of name, surface, tags, metadata
    no id
    InvalidArgument: prompt.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      prompt.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    no UUID
    InvalidArgument: prompt.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      prompt.id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    a field that is none
    InvalidArgument: update_mask: must name fields to change, out of name, surface, tags, metadata
      update_mask: must name fields to change, out of name, surface, tags, metadata
    a field that is none among others
    InvalidArgument: update_mask: must name fields to change, out of name, surface, tags, metadata
      update_mask: must name fields to change, out of name, surface, tags, metadata
    a part of a field
    InvalidArgument: update_mask: must name fields to change, out of name, surface, tags, metadata
      update_mask: must name fields to change, out of name, surface, tags, metadata
    a field that the service sets
    InvalidArgument: update_mask: must name fields to change, out of name, surface, tags, metadata
      update_mask: must name fields to change, out of name, surface, tags, metadata
    the id
    InvalidArgument: update_mask: must name fields to change, out of name, surface, tags, metadata
      update_mask: must name fields to change, out of name, surface, tags, metadata
    an empty path
    InvalidArgument: update_mask: must name fields to change, out of name, surface, tags, metadata
      update_mask: must name fields to change, out of name, surface, tags, metadata
    a name cleared
    InvalidArgument: prompt.name: must have 1 to 256 bytes; it has 0
      prompt.name: must have 1 to 256 bytes; it has 0
    all cleared
    InvalidArgument: prompt.name: must have 1 to 256 bytes; it has 0
      prompt.name: must have 1 to 256 bytes; it has 0
    257 bytes of name
    InvalidArgument: prompt.name: must have 1 to 256 bytes; it has 257
      prompt.name: must have 1 to 256 bytes; it has 257
    65 bytes of surface
    InvalidArgument: prompt.surface: must have 0 to 64 bytes; it has 65
      prompt.surface: must have 0 to 64 bytes; it has 65
    tags
    InvalidArgument: prompt.tags[1]: must have 1 to 64 bytes; it has 0; prompt.tags[2]: must not be given twice; prompt.tags[3]: must not contain NUL
      prompt.tags[1]: must have 1 to 64 bytes; it has 0
      prompt.tags[2]: must not be given twice
      prompt.tags[3]: must not contain NUL
    a key and a value
    InvalidArgument: prompt.metadata: a value must have at most 1024 bytes; one has 1025; prompt.metadata: must not contain NUL
      prompt.metadata: a value must have at most 1024 bytes; one has 1025
      prompt.metadata: must not contain NUL
    all of it
    InvalidArgument: update_mask: must name fields to change, out of name, surface, tags, metadata; prompt.name: must not contain NUL; prompt.surface: must not contain NUL; prompt.tags[1]: must not be given twice
      update_mask: must name fields to change, out of name, surface, tags, metadata
      prompt.name: must not contain NUL
      prompt.surface: must not contain NUL
      prompt.tags[1]: must not be given twice
    ");
    assert_eq!(testing::rows(&platform, &["prompts"]).await, before);
}

#[tokio::test]
async fn what_another_workspace_has_is_as_if_it_were_nowhere() {
    let (platform, client) = start().await;
    let id = Uuid::from_u128(1).to_string();
    let etag = Uuid::from_u128(2).to_string();
    let refusal = async |prompt: Prompt| told(&update_in(&client, "theirs", prompt, &[]).await.unwrap_err());
    let nowhere = refusal(full_of(&id)).await;
    insta::assert_snapshot!(nowhere, @r#"
    NotFound: prompts.v1.Prompt with prompt.id "00000000-0000-0000-0000-000000000001" does not exist
      NOT_FOUND of quire {"field": "prompt.id"}
      prompts.v1.Prompt "00000000-0000-0000-0000-000000000001"
    "#);
    // An etag does not make it a conflict.
    assert_eq!(refusal(Prompt { etag, ..full_of(&id) }).await, nowhere);
    let ours = make(&client, "ours", &[with(full_of(&id))]).await.remove(0);
    let before = testing::rows(&platform, &["prompts"]).await;
    assert_eq!(refusal(Prompt { etag: ours.etag, ..full_of(&id) }).await, nowhere);
    assert_eq!(testing::rows(&platform, &["prompts"]).await, before);
}

#[tokio::test]
async fn a_changed_prompt_is_where_its_new_values_belong() {
    let (_platform, client) = start_ticking().await;
    let mut made = Vec::new();
    for name in ["a", "b", "c"] {
        made.push(one(&client, name).await);
    }
    let changed = update(&client, Prompt { name: "d".into(), ..surface(&made[0], "new") }, &[]).await.unwrap();
    let [_, b, c] = [&made[0].id, &made[1].id, &made[2].id];
    assert_eq!(list(&client, &by("update_time desc")).await.unwrap().ids(), [&changed.id, c, b]);
    assert_eq!(list(&client, &by("create_time desc")).await.unwrap().ids(), [c, b, &changed.id]);
    assert_eq!(list(&client, &by("name")).await.unwrap().ids(), [b, c, &changed.id]);
    let filtered = ListPromptsRequest { surface: Some("new".into()), ..by("") };
    assert_eq!(list(&client, &filtered).await.unwrap().prompts, [changed]);
}
