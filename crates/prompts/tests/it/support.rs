//! The service behind a real socket, on a database of the test's own, and short ways to say what it is asked.
use std::{cmp::Reverse, collections::BTreeMap};

pub use platform::testing::{from, page, there_and_back, told};
use platform::{Platform, testing};
use prompts::Prompts;
use quire_proto::{
    pagination::v1::{PageRequest, PageResponse},
    prompts::v1::{
        AssignLabelRequest, BatchCreatePromptsRequest, CreatePromptRequest, CreatePromptVersionRequest, Deployment,
        GetPromptRequest, Label, ListDeploymentsRequest, ListPromptsRequest, ListPromptsResponse, Prompt,
        PromptVersion, prompt_service_client::PromptServiceClient,
    },
};
use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use tonic::{Status, transport::Channel};
use uuid::Uuid;

pub type Client = PromptServiceClient<Channel>;

/// The orders of ListPrompts, the default first.
pub const ORDERS: [&str; 4] = ["create_time desc", "create_time", "update_time desc", "name"];

/// The service on a new database.
pub async fn start() -> (Platform, Client) {
    let platform = testing::platform().await;
    let client = start_on(&platform).await;
    (platform, client)
}

/// The service on a platform that a test made.
pub async fn start_on(platform: &Platform) -> Client {
    let prompts = Prompts::open(platform).await.unwrap();
    PromptServiceClient::new(testing::serve(prompts.server()).await)
}

/// The service on a new database, by a clock that is a second later each time it is asked.
pub async fn start_ticking() -> (Platform, Client) {
    let platform = Platform { clock: testing::ticking(), ..testing::platform().await };
    let client = start_on(&platform).await;
    (platform, client)
}

/// Asks for this prompt, with some content.
pub fn with(prompt: Prompt) -> CreatePromptRequest {
    let version = PromptVersion { content: "Hello".to_owned(), ..Default::default() };
    CreatePromptRequest { prompt: Some(prompt), version: Some(version) }
}

/// Asks for a prompt of which nothing is given but what it must have.
pub fn named(name: impl Into<String>) -> CreatePromptRequest {
    with(Prompt { name: name.into(), ..Default::default() })
}

/// Makes prompts, so many at once.
pub async fn make_by(client: &Client, workspace: &str, batch: usize, requests: &[CreatePromptRequest]) -> Vec<Prompt> {
    let mut made = Vec::with_capacity(requests.len());
    for requests in requests.chunks(batch) {
        let requests = BatchCreatePromptsRequest { requests: requests.to_vec(), ..Default::default() };
        let response = client.clone().batch_create_prompts(from(workspace, requests)).await.unwrap();
        made.extend(response.into_inner().prompts);
    }
    made
}

/// Makes prompts, in as few batches as they fit in.
pub async fn make(client: &Client, workspace: &str, requests: &[CreatePromptRequest]) -> Vec<Prompt> {
    make_by(client, workspace, 1_000, requests).await
}

/// Makes a prompt with this name in the workspace `default`.
pub async fn one(client: &Client, name: &str) -> Prompt {
    make(client, "default", &[named(name)]).await.remove(0)
}

/// Reads a prompt, as a caller of this workspace.
pub async fn get_in(client: &Client, workspace: &str, id: &str) -> Result<Prompt, Status> {
    let response = client.clone().get_prompt(from(workspace, GetPromptRequest { id: id.to_owned() })).await?;
    Ok(response.into_inner().prompt.unwrap())
}

/// Reads a prompt, as a caller of the workspace `default`.
pub async fn get(client: &Client, id: &str) -> Result<Prompt, Status> {
    get_in(client, "default", id).await
}

/// A version with this content.
pub fn text(prompt_id: &str, content: impl Into<String>) -> PromptVersion {
    PromptVersion { prompt_id: prompt_id.to_owned(), content: content.into(), ..Default::default() }
}

