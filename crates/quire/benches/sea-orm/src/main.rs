//! ListPrompts with SeaORM's cursor, which the benchmark `pages` compares with Quire on request.
//!
//! It serves only this method, ordered by `create_time desc`, with `page_size` and `page_token` but without filters and
//! totals. All libraries have their default settings. It is started like `quire serve`: with `DATABASE_URL` and
//! `--listen`.

use std::{collections::BTreeMap, net::SocketAddr};

use axum::{body::Body, extract::Request as HttpRequest, routing::post};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Parser;
use prompts::{Column, Entity, Model};
use prost_types::Timestamp;
use quire_proto::{
    pagination::v1::PageResponse,
    prompts::v1::{ListPromptsRequest, ListPromptsResponse, Prompt},
};
use sea_orm::{Database, entity::prelude::*};
use tonic::{
    Request, Response, Status,
    codegen::BoxFuture,
    server::{Grpc, UnaryService},
    service::Routes,
    transport::Server,
};
use tonic_prost::ProstCodec;

mod prompts {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "prompts")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
        pub surface: String,
        pub tags: Vec<String>,
        pub metadata: super::Metadata,
        pub latest_version: i32,
        pub etag: Uuid,
        pub create_time: TimeDateTimeWithTimeZone,
        pub update_time: TimeDateTimeWithTimeZone,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, sea_orm::FromJsonQueryResult)]
pub struct Metadata(BTreeMap<String, String>);

impl From<Model> for Prompt {
    fn from(row: Model) -> Self {
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

fn timestamp(time: TimeDateTimeWithTimeZone) -> Timestamp {
    Timestamp { seconds: time.unix_timestamp(), nanos: time.nanosecond().cast_signed() }
}

/// The keys of the row after which a page begins.
fn token(row: &Model) -> String {
    let time = row.create_time.unix_timestamp_nanos().to_be_bytes();
    URL_SAFE_NO_PAD.encode([time, row.id.into_bytes()].concat())
}

fn keys(token: &str) -> Option<(TimeDateTimeWithTimeZone, Uuid)> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (time, id) = bytes.split_first_chunk()?;
    let time = TimeDateTimeWithTimeZone::from_unix_timestamp_nanos(i128::from_be_bytes(*time)).ok()?;
    Some((time, Uuid::from_slice(id).ok()?))
}

#[derive(Clone)]
struct ListPrompts(DatabaseConnection);

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
        let prompts = Entity::find().filter(Column::WorkspaceId.eq(workspace));
        let mut cursor = prompts.cursor_by((Column::CreateTime, Column::Id));
        // One more row, which shows whether there is a next page.
        cursor.desc().first(u64::try_from(size + 1).unwrap_or_default());
        if !page.page_token.is_empty() {
            cursor.after(keys(&page.page_token).ok_or_else(|| Status::invalid_argument("page_token is invalid"))?);
        }
        let rows = cursor.all(&self.0).await;
        let mut rows = rows.map_err(|_: DbErr| Status::unavailable("the database does not answer"))?;
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
    let list = ListPrompts(Database::connect(arguments.database_url).await?);
    // The service that tonic generates has all methods of the contract; this one has a single method.
    let call =
        async move |request: HttpRequest<Body>| Grpc::new(ProstCodec::default()).unary(list.clone(), request).await;
    let routes = axum::Router::new().route("/prompts.v1.PromptService/ListPrompts", post(call));
    Ok(Server::builder().add_routes(Routes::from(routes)).serve(arguments.listen).await?)
}
