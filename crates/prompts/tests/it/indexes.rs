//! Every statement of the service finds its rows by an index in large tables.
use platform::testing::{Many, id};
use prompts::SERVICE;

/// 20,000 prompts in five workspaces, with three versions and two labels each. Prompt number 1 of each workspace has
/// 2,000 more versions and labels.
const SEED: [&str; 6] = [
    // Reads by autovacuum would be counted as reads by the calls.
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
async fn no_call_scans_a_table() {
    let of = |number, more: &str| format!(r#"{{"prompt_id": "{}"{more}}}"#, id(number));
    let by_id = |number| vec![format!(r#"{{"id": "{}"}}"#, id(number))];
    let new = |name: &str| format!(r#"{{"prompt": {{"name": "{name}"}}, "version": {{"content": "x"}}}}"#);
    let change = |number, name: &str| format!(r#"{{"prompt": {{"id": "{}", "name": "{name}"}}}}"#, id(number));
    let version =
        |number, content: &str| format!(r#"{{"version": {{"prompt_id": "{}", "content": "{content}"}}}}"#, id(number));
    let label = |label: &str, version: i32| of(1, &format!(r#", "label": "{label}", "version": {version}"#));
    let batch = |names: std::ops::Range<u32>, flag| {
        let prompt = |number: u32| {
            let surface = ((number - 1) * 5 + 1) % 7;
            format!(
                r#"{{"prompt": {{"name": "name {number}", "surface": "surface {surface}"}},
                    "version": {{"content": "content 1"}}}}"#
            )
        };
        let requests: Vec<_> = names.map(prompt).collect();
        format!(r#"{{"requests": [{}], "pass_over_existing": {flag}}}"#, requests.join(", "))
    };
    let page = |more: &str| format!(r#"{{"page": {{"page_size": 10}}{more}}}"#);
    let page_of = |number| page(&format!(r#", "prompt_id": "{}""#, id(number)));
    let orders = ["create_time desc", "create_time", "update_time desc", "name", "id"];
    let mut pages: Vec<_> = orders.iter().map(|order| page(&format!(r#", "order_by": "{order}""#))).collect();
    pages.push(page(r#", "surface": "surface 1""#));
    let resolve = [
        r#"{"name": "name 1"}"#,
        r#"{"name": "name 1", "label": "label 2"}"#,
        r#"{"name": "name 1", "label": "latest"}"#,
        r#"{"name": "name 1", "version": 1000}"#,
    ];
    let versions = |number| ["new", "new", "newer"].map(|content| version(number, content));
    let labels = [label("new", 1), label("new", 2), label("new", 2), label("label 1000", 7), label("new", 9_999)];
    let calls = vec![
        // An existing row is looked up by its id and by its name.
        ("CreatePrompt", 4, vec![new("new"), new("name 2000")]),
        ("GetPrompt", 1, by_id(2_000)),
        ("UpdatePrompt", 4, vec![change(2_001, "changed"), change(2_001, "name 7"), change(9_999, "x")]),
        ("DeletePrompt", 8, by_id(2_002)),
        ("CreatePromptVersion", 20, [versions(1), versions(2_003)].concat()),
        ("CreatePromptVersion", 4, vec![version(2_004, "content 3")]),
        ("GetPromptVersion", 1, vec![of(1, r#", "version": 1000"#)]),
        ("AssignLabel", 21, labels.into()),
        ("RemoveLabel", 6, vec![of(1, r#", "label": "label 1001""#), of(1, r#", "label": "no label""#)]),
        ("ResolvePrompt", 12, resolve.map(str::to_owned).into()),
        ("BatchCreatePrompts", 400, vec![batch(5_001..5_101, false), batch(3_000..3_100, false)]),
        ("BatchCreatePrompts", 400, vec![batch(3_901..4_101, true)]),
        ("BatchCreatePrompts", 3_000, vec![batch(2_100..3_100, true)]),
        ("ListPrompts", 132, pages),
        // Each version is looked up by its key.
        ("ListPrompts", 44, vec![page(r#", "order_by": "id", "with_latest_version": true"#)]),
        ("ListPromptVersions", 22, vec![page_of(1)]),
        ("ListLabels", 22, vec![page_of(1)]),
        ("ListDeployments", 22, vec![page("")]),
        ("ListDeployments", 22, vec![page_of(1)]),
        // A page examines at most 2,000 rows for a rare label.
        ("ListDeployments", 4_000, vec![page(r#", "label": "label 1000""#)]),
    ];
    Many::new(&SEED).await.assert_calls(&SERVICE, "w1", calls).await;
}