/// Asks for a version to be added, as a caller of this workspace.
pub async fn add(client: &Client, workspace: &str, version: PromptVersion) -> Result<PromptVersion, Status> {
    let request = CreatePromptVersionRequest { version: Some(version) };
    let response = client.clone().create_prompt_version(from(workspace, request)).await?;
    Ok(response.into_inner().version.unwrap())
}

/// Points a label at a version, as a caller of this workspace.
pub async fn assign(client: &Client, workspace: &str, request: AssignLabelRequest) -> Result<Label, Status> {
    Ok(client.clone().assign_label(from(workspace, request)).await?.into_inner().label.unwrap())
}

/// Asks for a label to point at a version.
pub fn label(prompt_id: &str, label: &str, version: i32) -> AssignLabelRequest {
    AssignLabelRequest { prompt_id: prompt_id.to_owned(), label: label.to_owned(), version, ..Default::default() }
}

/// The deployments that a request asks for, up to 200, as a caller of this workspace.
pub async fn deployments(client: &Client, workspace: &str, request: ListDeploymentsRequest) -> Vec<Deployment> {
    let request =
        ListDeploymentsRequest { page: Some(PageRequest { page_size: 200, ..Default::default() }), ..request };
    client.clone().list_deployments(from(workspace, request)).await.unwrap().into_inner().deployments
}

/// Holds the moves of one label to leading from nowhere to this version: each begins where another ended.
pub fn assert_lead_to(version: i32, moves: &[Deployment]) {
    assert!(moves.iter().all(|moved| moved.version != moved.previous_version), "{moves:?}");
    // It came to a version as often as it left it, but for where it began and where it is.
    let mut balance = BTreeMap::from([(0, 1), (version, -1)]);
    for moved in moves {
        *balance.entry(moved.version).or_default() += 1;
        *balance.entry(moved.previous_version).or_default() -= 1;
    }
    assert!(balance.values().all(|&balance| balance == 0), "to {version} by {moves:?}");
}

