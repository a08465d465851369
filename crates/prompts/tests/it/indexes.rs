//! Every statement of the service finds its rows by an index, however many rows there are.
use crate::support::{ORDERS, add, assign, at, by, from, label, list_in, named, page, start_on, text, with};
use platform::testing::{Many, id};
use quire_proto::prompts::v1::{
    BatchCreatePromptsRequest, DeletePromptRequest, GetPromptRequest, GetPromptVersionRequest, ListDeploymentsRequest,
    ListLabelsRequest, ListPromptVersionsRequest, ListPromptsRequest, Prompt, ResolvePromptRequest,
    UpdatePromptRequest,
};

/// 20,000 prompts in five workspaces, three versions and two labels of each; and of the prompt number 1 in each workspace
/// 2,000 more of both.
const SEED: [&str; 6] = [
    // What vacuum reads would be taken for what the calls read.
    "alter table prompts set (autovacuum_enabled = off); alter table prompt_versions set (autovacuum_enabled = off);
    alter table labels set (autovacuum_enabled = off); alter table deployments set (autovacuum_enabled = off)",
    "insert into prompts (workspace_id, id, name, surface, tags, metadata, latest_version, etag, create_time, update_time)
    select 'w' || n % 5, lpad(to_hex(n / 5 + 1), 32, '0')::uuid, 'name ' || n / 5 + 1, 'surface ' || n % 7, '{}', '{}',
        case n / 5 when 0 then 2003 else 3 end, gen_random_uuid(), timestamptz '2026-01-01' + n * interval '1 s',
        timestamptz '2026-01-01' + n % 977 * interval '1 s'
    from generate_series(0, 19999) as n",
    "insert into prompt_versions (workspace_id, prompt_id, version, content, model, author, variables, content_hash,
        create_time)
    select workspace_id, id, n, 'content ' || n, '', '', '{}', sha256(('content ' || n)::bytea), create_time
    from prompts, generate_series(1, latest_version) as n",
    "insert into labels (workspace_id, prompt_id, label, version, assigned_by, assign_time)
    select workspace_id, prompt_id, case version when 1 then 'production' else 'label ' || version end, version, '',
        create_time
    from prompt_versions where version <> 3",
    "insert into deployments (workspace_id, id, prompt_id, label, version, previous_version, actor, create_time)
    select workspace_id, gen_random_uuid(), prompt_id, label, version, 0, '', assign_time + version * interval '1 s'
    from labels",
    "analyze",
];

