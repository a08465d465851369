//! GetAgent and DeregisterAgent, and whose rows a caller sees.
use crate::support::{Client, able, by, discover_in, from, get_in, list_in, make, named, start, told, walk, with};
use quire_proto::{
    pagination::v1::{PageRequest, TotalCount},
    registry::v1::{Agent, DeregisterAgentRequest, HeartbeatRequest, ListAgentsRequest},
};
use tonic::Status;

async fn deregister(client: &Client, workspace: &str, id: &str) -> Result<(), Status> {
    client.clone().deregister_agent(from(workspace, DeregisterAgentRequest { id: id.into() })).await?;
    Ok(())
}

async fn beat(client: &Client, workspace: &str, id: &str) -> Result<(), Status> {
    client.clone().heartbeat(from(workspace, HeartbeatRequest { id: id.into(), ..Default::default() })).await?;
    Ok(())
}

#[tokio::test]
async fn what_another_workspace_has_is_as_if_it_were_nowhere() {
    let (_platform, client) = start().await;
    let id = "01934f6e-8a3b-7c21-9d55-0242ac120002";
    let nowhere = told(&get_in(&client, "theirs", id).await.unwrap_err());
    insta::assert_snapshot!(nowhere, @r#"
    NotFound: registry.v1.Agent with id "01934f6e-8a3b-7c21-9d55-0242ac120002" does not exist
      NOT_FOUND of quire {"field": "id"}
      registry.v1.Agent "01934f6e-8a3b-7c21-9d55-0242ac120002"
    "#);
    let made = with(Agent { id: id.into(), name: "x".into(), ..Default::default() });
    let made = make(&client, "ours", &[made]).await;
    assert_eq!(told(&get_in(&client, "theirs", id).await.unwrap_err()), nowhere);
    assert_eq!(told(&beat(&client, "theirs", id).await.unwrap_err()), nowhere);
    assert_eq!(told(&deregister(&client, "theirs", id).await.unwrap_err()), nowhere);
    assert_eq!(get_in(&client, "ours", id).await.unwrap(), made[0]);
}

#[tokio::test]
async fn what_is_deregistered_is_gone() {
    let (_platform, client) = start().await;
    let made = make(&client, "default", &[named("a"), named("b")]).await;
    let id = &made[0].id;
    deregister(&client, "default", id).await.unwrap();
    let gone = told(&get_in(&client, "default", id).await.unwrap_err());
    assert!(gone.starts_with("NotFound"), "{gone}");
    assert_eq!(told(&beat(&client, "default", id).await.unwrap_err()), gone);
    assert_eq!(told(&deregister(&client, "default", id).await.unwrap_err()), gone);
    assert_eq!(walk(&client, &by("")).await, made[1..]);
    // Its id and its name are free again.
    let again = with(Agent { id: id.clone(), name: "a".into(), ..Default::default() });
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
        answers.push(told(&deregister(&client, "default", id).await.unwrap_err()));
        answers.push(told(&beat(&client, "default", id).await.unwrap_err()));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @"
    InvalidArgument: id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
      id: must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    ");
}

#[tokio::test]
async fn workspaces_do_not_see_each_other() {
    let (_platform, client) = start().await;
    let agent = |name: &str| with(Agent { name: name.into(), capabilities: vec!["code".into()], ..Default::default() });
    let ours = make(&client, "ours", &[agent("a"), agent("b"), agent("c")]).await;
    let theirs = make(&client, "theirs", &[agent("b"), agent("d")]).await;
    for total_count in [TotalCount::Exact, TotalCount::Capped] {
        let page = || Some(PageRequest { total_count: total_count.into(), ..Default::default() });
        for (workspace, agents) in [("ours", &ours[..]), ("theirs", &theirs), ("default", &[])] {
            let count = Some(agents.len() as i64);
            let request = ListAgentsRequest { page: page(), order_by: "name".into(), ..Default::default() };
            let (listed, stands) = list_in(&client, workspace, &request).await.unwrap();
            assert_eq!((&listed[..], stands.total_count), (agents, count), "{workspace}");
            let mut request = able("code");
            request.page = page();
            let (mut found, stands) = discover_in(&client, workspace, &request).await.unwrap();
            found.reverse();
            assert_eq!((&found[..], stands.total_count), (agents, count), "{workspace}");
        }
    }
}
