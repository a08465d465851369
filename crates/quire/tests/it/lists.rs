//! `quire <resource> list`, `get` and `delete`, for every list that the descriptors have.
use std::process::{Command, Output};

use client::{
    Client,
    lists::{self, Field, List, Method, Resource},
};
use insta::assert_snapshot;
use prost_reflect::{DescriptorPool, Kind};
use quire_proto::{
    identity::v1::{ApiKey, CreateApiKeyRequest, identity_service_client::IdentityServiceClient},
    jobs::v1::{
        AppendJobEventsRequest, CreateJobRequest, Job, JobEvent, JobEventKind, JobOperation,
        job_service_client::JobServiceClient,
    },
    prompts::v1::{
        AssignLabelRequest, BatchCreatePromptsRequest, CreatePromptVersionRequest, PromptVersion,
        prompt_service_client::PromptServiceClient,
    },
};
use serde_json::Value;

use crate::support::{KeyFile, Server, database, named, quire};

/// A UUID that no record has.
const NOBODY: &str = "01976398-0000-7000-8000-000000000000";
/// A capability of some samples.
const CAPABILITY: &str = "code-review";
/// A word of some samples.
const WORD: &str = "dashboard";

/// A server with samples, and records of what the samples do not have.
struct Fixture {
    server: Server,
    prompt_id: String,
    job_id: String,
}

impl Fixture {
    async fn new() -> Self {
        let (_, url) = database().await;
        add_sessions(&url).await;
        let mut server = Server::on_database(&url, &["--sample"]);
        server.connect().await;
        let client = Client::builder(format!("http://{}", server.address)).connect().await.unwrap();
        let mut fixture = Self { server, prompt_id: String::new(), job_id: String::new() };
        let list = fixture.rows(&["prompts", "list", "--order-by", "name", "--limit", "1"]).await;
        fixture.prompt_id = text(&list[0]["id"]);
        add_versions(&client, &fixture.prompt_id).await;
        add_keys(&client).await;
        fixture.job_id = add_job(client).await;
        fixture
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = quire(arguments);
        command.env("QUIRE_SERVER", format!("http://{}", self.server.address));
        run(command).await
    }

    /// The rows that a command prints, and standard error.
    async fn page(&self, arguments: &[&str]) -> (Vec<Value>, String) {
        let output = self.run(&[arguments, &["-o", "ndjson"]].concat()).await;
        let stderr = String::from_utf8(output.stderr.clone()).unwrap();
        (written(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect(), stderr)
    }

    async fn rows(&self, arguments: &[&str]) -> Vec<Value> {
        self.page(arguments).await.0
    }

    /// The last line that a command writes to standard error when it fails, after its status.
    async fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let (stderr, status) = (String::from_utf8(output.stderr).unwrap(), output.status.code().unwrap());
        assert!(output.stdout.is_empty(), "{arguments:?}");
        format!("{status} {}", stderr.lines().next().unwrap_or_default())
    }

    /// The command of a list, with what it requires.
    fn list(&self, resource: &Resource, list: &List) -> Vec<String> {
        let identity = list.method.fields.iter().filter(|field| field.is_identifying());
        let identity = identity.map(|field| match field.descriptor.name() {
            "prompt_id" => self.prompt_id.as_str(),
            "job_id" => &self.job_id,
            "query" => WORD,
            "capability" => CAPABILITY,
            name => panic!("{name} of {}", list.method.full_name),
        });
        let range = ["--start-time=2026-01-01", "--end-time=2027-01-01", "--group-by=agent,model"];
        let range = if list.verb == "summarize" { &range[..] } else { &[] };
        let names = [resource.name.as_str(), list.verb.as_str()];
        names.into_iter().chain(identity).chain(range.iter().copied()).map(str::to_owned).collect()
    }
}

/// Sessions need a server with signing keys.
async fn add_sessions(url: &str) {
    let bootstrap = ["keys", "bootstrap", "--workspace", "default", "--database-url", url];
    let secret = written(run(quire(&bootstrap)).await);
    let keys = KeyFile::new();
    let mut server = Server::on_database(url, &["--signing-keys", keys.path()]);
    server.connect().await;
    for _ in 0..3 {
        let client = Client::builder(format!("http://{}", server.address)).api_key(secret.trim());
        client.connect().await.unwrap();
    }
}

