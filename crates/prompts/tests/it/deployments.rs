//! ListDeployments. A label's move and its deployment are both written or neither, even if the caller hangs up.
use std::time::Duration;

use crate::support::{
    Client, add, assert_lead_to, assign, deployments, label, make, one, start, start_on, text, there_and_back, with,
};
use database::connect;
use platform::testing;
use quire_proto::prompts::v1::{
    DeletePromptRequest, Deployment, ListDeploymentsRequest, ListDeploymentsResponse, Prompt,
};
use sqlx::PgPool;
use tonic::{Code, Status};

async fn list(client: &Client, request: ListDeploymentsRequest) -> Result<ListDeploymentsResponse, Status> {
    Ok(client.clone().list_deployments(request).await?.into_inner())
}

/// Lists all deployments, in pages of this size.
async fn pages(client: &Client, request: &ListDeploymentsRequest, page_size: i32) -> Vec<Vec<Deployment>> {
    let fetch = async |page| {
        let response = list(client, ListDeploymentsRequest { page: Some(page), ..request.clone() }).await.unwrap();
        (response.deployments, response.page.unwrap())
    };
    there_and_back(page_size, fetch).await
}

fn filter(prompt_id: Option<&str>, label: Option<&str>) -> ListDeploymentsRequest {
    let [prompt_id, label] = [prompt_id, label].map(|text| text.map(str::to_owned));
    ListDeploymentsRequest { prompt_id, label, ..Default::default() }
}

/// Creates a prompt with two versions, and returns its id.
async fn make_two(client: &Client, name: &str) -> String {
    let id = one(client, name).await.id;
    add(client, "default", text(&id, "2")).await.unwrap();
    id
}

#[tokio::test]
async fn deployments_outlive_the_prompt() {
    let (_platform, client) = start().await;
    let id = make_two(&client, "x").await;
    for version in [1, 2] {
        assign(&client, "default", label(&id, "production", version)).await.unwrap();
    }
    let before = pages(&client, &filter(None, None), 1).await;
    assert_eq!(before.len(), 2);
    client.clone().delete_prompt(DeletePromptRequest { id: id.clone() }).await.unwrap();
    for request in [filter(None, None), filter(Some(&id), None), filter(Some(&id), Some("production"))] {
        assert_eq!(pages(&client, &request, 1).await.concat(), before.concat());
    }
    // A new prompt with the same id has the old history, but its label is new.
    make(&client, "default", &[with(Prompt { id: id.clone(), name: "x".into(), ..Default::default() })]).await;
    assign(&client, "default", label(&id, "production", 1)).await.unwrap();
    let after = deployments(&client, "default", filter(Some(&id), None)).await;
    assert_eq!(after.iter().map(|moved| moved.previous_version).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(after[1..], before.concat());
}

/// Waits until no call is running.
async fn wait_until_idle(pool: &PgPool) {
    let sql = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'quire' and pid <> pg_backend_pid() and state <> 'idle'";
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(pool).await.unwrap() != 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn no_label_moves_if_the_caller_hangs_up_before_the_deployment_is_written() {
    let options = testing::new_database().await;
    let client = start_on(&testing::platform_on(connect(options.clone(), database::Limits::default()))).await;
    let pool = PgPool::connect_lazy_with(options);
    let id = make_two(&client, "x").await;
    assign(&client, "default", label(&id, "production", 1)).await.unwrap();
    for name in ["production", "new"] {
        let labels = async || -> Vec<(String, i32)> {
            sqlx::query_as("select label, version from labels").fetch_all(&pool).await.unwrap()
        };
        // Writers of deployments wait, whether the label is already written or not.
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query("lock table deployments in share mode").execute(&mut *transaction).await.unwrap();
        let call = tokio::spawn({
            let (client, request) = (client.clone(), label(&id, name, 2));
            async move { assign(&client, "default", request).await }
        });
        testing::wait_for_waiting(&pool, 1).await;
        call.abort();
        wait_until_idle(&pool).await;
        transaction.rollback().await.unwrap();
        assert_eq!(labels().await, [("production".to_owned(), 1)]);
        assert_eq!(deployments(&client, "default", Default::default()).await.len(), 1);
    }
    assert_eq!(assign(&client, "default", label(&id, "production", 2)).await.unwrap().version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_move_is_recorded_even_if_callers_hang_up() {
    let (platform, client) = start().await;
    let id = &make_two(&client, "x").await;
    for place in 0..300_u64 {
        let assign = assign(&client, "default", label(id, "production", place as i32 % 2 + 1));
        if place % 7 == 0 {
            // The call of a caller who has hung up can still move the label. Then this call is aborted.
            assert!(assign.await.map_or_else(|status| status.code() == Code::Aborted, |_| true));
        } else {
            // The assertions hold no matter when the call ends.
            let _ = tokio::time::timeout(Duration::from_micros(place % 30 * 100), assign).await;
        }
    }
    // Both are read in one snapshot, because calls may still be running.
    let sql = "select labels.version, deployments.previous_version, deployments.version from labels, deployments";
    let rows: Vec<(i32, i32, i32)> = sqlx::query_as(sql).fetch_all(&testing::pool(&platform)).await.unwrap();
    assert!(rows.len() > 1, "the callers who did not hang up moved the label");
    let moved = |(_, previous_version, version)| Deployment { previous_version, version, ..Default::default() };
    assert_lead_to(rows[0].0, &rows.iter().copied().map(moved).collect::<Vec<_>>());
}