#[tokio::test]
async fn no_call_about_one_prompt_scans_a_table() {
    let many = Many::new(&SEED).await;
    many.assert_reads("CreatePrompt", 4, async |platform| {
        let mut client = start_on(platform).await;
        client.create_prompt(from("w1", named("new"))).await.unwrap();
        // One that exists is looked for by its id and by its name.
        client.create_prompt(from("w1", named("name 2000"))).await.unwrap_err();
    })
    .await;
    many.assert_reads("GetPrompt", 1, async |platform| {
        let mut client = start_on(platform).await;
        client.get_prompt(from("w1", GetPromptRequest { id: id(2_000) })).await.unwrap();
    })
    .await;
    many.assert_reads("UpdatePrompt", 4, async |platform| {
        let mut client = start_on(platform).await;
        let change = |id, name: &str| UpdatePromptRequest {
            prompt: Some(Prompt { id, name: name.into(), ..Default::default() }),
            update_mask: None,
        };
        client.update_prompt(from("w1", change(id(2_001), "changed"))).await.unwrap();
        client.update_prompt(from("w1", change(id(2_001), "name 7"))).await.unwrap_err();
        client.update_prompt(from("w1", change(id(9_999), "x"))).await.unwrap_err();
    })
    .await;
    many.assert_reads("DeletePrompt", 8, async |platform| {
        let mut client = start_on(platform).await;
        client.delete_prompt(from("w1", DeletePromptRequest { id: id(2_002) })).await.unwrap();
    })
    .await;
    many.assert_reads("CreatePromptVersion", 20, async |platform| {
        let client = start_on(platform).await;
        for number in [1, 2_003] {
            for content in ["new", "new", "newer"] {
                add(&client, "w1", text(&id(number), content)).await.unwrap();
            }
            let latest = text(&id(number + 1), format!("content {}", 3));
            assert_eq!(add(&client, "w1", latest).await.unwrap().version, 3);
        }
    })
    .await;
    many.assert_reads("GetPromptVersion", 1, async |platform| {
        let mut client = start_on(platform).await;
        let request = GetPromptVersionRequest { prompt_id: id(1), version: 1_000 };
        client.get_prompt_version(from("w1", request)).await.unwrap();
    })
    .await;
    many.assert_reads("AssignLabel", 13, async |platform| {
        let client = start_on(platform).await;
        for (name, version) in [("new", 1), ("new", 2), ("new", 2), ("label 1000", 7)] {
            assign(&client, "w1", label(&id(1), name, version)).await.unwrap();
        }
        assign(&client, "w1", label(&id(1), "new", 9_999)).await.unwrap_err();
    })
    .await;
    many.assert_reads("ResolvePrompt", 6, async |platform| {
        let mut client = start_on(platform).await;
        for label in [None, Some("label 2".to_owned())] {
            let request = ResolvePromptRequest { name: "name 1".into(), label };
            client.resolve_prompt(from("w1", request)).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn no_batch_scans_a_table() {
    let many = Many::new(&SEED).await;
    let batch = |names: std::ops::Range<u32>, pass_over_existing| {
        let requests = names.map(|number| {
            let mut request = with(Prompt { name: format!("name {number}"), ..Default::default() });
            let surface = (number - 1) * 5 + 1;
            request.prompt.as_mut().unwrap().surface = format!("surface {}", surface % 7);
            request.version.as_mut().unwrap().content = "content 1".into();
            request
        });
        from("w1", BatchCreatePromptsRequest { requests: requests.collect(), pass_over_existing })
    };
    many.assert_reads("BatchCreatePrompts", 400, async |platform| {
        let mut client = start_on(platform).await;
        client.batch_create_prompts(batch(5_001..5_101, false)).await.unwrap();
        client.batch_create_prompts(batch(3_000..3_100, false)).await.unwrap_err();
    })
    .await;
    many.assert_reads("BatchCreatePrompts that passes over some", 400, async |platform| {
        let mut client = start_on(platform).await;
        client.batch_create_prompts(batch(3_901..4_101, true)).await.unwrap();
    })
    .await;
    many.assert_reads("BatchCreatePrompts that passes over 1,000", 3_000, async |platform| {
        let mut client = start_on(platform).await;
        client.batch_create_prompts(batch(2_000..3_000, true)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn no_list_scans_a_table() {
    let many = Many::new(&SEED).await;
    many.assert_reads("ListPrompts", 110, async |platform| {
        let client = start_on(platform).await;
        let of_surface = ListPromptsRequest { surface: Some("surface 1".into()), ..by("") };
        for request in ORDERS.map(by).iter().chain([&of_surface]) {
            let first = list_in(&client, "w1", &at(request, 10, "")).await.unwrap();
            assert_eq!(list_in(&client, "w1", &at(request, 10, first.next())).await.unwrap().prompts.len(), 10);
        }
    })
    .await;
    many.assert_reads("ListPromptVersions", 22, async |platform| {
        let mut client = start_on(platform).await;
        let request =
            |token: &str| ListPromptVersionsRequest { page: page(10, token), prompt_id: id(1), ..Default::default() };
        let first = client.list_prompt_versions(from("w1", request(""))).await.unwrap();
        let token = first.into_inner().page.unwrap().next_page_token;
        assert_eq!(
            client.list_prompt_versions(from("w1", request(&token))).await.unwrap().into_inner().versions.len(),
            10
        );
        client.list_prompt_versions(from("nobody", request(""))).await.unwrap_err();
    })
    .await;
    many.assert_reads("ListLabels", 22, async |platform| {
        let mut client = start_on(platform).await;
        let request = |token: &str| ListLabelsRequest { page: page(10, token), prompt_id: id(1), ..Default::default() };
        let first = client.list_labels(from("w1", request(""))).await.unwrap();
        let token = first.into_inner().page.unwrap().next_page_token;
        assert_eq!(client.list_labels(from("w1", request(&token))).await.unwrap().into_inner().labels.len(), 10);
        client.list_labels(from("nobody", request(""))).await.unwrap_err();
    })
    .await;
    for prompt_id in [None, Some(id(1))] {
        many.assert_reads("ListDeployments", 22, async |platform| {
            let mut client = start_on(platform).await;
            let request = |token: &str| ListDeploymentsRequest {
                page: page(10, token),
                prompt_id: prompt_id.clone(),
                ..Default::default()
            };
            let first = client.list_deployments(from("w1", request(""))).await.unwrap();
            let token = first.into_inner().page.unwrap().next_page_token;
            let second = client.list_deployments(from("w1", request(&token))).await.unwrap();
            assert_eq!(second.into_inner().deployments.len(), 10);
        })
        .await;
    }
    // At most 2,000 rows are looked at for a label that few have.
    many.assert_reads("ListDeployments of a label", 2_000, async |platform| {
        let mut client = start_on(platform).await;
        let request =
            ListDeploymentsRequest { page: page(10, ""), label: Some("label 1000".into()), ..Default::default() };
        client.list_deployments(from("w1", request)).await.unwrap();
    })
    .await;
}
