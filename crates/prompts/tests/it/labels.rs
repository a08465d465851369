//! AssignLabel and ListLabels: a label's move and its deployment are atomic.
use std::collections::{BTreeSet, HashMap};

use crate::support::{
    Client, add, assert_lead_to, assign, deployments, from, label, make, one, remove, start, start_ticking, text, told,
    with,
};
use futures_util::future::join_all;
use platform::testing;
use quire_proto::prompts::v1::{
    AssignLabelRequest, DeletePromptRequest, Deployment, Label, ListDeploymentsRequest, ListLabelsRequest,
    ListLabelsResponse, Prompt,
};
use tonic::{Code, Status};
use uuid::Uuid;

/// Creates a prompt with this many versions in the workspace `default`, and returns its id.
async fn make_versions(client: &Client, name: &str, count: i32) -> String {
    let id = one(client, name).await.id;
    for version in 2..=count {
        add(client, "default", text(&id, version.to_string())).await.unwrap();
    }
    id
}

fn by(actor: &str, request: AssignLabelRequest) -> AssignLabelRequest {
    AssignLabelRequest { assigned_by: actor.into(), ..request }
}

fn of(prompt_id: &str) -> ListLabelsRequest {
    ListLabelsRequest { prompt_id: prompt_id.into(), ..Default::default() }
}

async fn list(client: &Client, workspace: &str, request: ListLabelsRequest) -> Result<ListLabelsResponse, Status> {
    Ok(client.clone().list_labels(from(workspace, request)).await?.into_inner())
}

/// The labels of a prompt of the workspace `default`.
async fn labels(client: &Client, id: &str) -> Vec<Label> {
    list(client, "default", of(id)).await.unwrap().labels
}

/// The deployments of the workspace `default`, newest first.
async fn history(client: &Client) -> Vec<Deployment> {
    deployments(client, "default", Default::default()).await
}

#[tokio::test]
async fn each_move_of_a_label_is_recorded() {
    let (_platform, client) = start_ticking().await;
    let id = &make_versions(&client, "x", 3).await;
    let steps =
        [("production", 2, 0, "ada"), ("production", 1, 2, "bob"), ("canary", 3, 0, ""), ("production", 3, 1, "")];
    let (mut kept, mut recorded) = (HashMap::new(), Vec::new());
    for (name, version, previous_version, actor) in steps {
        let assigned = assign(&client, "default", by(actor, label(id, name, version))).await.unwrap();
        let expected =
            Label { prompt_id: id.clone(), label: name.into(), version, assigned_by: actor.into(), ..assigned.clone() };
        assert_eq!(assigned, expected);
        let newest = history(&client).await.remove(0);
        assert_eq!(newest.id.parse::<Uuid>().unwrap().get_version_num(), 7);
        let expected = Deployment {
            id: newest.id.clone(),
            prompt_id: id.clone(),
            label: name.into(),
            version,
            previous_version,
            actor: actor.into(),
            create_time: assigned.assign_time,
        };
        assert_eq!(newest, expected);
        recorded.insert(0, newest);
        assert_eq!(history(&client).await, recorded);
        kept.insert(name, assigned);
        let mut expected: Vec<_> = kept.values().cloned().collect();
        expected.sort_by_key(|label| label.label.clone());
        assert_eq!(labels(&client, id).await, expected);
    }
    let times: Vec<_> = recorded.iter().map(|deployment| deployment.create_time.unwrap().seconds).collect();
    assert!(times.is_sorted_by(|newer, older| newer > older), "{times:?}");
}

#[tokio::test]
async fn assigning_the_current_version_writes_nothing() {
    let (platform, client) = start().await;
    let id = &make_versions(&client, "x", 2).await;
    for version in [1, 2, 1] {
        let assigned = assign(&client, "default", by("ada", label(id, "production", version))).await.unwrap();
        let before = testing::rows(&platform, &["labels", "deployments"]).await;
        for actor in ["ada", "bob", ""] {
            let again = assign(&client, "default", by(actor, label(id, "production", version))).await.unwrap();
            assert_eq!(again, assigned, "assigned_by is unchanged");
        }
        assert_eq!(testing::rows(&platform, &["labels", "deployments"]).await, before);
    }
}