/// Prompts that no two orders bring in the same sequence: names that a language, or UTF-16, would sort otherwise than
/// bytes do, ids that do not follow the time, and times that several prompts have in common.
pub async fn make_mixed(platform: &Platform, client: &Client, workspace: &str, count: usize) {
    const NAMES: [&str; 10] = ["a", "B", "é", "z", "\u{ffff}", "\u{1f600}", "a b", "A", "_", "a%"];
    const SURFACES: [&str; 4] = ["", "chat", "cli", "Chat"];
    let requests: Vec<_> = (0..count)
        .map(|place| {
            let number = (place as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            with(Prompt {
                id: Uuid::from_u128(number).to_string(),
                name: format!("{}{:04}", NAMES[place % NAMES.len()], place * 7_919 % 10_007),
                surface: SURFACES[place % 7 % SURFACES.len()].to_owned(),
                tags: (2..6).filter(|divisor| place % divisor == 0).map(|divisor| format!("by {divisor}")).collect(),
                ..Default::default()
            })
        })
        .collect();
    make_by(client, workspace, 10, &requests).await;
    let update = "update prompts set update_time = create_time + ascii(right(name, 1)) % 5 * interval '1 hour'
        where workspace_id = $1";
    sqlx::query(update).bind(workspace).execute(&testing::pool(platform)).await.unwrap();
}

/// A prompt as the table has it.
#[derive(Debug, Clone, FromRow)]
pub struct Row {
    pub id: Uuid,
    pub name: String,
    pub surface: String,
    pub tags: Vec<String>,
    pub create_time: OffsetDateTime,
    pub update_time: OffsetDateTime,
}

/// All prompts of a workspace.
pub async fn rows(pool: &PgPool, workspace: &str) -> Vec<Row> {
    let sql = "select id, name, surface, tags, create_time, update_time from prompts where workspace_id = $1";
    sqlx::query_as(sql).bind(workspace).fetch_all(pool).await.unwrap()
}

/// The ids of the rows that pass, in an order.
pub fn expected(rows: &[Row], order_by: &str, passes: impl Fn(&Row) -> bool) -> Vec<String> {
    let mut rows: Vec<_> = rows.iter().filter(|row| passes(row)).collect();
    match order_by {
        "" | "create_time desc" => rows.sort_by_key(|row| Reverse((row.create_time, row.id))),
        "create_time" => rows.sort_by_key(|row| (row.create_time, row.id)),
        "update_time desc" => rows.sort_by_key(|row| Reverse((row.update_time, row.id))),
        "name" => rows.sort_by_key(|row| row.name.as_bytes()),
        _ => panic!("{order_by} is not an order"),
    }
    rows.iter().map(|row| row.id.to_string()).collect()
}

/// A page of prompts and where it stands.
#[derive(Debug)]
pub struct Page {
    pub prompts: Vec<Prompt>,
    pub page: PageResponse,
}

impl Page {
    pub fn ids(&self) -> Vec<&str> {
        self.prompts.iter().map(|prompt| prompt.id.as_str()).collect()
    }

    pub fn next(&self) -> &str {
        &self.page.next_page_token
    }

    pub fn previous(&self) -> &str {
        &self.page.previous_page_token
    }
}

/// Asks for a page, as a caller of the workspace `default`.
pub async fn list(client: &Client, request: &ListPromptsRequest) -> Result<Page, Status> {
    list_in(client, "default", request).await
}

/// Asks for a page, as a caller of this workspace.
pub async fn list_in(client: &Client, workspace: &str, request: &ListPromptsRequest) -> Result<Page, Status> {
    let response = client.clone().list_prompts(from(workspace, request.clone())).await?;
    let ListPromptsResponse { prompts, page } = response.into_inner();
    Ok(Page { prompts, page: page.unwrap() })
}

/// Asks for prompts in an order.
pub fn by(order_by: &str) -> ListPromptsRequest {
    ListPromptsRequest { order_by: order_by.to_owned(), ..Default::default() }
}

/// The request for this page.
pub fn paged(request: &ListPromptsRequest, page: PageRequest) -> ListPromptsRequest {
    ListPromptsRequest { page: Some(page), ..request.clone() }
}

/// The request with this page size and token, and nothing else of paging.
pub fn at(request: &ListPromptsRequest, page_size: i32, page_token: &str) -> ListPromptsRequest {
    paged(request, PageRequest { page_size, page_token: page_token.to_owned(), ..Default::default() })
}

/// The pages from the first to the last, each by the token of the one before.
pub async fn pages(client: &Client, request: &ListPromptsRequest, page_size: i32) -> Vec<Page> {
    let mut pages = vec![list(client, &at(request, page_size, "")).await.unwrap()];
    while let Some(token) = pages.last().map(Page::next).filter(|token| !token.is_empty()) {
        assert!(pages.len() < 1_000, "the walk does not end");
        let page = list(client, &at(request, page_size, token)).await.unwrap();
        assert!(!page.previous().is_empty(), "a page reached by a token has one before it");
        pages.push(page);
    }
    pages
}

/// The pages from the one that this token leads to, back to the first; that one comes last.
pub async fn pages_back(client: &Client, request: &ListPromptsRequest, page_size: i32, token: &str) -> Vec<Page> {
    let mut pages = Vec::new();
    let mut token = token.to_owned();
    while !token.is_empty() {
        assert!(pages.len() < 1_000, "the walk does not end");
        let page = list(client, &at(request, page_size, &token)).await.unwrap();
        assert!(!page.next().is_empty(), "a page reached backwards has one after it");
        page.previous().clone_into(&mut token);
        pages.push(page);
    }
    pages
}

/// The ids on pages, in the sequence of the pages.
pub fn ids(pages: &[Page]) -> Vec<&str> {
    pages.iter().flat_map(Page::ids).collect()
}
