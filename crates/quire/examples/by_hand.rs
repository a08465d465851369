//! A hand-written ListPrompts, which the benchmark `pages` compares with Quire.
//!
//! It serves only this method, ordered by `create_time desc`, with `page_size` and `page_token` but without filters and
//! totals. All libraries have their default settings. It has the same arguments as `quire serve`:
//!
//! ```sh
//! DATABASE_URL=postgres://… cargo run --release -p quire --example by_hand -- --listen 127.0.0.1:50051
//! ```

use std::{collections::BTreeMap, net::SocketAddr};

use axum::{body::Body, extract::Request as HttpRequest, routing::post};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Parser;
use prost_types::Timestamp;
use quire_proto::{
    pagination::v1::PageResponse,
    prompts::v1::{ListPromptsRequest, ListPromptsResponse, Prompt},
};
use sqlx::{FromRow, PgPool, types::Json};
use time::OffsetDateTime;
use tonic::{
    Request, Response, Status,
    codegen::BoxFuture,
    server::{Grpc, UnaryService},
    service::Routes,
    transport::Server,
};
use tonic_prost::ProstCodec;
use uuid::Uuid;

const FIRST: &str = "
    select id, name, surface, tags, metadata, latest_version, etag, create_time, update_time from prompts
    where workspace_id = $1
    order by create_time desc, id desc limit $2";
const NEXT: &str = "
    select id, name, surface, tags, metadata, latest_version, etag, create_time, update_time from prompts
    where workspace_id = $1 and (create_time, id) < ($3, $4)
    order by create_time desc, id desc limit $2";

#[derive(FromRow)]
struct PromptRow {
    id: Uuid,
    name: String,
    surface: String,
    tags: Vec<String>,
    metadata: Json<BTreeMap<String, String>>,
    latest_version: i32,
    etag: Uuid,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
}

impl From<PromptRow> for Prompt {
    fn from(row: PromptRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            surface: row.surface,
            tags: row.tags,
            metadata: row.metadata.0,
            latest_version: row.latest_version,
            etag: row.etag.to_string(),
            create_time: Some(timestamp(row.create_time)),
            update_time: Some(timestamp(row.update_time)),
            latest: None,
        }
    }
}

fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: time.unix_timestamp(), nanos: time.nanosecond().cast_signed() }
}

/// The keys of the row after which a page begins.
fn token(row: &PromptRow) -> String {
    let time = row.create_time.unix_timestamp_nanos().to_be_bytes();
    URL_SAFE_NO_PAD.encode([time, row.id.into_bytes()].concat())
}

fn keys(token: &str) -> Option<(OffsetDateTime, Uuid)> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (time, id) = bytes.split_first_chunk()?;
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from_be_bytes(*time)).ok()?;
    Some((time, Uuid::from_slice(id).ok()?))
}

#[derive(Clone)]
struct ListPrompts(PgPool);

impl ListPrompts {
    async fn list(self, request: Request<ListPromptsRequest>) -> Result<Response<ListPromptsResponse>, Status> {
        let workspace = request.metadata().get("quire-workspace").and_then(|value| value.to_str().ok());
        let workspace = workspace.unwrap_or("default").to_owned();
        let page = request.into_inner().page.unwrap_or_default();
        let size = match page.page_size {
            ..0 => return Err(Status::invalid_argument("page_size is negative")),
            0 => 50,
            size => usize::try_from(size.min(200)).unwrap_or_default(),
        };
        // One more row, which shows whether there is a next page.
        let limit = i64::try_from(size + 1).unwrap_or_default();
        let query = if page.page_token.is_empty() {
            sqlx::query_as(FIRST).bind(workspace).bind(limit)
        } else {
            let keys = keys(&page.page_token).ok_or_else(|| Status::invalid_argument("page_token is invalid"))?;
            sqlx::query_as(NEXT).bind(workspace).bind(limit).bind(keys.0).bind(keys.1)
        };
        let rows: Result<Vec<PromptRow>, _> = query.fetch_all(&self.0).await;
        let mut rows = rows.map_err(|_: sqlx::Error| Status::unavailable("the database does not answer"))?;
        let is_last = rows.len() <= size;
        rows.truncate(size);
        let next_page_token = rows.last().filter(|_| !is_last).map(token).unwrap_or_default();
        let page = PageResponse { next_page_token, ..Default::default() };
        let prompts = rows.into_iter().map(Prompt::from).collect();
        Ok(Response::new(ListPromptsResponse { prompts, page: Some(page) }))
    }
}

/// The same as the code that tonic generates for a method.
impl UnaryService<ListPromptsRequest> for ListPrompts {
    type Response = ListPromptsResponse;
    type Future = BoxFuture<Response<ListPromptsResponse>, Status>;

    fn call(&mut self, request: Request<ListPromptsRequest>) -> Self::Future {
        Box::pin(self.clone().list(request))
    }
}

#[derive(Parser)]
struct Arguments {
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    #[arg(long)]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let list = ListPrompts(PgPool::connect(&arguments.database_url).await?);
    // The service that tonic generates has all methods of the contract; this one has a single method.
    let call =
        async move |request: HttpRequest<Body>| Grpc::new(ProstCodec::default()).unary(list.clone(), request).await;
    let routes = axum::Router::new().route("/prompts.v1.PromptService/ListPrompts", post(call));
    Ok(Server::builder().add_routes(Routes::from(routes)).serve(arguments.listen).await?)
}
