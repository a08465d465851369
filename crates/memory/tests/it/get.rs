//! GetMemory and DeleteMemory, and whose rows a caller sees.
use crate::support::{
    Client, by, from, full, get, get_in, make, recalled, start, store, store_in, text, told, walk, words,
};
use quire_proto::memory::v1::DeleteMemoryRequest;
use tonic::Status;

const ID: &str = "01934f6e-8a3b-7c21-9d55-0242ac120002";

async fn delete(client: &Client, workspace: &str, id: &str) -> Result<(), Status> {
    client.clone().delete_memory(from(workspace, DeleteMemoryRequest { id: id.into() })).await?;
    Ok(())
}

#[tokio::test]
async fn what_another_workspace_has_is_as_if_it_were_nowhere() {
    let (_platform, client) = start().await;
    let nowhere = told(&get_in(&client, "theirs", ID).await.unwrap_err());
    insta::assert_snapshot!(nowhere, @r#"
    NotFound: memory.v1.Memory with id "01934f6e-8a3b-7c21-9d55-0242ac120002" does not exist
      NOT_FOUND of quire {"field": "id"}
      memory.v1.Memory "01934f6e-8a3b-7c21-9d55-0242ac120002"
    "#);
    assert_eq!(told(&delete(&client, "theirs", ID).await.unwrap_err()), nowhere);

    let made = store_in(&client, "ours", full(ID, "x")).await.unwrap();
    assert_eq!(told(&get_in(&client, "theirs", ID).await.unwrap_err()), nowhere);
    assert_eq!(told(&delete(&client, "theirs", ID).await.unwrap_err()), nowhere);
    assert_eq!(get_in(&client, "ours", ID).await.unwrap(), made);
}

#[tokio::test]
async fn what_is_deleted_is_gone() {
    let (_platform, client) = start().await;
    make(&client, "default", &[full(ID, "green tea"), text("black tea")]).await;
    delete(&client, "default", ID).await.unwrap();
    let gone = told(&get(&client, ID).await.unwrap_err());
    assert!(gone.starts_with("NotFound"), "{gone}");
    assert_eq!(told(&delete(&client, "default", ID).await.unwrap_err()), gone);
    assert_eq!(walk(&client, &by("")).await.len(), 1);
    assert_eq!(recalled(&client, &words("tea")).await, ["black tea"]);
    // Its id is free again.
    let again = store(&client, full(ID, "white tea")).await.unwrap();
    assert_eq!(get(&client, ID).await.unwrap(), again);
}

#[tokio::test]
async fn an_id_that_is_none_is_an_invalid_argument() {
    let (_platform, client) = start().await;
    let mut answers = Vec::new();
    for id in ["", "x", "{01934f6e-8a3b-7c21-9d55-0242ac120002}", "01934f6e8a3b7c219d550242ac120002", "\0"] {
        answers.push(told(&get(&client, id).await.unwrap_err()));
        answers.push(told(&delete(&client, "default", id).await.unwrap_err()));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @"
    InvalidArgument: id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    ");
}