#[tokio::test]
async fn a_label_cannot_point_at_a_missing_version() {
    let (platform, client) = start().await;
    let [id, other] = [Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string()];
    let request = |id: &str, name: &str| with(Prompt { id: id.into(), name: name.into(), ..Default::default() });
    make(&client, "default", &[request(&id, "x"), request(&other, "other")]).await;
    add(&client, "default", text(&other, "2")).await.unwrap();
    make(&client, "theirs", &[request(&id, "x")]).await;
    add(&client, "theirs", text(&id, "2")).await.unwrap();
    assign(&client, "default", label(&id, "production", 1)).await.unwrap();
    let before = testing::rows(&platform, &["labels", "deployments"]).await;

    // Version 2 exists for another prompt, and for the prompt with this id in another workspace.
    let nowhere = Uuid::from_u128(3).to_string();
    let refused = [("production", 2, &id), ("canary", 2, &id), ("canary", i32::MAX, &id), ("canary", 1, &nowhere)];
    let mut answers = Vec::new();
    for (name, version, id) in refused {
        answers.push(told(&assign(&client, "default", label(id, name, version)).await.unwrap_err()));
    }
    insta::assert_snapshot!(answers.join("\n"), @r#"
    NotFound: prompts.v1.PromptVersion with version "00000000-0000-0000-0000-000000000001/2" does not exist
      NOT_FOUND of quire {"field": "version"}
      prompts.v1.PromptVersion "00000000-0000-0000-0000-000000000001/2"
    NotFound: prompts.v1.PromptVersion with version "00000000-0000-0000-0000-000000000001/2" does not exist
      NOT_FOUND of quire {"field": "version"}
      prompts.v1.PromptVersion "00000000-0000-0000-0000-000000000001/2"
    NotFound: prompts.v1.PromptVersion with version "00000000-0000-0000-0000-000000000001/2147483647" does not exist
      NOT_FOUND of quire {"field": "version"}
      prompts.v1.PromptVersion "00000000-0000-0000-0000-000000000001/2147483647"
    NotFound: prompts.v1.PromptVersion with version "00000000-0000-0000-0000-000000000003/1" does not exist
      NOT_FOUND of quire {"field": "version"}
      prompts.v1.PromptVersion "00000000-0000-0000-0000-000000000003/1"
    "#);
    let status = assign(&client, "theirs", label(&other, "canary", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(testing::rows(&platform, &["labels", "deployments"]).await, before);
}

/// The moves of a label in order: the first starts at 0, and each other starts where the previous one ended.
fn chain(deployments: &[Deployment]) -> Vec<i32> {
    let moves: HashMap<_, _> = deployments.iter().map(|moved| (moved.previous_version, moved.version)).collect();
    assert_eq!(moves.len(), deployments.len(), "no two moves are from the same version");
    std::iter::successors(moves.get(&0).copied(), |version| moves.get(version).copied()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_concurrent_moves_starts_where_another_ended() {
    let (_platform, client) = start().await;
    let id = &make_versions(&client, "x", 50).await;
    for name in ["a", "b", "c"] {
        let assigns = (1..=50).map(|version| assign(&client, "default", label(id, name, version)));
        let answers = join_all(assigns).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let of_label = ListDeploymentsRequest { label: Some(name.into()), ..Default::default() };
        let deployments = deployments(&client, "default", of_label).await;
        let chain = chain(&deployments);
        assert!(chain.iter().eq(deployments.iter().rev().map(|moved| &moved.version)), "they are listed newest first");
        assert_eq!(chain.iter().copied().collect::<BTreeSet<_>>(), (1..=50).collect());
        let label = labels(&client, id).await.pop().unwrap();
        assert_eq!((label.label.as_str(), Some(&label.version)), (name, chain.last()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_assignments_that_move_the_label_are_recorded() {
    let (_platform, client) = start().await;
    let id = &make_versions(&client, "x", 3).await;
    for round in 0..5 {
        let name = &format!("label {round}");
        let writer = async |place: i32| {
            let actor = format!("writer {place}");
            let answer = assign(&client, "default", by(&actor, label(id, name, place % 3 + 1))).await;
            match answer {
                Ok(label) => (label.version == place % 3 + 1, label.assigned_by == actor),
                // The label pointed at the version, and was moved away before the answer was read.
                Err(status) => (status.code() == Code::Aborted, false),
            }
        };
        let answers = join_all((0..50).map(writer)).await;
        assert!(answers.iter().all(|(is_right, _)| *is_right));
        let moved: BTreeSet<_> = (0..).zip(&answers).filter(|(_, answer)| answer.1).map(|(place, _)| place).collect();

        let of_label = ListDeploymentsRequest { label: Some(name.clone()), ..Default::default() };
        let moves = deployments(&client, "default", of_label).await;
        let actors: BTreeSet<_> = moves.iter().map(|moved| moved.actor.clone()).collect();
        assert_eq!(actors, moved.iter().map(|place: &i32| format!("writer {place}")).collect());
        assert_eq!(moves.len(), actors.len());
        let label = labels(&client, id).await.into_iter().find(|label| label.label == *name).unwrap();
        assert_lead_to(label.version, &moves);
    }
}

#[tokio::test]
async fn a_removed_label_is_recorded_and_can_be_assigned_again() {
    let (platform, client) = start().await;
    let id = &make_versions(&client, "x", 2).await;
    for name in ["production", "canary"] {
        assign(&client, "default", label(id, name, 2)).await.unwrap();
    }
    remove(&client, id, "production", "ada").await.unwrap();
    assert_eq!(labels(&client, id).await.into_iter().map(|label| label.label).collect::<Vec<_>>(), ["canary"]);
    let newest = history(&client).await.remove(0);
    let recorded = (newest.label.as_str(), newest.previous_version, newest.version, newest.actor.as_str());
    assert_eq!(recorded, ("production", 2, 0, "ada"));

    let before = testing::rows(&platform, &["labels", "deployments"]).await;
    let nowhere = Uuid::from_u128(3).to_string();
    let mut answers = Vec::new();
    for (id, name) in [(id.as_str(), "production"), (id, "Canary"), (nowhere.as_str(), "canary")] {
        answers.push(told(&remove(&client, id, name, "").await.unwrap_err()).replace(id, "ID"));
    }
    insta::assert_snapshot!(answers.join("\n"), @r#"
    NotFound: prompts.v1.Label with label "ID/production" does not exist
      NOT_FOUND of quire {"field": "label"}
      prompts.v1.Label "ID/production"
    NotFound: prompts.v1.Label with label "ID/Canary" does not exist
      NOT_FOUND of quire {"field": "label"}
      prompts.v1.Label "ID/Canary"
    NotFound: prompts.v1.Label with label "ID/canary" does not exist
      NOT_FOUND of quire {"field": "label"}
      prompts.v1.Label "ID/canary"
    "#);
    assert_eq!(testing::rows(&platform, &["labels", "deployments"]).await, before);

    assign(&client, "default", label(id, "production", 1)).await.unwrap();
    let newest = history(&client).await.remove(0);
    assert_eq!((newest.label.as_str(), newest.previous_version, newest.version), ("production", 0, 1));
}

/// Even if the clocks of the servers differ.
#[tokio::test]
async fn each_move_is_later_than_the_one_before() {
    let (platform, client) = start().await;
    let id = &make_versions(&client, "x", 2).await;
    assign(&client, "default", label(id, "production", 1)).await.unwrap();
    // The other server's clock is an hour ahead.
    let sql = "update deployments set create_time = create_time + interval '1 hour'";
    sqlx::raw_sql(sql).execute(&testing::pool(&platform)).await.unwrap();
    remove(&client, id, "production", "").await.unwrap();
    assign(&client, "default", label(id, "production", 2)).await.unwrap();
    assign(&client, "default", label(id, "canary", 1)).await.unwrap();
    let moves: Vec<_> = history(&client).await.into_iter().map(|moved| (moved.label, moved.version)).collect();
    let expected = [("canary", 1), ("production", 2), ("production", 0), ("production", 1)];
    assert_eq!(moves, expected.map(|(label, version)| (label.to_owned(), version)));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_moves_and_removals_follow_each_other() {
    let (_platform, client) = start().await;
    let id = &make_versions(&client, "x", 3).await;
    let writer = async |place: i32| match place % 4 {
        0 => remove(&client, id, "a", "").await.err(),
        version => assign(&client, "default", label(id, "a", version)).await.err(),
    };
    let refused = join_all((0..100).map(writer)).await.into_iter().flatten();
    let refused: Vec<_> = refused.filter(|status| !matches!(status.code(), Code::NotFound | Code::Aborted)).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let moves = history(&client).await;
    assert!(moves.iter().any(|moved| moved.version == 0), "{moves:?}");
    let mut version = 0;
    for moved in moves.iter().rev() {
        assert_eq!(moved.previous_version, version, "{moves:?}");
        assert_ne!(moved.version, version, "{moves:?}");
        version = moved.version;
    }
    assert_eq!(labels(&client, id).await.first().map_or(0, |label| label.version), version);
}

/// The second call waits for the first, without a deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_deleted_while_its_label_is_moved() {
    let (_platform, client) = start().await;
    for round in 0..30 {
        let id = &make_versions(&client, &format!("x{round}"), 4).await;
        assign(&client, "default", label(id, "a", 1)).await.unwrap();
        let move_or_remove = async |place: i32| match place % 5 {
            0 => remove(&client, id, "a", "").await,
            version => assign(&client, "default", label(id, "a", version)).await.map(drop),
        };
        let assigns = join_all((0..10).map(move_or_remove));
        let mut deleting = client.clone();
        let delete = deleting.delete_prompt(DeletePromptRequest { id: id.clone() });
        let (answers, deleted) = futures_util::future::join(assigns, delete).await;
        deleted.unwrap();
        let codes: BTreeSet<_> =
            answers.into_iter().filter_map(Result::err).map(|status| status.code() as i32).collect();
        let expected = [Code::NotFound, Code::Aborted].map(|code| code as i32);
        assert!(codes.iter().all(|code| expected.contains(code)), "{codes:?}");
    }
}
