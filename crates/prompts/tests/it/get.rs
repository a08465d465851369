//! GetPrompt and DeletePrompt, whose rows a caller sees, and what a workspace may be called.
use crate::support::{Client, by, from, get_in, list, list_in, make, named, paged, start, start_on, told, with};
use database::connect;
use platform::testing;
use quire_proto::{
    pagination::v1::{PageRequest, TotalCount},
    prompts::v1::{BatchCreatePromptsRequest, DeletePromptRequest, GetPromptRequest, Prompt},
};
use sqlx::PgPool;
use tonic::{Request, Status, metadata::MetadataValue};
use uuid::Uuid;

async fn delete(client: &Client, workspace: &str, id: &str) -> Result<(), Status> {
    client.clone().delete_prompt(from(workspace, DeletePromptRequest { id: id.into() })).await?;
    Ok(())
}

#[tokio::test]
async fn what_another_workspace_has_is_as_if_it_were_nowhere() {
    let (_platform, client) = start().await;
    let id = "01934f6e-8a3b-7c21-9d55-0242ac120002";
    let nowhere = told(&get_in(&client, "theirs", id).await.unwrap_err());
    insta::assert_snapshot!(nowhere, @r#"
    NotFound: prompts.v1.Prompt with id "01934f6e-8a3b-7c21-9d55-0242ac120002" does not exist
      NOT_FOUND of quire {"field": "id"}
      prompts.v1.Prompt "01934f6e-8a3b-7c21-9d55-0242ac120002"
    "#);
    assert_eq!(told(&delete(&client, "theirs", id).await.unwrap_err()), nowhere);

    let request = with(Prompt { id: id.into(), name: "x".into(), ..Default::default() });
    let made = make(&client, "ours", &[request]).await;
    assert_eq!(told(&get_in(&client, "theirs", id).await.unwrap_err()), nowhere);
    assert_eq!(told(&delete(&client, "theirs", id).await.unwrap_err()), nowhere);
    assert_eq!(get_in(&client, "ours", id).await.unwrap(), made[0]);
}

#[tokio::test]
async fn what_is_deleted_is_gone() {
    let (_platform, client) = start().await;
    let made = make(&client, "default", &[named("a"), named("b")]).await;
    let id = &made[0].id;
    delete(&client, "default", id).await.unwrap();
    let gone = told(&get_in(&client, "default", id).await.unwrap_err());
    assert!(gone.starts_with("NotFound"), "{gone}");
    assert_eq!(told(&delete(&client, "default", id).await.unwrap_err()), gone);
    assert_eq!(list(&client, &by("")).await.unwrap().prompts, made[1..]);
    // Its id and its name are free again.
    let again = with(Prompt { id: id.clone(), name: "a".into(), ..Default::default() });
    let again = make(&client, "default", &[again]).await;
    assert_ne!(again[0].etag, made[0].etag);
    assert_eq!(get_in(&client, "default", id).await.unwrap(), again[0]);
}

#[tokio::test]
async fn an_id_that_is_none_is_an_invalid_argument() {
    let (_platform, client) = start().await;
    let mut answers = Vec::new();
    for id in ["", "x", "{01934f6e-8a3b-7c21-9d55-0242ac120002}", "01934f6e8a3b7c219d550242ac120002", "\0"] {
        answers.push(told(&get_in(&client, "default", id).await.unwrap_err()));
        answers.push(told(&delete(&client, "default", id).await.unwrap_err()));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @"
    InvalidArgument: id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    ");
}

/// How many versions, labels and deployments a prompt of a workspace has.
async fn parts(pool: &PgPool, workspace: &str, id: Uuid) -> [i64; 3] {
    let sql = "
        select (select count(*) from prompt_versions where workspace_id = $1 and prompt_id = $2),
            (select count(*) from labels where workspace_id = $1 and prompt_id = $2),
            (select count(*) from deployments where workspace_id = $1 and prompt_id = $2)";
    let (versions, labels, deployments) = sqlx::query_as(sql).bind(workspace).bind(id).fetch_one(pool).await.unwrap();
    [versions, labels, deployments]
}

#[tokio::test]
async fn versions_and_labels_go_with_the_prompt_and_deployments_stay() {
    let options = testing::new_database().await;
    let client = start_on(&testing::platform_on(connect(options.clone(), testing::MAX_CONNECTIONS))).await;
    let pool = PgPool::connect_lazy_with(options);
    let id = Uuid::from_u128(1);
    let request = |id: Uuid, name: &str| with(Prompt { id: id.into(), name: name.into(), ..Default::default() });
    make(&client, "ours", &[request(id, "a"), request(Uuid::from_u128(2), "b")]).await;
    // The same id elsewhere is another prompt.
    make(&client, "theirs", &[request(id, "a")]).await;
    for sql in [
        "insert into prompt_versions (workspace_id, prompt_id, version, content, model, author, variables, content_hash,
            create_time)
        select workspace_id, prompt_id, 2, content, model, author, variables, content_hash, create_time
        from prompt_versions",
        "insert into labels (workspace_id, prompt_id, label, version, assigned_by, assign_time)
        select workspace_id, prompt_id, 'label ' || version, version, 'ada', create_time from prompt_versions",
        "insert into deployments (workspace_id, id, prompt_id, label, version, previous_version, actor, create_time)
        select workspace_id, gen_random_uuid(), prompt_id, label, version, 0, 'ada', assign_time from labels",
    ] {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }

    delete(&client, "ours", &id.to_string()).await.unwrap();
    assert_eq!(parts(&pool, "ours", id).await, [0, 0, 2]);
    assert_eq!(parts(&pool, "ours", Uuid::from_u128(2)).await, [2, 2, 2]);
    assert_eq!(parts(&pool, "theirs", id).await, [2, 2, 2]);
}

#[tokio::test]
async fn workspaces_do_not_see_each_other() {
    let (_platform, client) = start().await;
    let ours = make(&client, "ours", &[named("a"), named("b"), named("c")]).await;
    let theirs = make(&client, "theirs", &[named("b"), named("d")]).await;
    let bare = client.clone().create_prompt(named("e")).await.unwrap().into_inner().prompt.unwrap();
    for total_count in [TotalCount::Exact, TotalCount::Capped] {
        let request = paged(&by("name"), PageRequest { total_count: total_count.into(), ..Default::default() });
        // A call without metadata is one from `default`.
        let workspaces =
            [("ours", &ours[..]), ("theirs", &theirs), ("default", std::slice::from_ref(&bare)), ("nobody", &[])];
        for (workspace, prompts) in workspaces {
            let page = list_in(&client, workspace, &request).await.unwrap();
            assert_eq!(page.prompts, prompts, "{workspace}");
            assert_eq!(page.page.total_count, Some(prompts.len() as i64), "{workspace}");
        }
    }
    assert_eq!(client.clone().list_prompts(by("")).await.unwrap().into_inner().prompts, [bare]);
}

#[tokio::test]
async fn a_workspace_has_a_name_of_few_characters() {
    let (_platform, client) = start().await;
    for name in ["0", "-", "a-b-c", &"x".repeat(63)] {
        make(&client, name, &[named(name)]).await;
    }

    let bad = ["", "A", "a_b", "a.b", " ", "a b", "ours,theirs", "*", &"x".repeat(64)];
    let bad = bad.iter().map(|name| MetadataValue::try_from(*name).unwrap());
    // Bytes that are no ASCII come as they are.
    let bad = bad.chain(["é".as_bytes(), b"a\xff"].map(|name| MetadataValue::try_from(name).unwrap()));
    let mut answers = Vec::new();
    for name in bad {
        fn from<T>(name: &MetadataValue<tonic::metadata::Ascii>, message: T) -> Request<T> {
            let mut request = Request::new(message);
            request.metadata_mut().insert(platform::WORKSPACE_METADATA, name.clone());
            request
        }
        let id = || Uuid::from_u128(1).to_string();
        let batch = BatchCreatePromptsRequest { requests: vec![named("x")], ..Default::default() };
        let mut client = client.clone();
        answers.extend(client.create_prompt(from(&name, named("x"))).await.err().as_ref().map(told));
        answers.extend(client.batch_create_prompts(from(&name, batch)).await.err().as_ref().map(told));
        answers.extend(client.get_prompt(from(&name, GetPromptRequest { id: id() })).await.err().as_ref().map(told));
        answers.extend(client.list_prompts(from(&name, by(""))).await.err().as_ref().map(told));
        let delete = client.delete_prompt(from(&name, DeletePromptRequest { id: id() })).await;
        answers.extend(delete.err().as_ref().map(told));
        fn nothing<T: Default>(name: &MetadataValue<tonic::metadata::Ascii>) -> Request<T> {
            from(name, T::default())
        }
        answers.extend(client.update_prompt(nothing(&name)).await.err().as_ref().map(told));
        answers.extend(client.create_prompt_version(nothing(&name)).await.err().as_ref().map(told));
        answers.extend(client.get_prompt_version(nothing(&name)).await.err().as_ref().map(told));
        answers.extend(client.list_prompt_versions(nothing(&name)).await.err().as_ref().map(told));
        answers.extend(client.assign_label(nothing(&name)).await.err().as_ref().map(told));
        answers.extend(client.list_labels(nothing(&name)).await.err().as_ref().map(told));
        answers.extend(client.list_deployments(nothing(&name)).await.err().as_ref().map(told));
        answers.extend(client.resolve_prompt(nothing(&name)).await.err().as_ref().map(told));
    }
    assert_eq!(answers.len(), 13 * 11);
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @"
    InvalidArgument: quire-workspace: must be 1 to 63 of a-z, 0-9 and -
      quire-workspace: must be 1 to 63 of a-z, 0-9 and -
    ");
}