async fn add_versions(client: &Client, prompt_id: &str) {
    let mut prompts = PromptServiceClient::new(client.clone());
    for (content, label) in [("second", "production"), ("third", "staging"), ("fourth", "canary")] {
        let prompt_id = prompt_id.to_owned();
        let content = content.to_owned();
        let version = Some(PromptVersion { prompt_id: prompt_id.clone(), content, ..Default::default() });
        let created = prompts.create_prompt_version(CreatePromptVersionRequest { version }).await.unwrap();
        let version = created.into_inner().version.unwrap().version;
        let label = AssignLabelRequest { prompt_id, label: label.to_owned(), version, ..Default::default() };
        prompts.assign_label(label).await.unwrap();
    }
}

async fn add_keys(client: &Client) {
    let mut identity = IdentityServiceClient::new(client.clone());
    for name in ["first", "second", "third\u{1b}[2J"] {
        let (name, scopes) = (name.to_owned(), vec!["prompts:read".to_owned()]);
        let api_key = Some(ApiKey { name, subject: "admin".to_owned(), scopes, ..Default::default() });
        identity.create_api_key(CreateApiKeyRequest { api_key, ..Default::default() }).await.unwrap();
    }
}

async fn add_job(client: Client) -> String {
    let mut jobs = JobServiceClient::new(client);
    let operation = Some(JobOperation { r#type: "test".to_owned(), ..Default::default() });
    let job = Some(Job { operation, ..Default::default() });
    let job_id = jobs.create_job(CreateJobRequest { job }).await.unwrap().into_inner().job.unwrap().id;
    let kinds = [JobEventKind::Submitted, JobEventKind::Started, JobEventKind::Failed, JobEventKind::Failed];
    let events = kinds.iter().enumerate().map(|(place, kind)| JobEvent {
        id: format!("event {place}"),
        job_id: job_id.clone(),
        kind: (*kind).into(),
        host: format!("host {}", place / 3),
        ..Default::default()
    });
    jobs.append_job_events(AppendJobEventsRequest { events: events.collect() }).await.unwrap();
    job_id
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The standard output of a command that must succeed.
fn written(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn resources() -> Vec<Resource> {
    lists::resources(&DescriptorPool::decode(quire_proto::FILE_DESCRIPTOR_SET).unwrap())
}

/// A value that a filter accepts.
fn value(field: &Field) -> String {
    match field.descriptor.name() {
        "order_by" => String::new(),
        _ if field.is_time() => "24h".to_owned(),
        _ if matches!(field.descriptor.kind(), Kind::Bool) => "false".to_owned(),
        _ => field.words().map_or_else(|| NOBODY.to_owned(), |words| words[0].to_ascii_uppercase()),
    }
}

fn arguments(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

#[test]
fn every_resource_has_its_commands() {
    let resources = resources();
    let lines = resources.iter().map(|Resource { name, full_name, lists, get, delete }| {
        let lists = lists.iter().map(|list| format!("{} {:?}", list.verb, list.method.fields));
        let record =
            |method: &Option<Method>| method.as_ref().map(|method| format!("{} {:?}", method.verb, method.fields));
        let commands = lists.chain(record(get)).chain(record(delete)).collect::<Vec<_>>();
        format!("{name} ({full_name}): {}", commands.join("; "))
    });
    assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn every_list_has_every_format_filter_and_page() {
    let fixture = Fixture::new().await;
    for resource in &resources() {
        for list in &resource.lists {
            let command = fixture.list(resource, list);
            let command = arguments(&command);
            formats(&fixture, list, &command).await;
            filters(&fixture, list, &command).await;
            pages(&fixture, &command).await;
            let flag = fixture.run(&[&command[..], &["--no-such-flag"]].concat()).await;
            assert_eq!(flag.status.code(), Some(2));
            let stderr = String::from_utf8(flag.stderr).unwrap();
            let names = list.method.fields.iter().filter(|field| !field.is_identifying()).map(Field::name);
            for name in names.chain(["limit".to_owned(), "cursor".to_owned()]) {
                assert!(stderr.contains(&format!("--{name}")), "{name}: {stderr}");
            }
            let order = fixture.refusal(&[&command[..], &["--order-by", "no_such_order"]].concat()).await;
            assert!(order.starts_with("2 quire: --order-by must be one of "), "{order}");
        }
    }
}

/// All formats have the same rows.
async fn formats(fixture: &Fixture, list: &List, command: &[&str]) {
    let all = [command, &["--all"]].concat();
    let rows = fixture.rows(&all).await;
    assert!(rows.len() > 1, "{command:?} has rows");
    let print = async |format| written(fixture.run(&[&all[..], &["-o", format]].concat()).await);
    let document: Value = serde_json::from_str(&print("json").await).unwrap();
    assert_eq!(document[list.rows.name()].as_array().unwrap(), &rows, "{command:?}");
    assert_eq!(document["page"]["next_page_token"], "", "{command:?}");
    for format in ["table", "wide"] {
        assert_eq!(print(format).await.lines().count(), rows.len() + 1, "{command:?} {format}");
    }
    let csv = print("csv").await;
    let records = csv::Reader::from_reader(csv.as_bytes()).into_records().map(Result::unwrap);
    assert_eq!(records.count(), rows.len(), "{command:?}");
}

/// Every filter is a flag.
async fn filters(fixture: &Fixture, list: &List, command: &[&str]) {
    for field in list.method.fields.iter().filter(|field| !field.is_identifying()) {
        let flag = format!("--{}={}", field.name(), value(field));
        let output = fixture.run(&[command, &[&flag, "--limit", "1"]].concat()).await;
        assert!(output.status.success(), "{command:?} {flag}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The cursor goes on with the next row.
async fn pages(fixture: &Fixture, command: &[&str]) {
    let all = fixture.rows(&[command, &["--all"]].concat()).await;
    let limit = all.len().div_ceil(3).to_string();
    let mut walked = Vec::new();
    let mut cursor: Option<String> = None;
    // A bound, so that a cursor that goes nowhere fails.
    for _ in 0..=all.len() {
        let page = [command, &["--limit", &limit]].concat();
        let cursor_flag = cursor.iter().flat_map(|cursor| ["--cursor", cursor]);
        let (rows, stderr) = fixture.page(&page.iter().copied().chain(cursor_flag).collect::<Vec<_>>()).await;
        walked.extend(rows);
        let Some((shown, next)) = stderr.lines().find_map(|line| line.split_once(" shown; go on with --cursor "))
        else {
            break;
        };
        assert_eq!(shown, limit);
        cursor = Some(next.to_owned());
    }
    assert_eq!(walked, all, "{command:?}");
}

#[tokio::test]
async fn records_are_printed_and_deleted() {
    let fixture = Fixture::new().await;
    for resource in &resources() {
        let command = fixture.list(resource, &resource.lists[0]);
        let row = &fixture.rows(&[&arguments(&command)[..], &["--limit", "1"]].concat()).await[0];
        let run = async |method: &Method, verb: &str| {
            let fields = method.fields.iter().filter(|field| field.is_identifying());
            let identity: Vec<String> = fields.map(|field| text(&row[field.descriptor.name()])).collect();
            let output = fixture.run(&[&[&*resource.full_name, verb][..], &arguments(&identity)].concat()).await;
            (output, identity.join(" "))
        };
        if let Some(method) = &resource.get {
            let (output, _) = run(method, "get").await;
            let id = text(row.as_object().unwrap().values().next().unwrap());
            assert!(written(output).contains(&id), "{}", method.full_name);
        }
        if let Some(method) = &resource.delete {
            let (output, identity) = run(method, &method.verb).await;
            let stderr = String::from_utf8(output.stderr.clone()).unwrap();
            written(output);
            let said = format!("ed the {} {identity}", method.noun.replace('-', " "));
            assert!(stderr.contains(&said), "{}: {stderr}", method.full_name);
            if let (Some(get), false) = (&resource.get, method.verb == "revoke") {
                let (output, _) = run(get, "get").await;
                let stderr = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(1));
                assert!(stderr.starts_with("quire: ") && stderr.lines().count() == 1, "{stderr}");
            }
        }
    }
}

#[tokio::test]
async fn jobs_have_a_summary() {
    let fixture = Fixture::new().await;
    let table = fixture.run(&["jobs", "list", "--limit", "3", "--total"]).await;
    let summary = String::from_utf8(table.stderr.clone()).unwrap();
    let summary: Vec<&str> = summary.lines().filter(|line| !line.contains("--cursor")).collect();
    assert_snapshot!(summary.join("\n"), @"
    Total: 15
    Showing: 3
    Status: submitted 14, processing 0, completed 0, failed 1, partial_failure 0, skipped 0
    total: 15 (exact)
    ");
    assert_eq!(written(table).lines().count(), 4);

    let list = ["jobs", "list", "--status", "failed,SUBMITTED", "--create-time-from", "2026-01-01", "--offset", "1"];
    let document = written(fixture.run(&[&list[..], &["--limit", "2", "--total=exact", "-o", "json"]].concat()).await);
    let mut document: Value = serde_json::from_str(&document).unwrap();
    let jobs = document.as_object_mut().unwrap().remove("jobs").unwrap();
    assert_eq!(jobs.as_array().unwrap().len(), 2);
    let token = document["page"].as_object_mut().unwrap().remove("next_page_token").unwrap();
    assert!(!token.as_str().unwrap().is_empty());
    assert_snapshot!(serde_json::to_string_pretty(&document).unwrap(), @r#"
    {
      "displayed_jobs": 2,
      "filter_applied": {
        "create_time_from": "2026-01-01T00:00:00Z",
        "statuses": [
          "failed",
          "submitted"
        ]
      },
      "limit_applied": 2,
      "offset_applied": 1,
      "page": {
        "total_count": 15,
        "total_count_precision": "exact"
      },
      "status_counts": {
        "completed": 0,
        "failed": 1,
        "partial_failure": 0,
        "processing": 0,
        "skipped": 0,
        "submitted": 14
      },
      "total_jobs": 15
    }
    "#);

    let all = written(fixture.run(&["jobs", "list", "--all", "-o", "json"]).await);
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all["limit_applied"], Value::Null);
    assert_eq!(all["displayed_jobs"], all["jobs"].as_array().unwrap().len());
}

#[tokio::test]
async fn a_limit_of_several_pages_ends_at_a_cursor() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let mut prompts = server.client().await;
    let requests = (0..450).map(|number| named(&format!("{number:03}"))).collect();
    let batch = BatchCreatePromptsRequest { requests, ..Default::default() };
    prompts.batch_create_prompts(batch).await.unwrap();
    let fixture = Fixture { server, prompt_id: String::new(), job_id: String::new() };
    let list = ["prompts", "list", "--order-by", "name", "--limit", "250"];
    let (first, stderr) = fixture.page(&list).await;
    let (_, cursor) = stderr.trim().split_once("250 shown; go on with --cursor ").unwrap();
    let (second, stderr) = fixture.page(&list.into_iter().chain(["--cursor", cursor]).collect::<Vec<_>>()).await;
    assert_eq!(stderr, "");
    let names: Vec<String> = first.iter().chain(&second).map(|row| text(&row["name"])).collect();
    assert_eq!(names, (0..450).map(|number| format!("{number:03}")).collect::<Vec<_>>());
}

/// What standard error says can be added to the same command.
#[tokio::test]
async fn a_list_with_a_relative_time_can_be_continued() {
    let fixture = Fixture::new().await;
    let list = ["jobs", "list", "--limit", "1", "--create-time-from", "2h"];
    let (first, stderr) = fixture.page(&list).await;
    let (_, flags) = stderr.split_once("go on with ").unwrap();
    let (second, _) = fixture.page(&list.into_iter().chain(flags.split_whitespace()).collect::<Vec<_>>()).await;
    let all = fixture.rows(&["jobs", "list", "--limit", "2"]).await;
    assert_eq!([first, second].concat(), all);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words() {
    let fixture = Fixture::new().await;
    let document = written(fixture.run(&["prompts", "list", "--limit", "1", "-o", "json"]).await);
    let document: Value = serde_json::from_str(&document).unwrap();
    let cursor = document["page"]["next_page_token"].as_str().unwrap();
    let commands: [&[&str]; 22] = [
        &["prompts", "list", "--order-by", "size"],
        &["jobs", "list", "--cursor", cursor],
        &["prompts", "list", "--surface", "chat", "--cursor", cursor],
        &["prompts", "list", "--cursor", &format!("A{cursor}")],
        &["prompts", "list", "--offset", "10001"],
        &["prompts", "list", "--cursor", cursor, "--offset", "1"],
        &["prompts", "list", "--limit", "0"],
        &["prompts", "list", "--limit", "-1"],
        &["prompts", "list", "--all", "--limit", "1"],
        &["prompts", "list", "--watch", "-o", "json"],
        &["jobs", "list", "--status", "lost"],
        &["jobs", "list", "--create-time-from", "yesterday"],
        &["jobs", "list", "--create-time-from", "2026-10-02", "--create-time-before", "2026-10-01"],
        &["jobs", "get", "17"],
        &["jobs", "get", NOBODY],
        &["events", "list", NOBODY],
        &["versions", "get", NOBODY, "1"],
        &["usage", "summarize", "--start-time", "2026-10-02", "--end-time", "2026-10-01"],
        &["prompts", "list", "--workspace", "A workspace"],
        &["prompts", "list", "--server", "quire.example"],
        &["prompts", "list", "--total", "exact"],
        &["memories", "list", "--pinned", "false"],
    ];
    let mut lines = Vec::new();
    for command in commands {
        lines.push(fixture.refusal(command).await);
    }
    lines.push(fixture.refusal(&["jobs", "list", "--server", "http://127.0.0.1:1"]).await);
    assert_snapshot!(lines.join("\n"), @r#"
    2 quire: --order-by must be one of "create_time desc", "create_time", "update_time desc", "name", "id"
    2 quire: --cursor belongs to another list, or to other filters or another order: use the same ones, or begin again without --cursor
    2 quire: --cursor belongs to another list, or to other filters or another order: use the same ones, or begin again without --cursor
    2 quire: --cursor is not a cursor: copy the whole text
    2 error: invalid value '10001' for '--offset <ROWS>': 10001 is not in 0..=10000
    2 error: the argument '--cursor <CURSOR>' cannot be used with '--offset <ROWS>'
    2 error: invalid value '0' for '--limit <ROWS>': must be a whole number, at least 1
    2 error: invalid value '-1' for '--limit <ROWS>': must be a whole number, at least 1
    2 error: the argument '--all' cannot be used with '--limit <ROWS>'
    2 quire: --watch prints tables: use -o table or -o wide
    2 error: invalid value 'lost' for '--status <STATUS,…>'
    2 error: invalid value 'yesterday' for '--create-time-from <TIME>': must be a time as in 2026-10-01T12:00:00Z, a date as in 2026-10-01, or how long ago as in 24h
    2 quire: --create-time-before must not be before --create-time-from
    2 quire: ID must be a UUID, as in 01934f6e-8a3b-7c21-9d55-0242ac120002
    1 quire: the job "01976398-0000-7000-8000-000000000000" does not exist
    1 quire: the job "01976398-0000-7000-8000-000000000000" does not exist
    1 quire: the prompt version "01976398-0000-7000-8000-000000000000/1" does not exist
    2 quire: --end-time must not be before --start-time
    2 quire: the workspace is not valid: it must have 1 to 63 of a-z, 0-9 and -
    2 quire: quire.example is not a server address: write it as in http://127.0.0.1:50051 or https://quire.example:50051
    2 error: unexpected argument 'exact' found
    2 error: unexpected argument 'false' found
    1 quire: cannot reach a server at http://127.0.0.1:1: start it, or name another with --server (connection refused)
    "#);
}

#[test]
fn the_help_of_a_list() {
    let help = |command: &[&str]| written(quire(command).output().unwrap());
    assert_snapshot!("help_of_jobs_list", help(&["jobs", "list", "-h"]));
    assert_snapshot!("help_of_versions_list", help(&["versions", "list", "--help"]));
}

#[test]
fn a_command_has_at_most_two_lines_in_the_help_of_its_resource() {
    for name in resources().iter().map(|resource| resource.name.as_str()) {
        let help = written(quire(&[name, "--help"]).output().unwrap());
        let commands = help.lines().skip_while(|line| *line != "Commands:").take_while(|line| !line.is_empty());
        for command in commands {
            assert!(command.len() < 2 * 80, "{command}");
        }
    }
}

#[test]
fn an_unknown_flag_gets_the_flags_that_exist() {
    let stderr = |command: &[&str]| String::from_utf8(quire(command).output().unwrap().stderr).unwrap();
    assert_snapshot!(stderr(&["deployments", "list", "--everything"]), @"
    error: unexpected argument '--everything' found

      tip: the flags of this command are --order-by, --prompt-id, --label, --limit, --all, --offset, --cursor, --total, --watch, --output, --columns, --server, --api-key, --workspace, --tls-ca, --tls-cert, --tls-key, --log, --help, --version

    Usage: quire deployments list [OPTIONS]

    For more information, try '--help'.
    ");
    assert_snapshot!(stderr(&["prompts", "list", "--total", "exact"]), @"
    error: unexpected argument 'exact' found

      tip: write --total=exact

    Usage: quire prompts list [OPTIONS]

    For more information, try '--help'.
    ");
    assert_snapshot!(stderr(&["prompts", "list", "exact"]), @"
    error: unexpected argument 'exact' found

    Usage: quire prompts list [OPTIONS]

    For more information, try '--help'.
    ");
}

#[test]
fn a_flag_of_delete_is_no_filter() {
    let help = written(quire(&["keys", "revoke", "-h"]).output().unwrap());
    assert!(help.contains("--keep-descendants") && !help.contains("Filters:"), "{help}");
}
