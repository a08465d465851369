//! The list, as clients call it.

use prost::bytes::Bytes;
use quire_proto::{
    pagination::v1::{PageRequest, PageResponse},
    prompts::v1::{ListPromptsRequest, Prompt, prompt_service_client::PromptServiceClient},
};
use tonic::{Request, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    Result,
    server::Server,
    timing::{Stopwatch, Time},
};

/// The size of the pages in all measurements.
pub(crate) const PAGE: usize = 50;

/// A request for a page. Other fields have their defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    pub(crate) size: usize,
    /// Where it begins; empty for the first page.
    pub(crate) token: String,
    pub(crate) tag: Option<String>,
}

impl Ask {
    /// The page of 50 rows at this token.
    pub(crate) fn page(token: &str) -> Self {
        Self { size: PAGE, token: token.to_owned(), tag: None }
    }
}

/// A page of the list.
pub(crate) struct Page {
    pub(crate) prompts: Vec<Prompt>,
    /// The token of the next page.
    pub(crate) next: String,
}

/// The response with encoded rows.
#[derive(Clone, PartialEq, prost::Message)]
struct UnreadPage {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    prompts: Vec<Bytes>,
    #[prost(message, optional, tag = "2")]
    page: Option<PageResponse>,
}

/// A client with its own connection, and one call in flight at a time.
pub(crate) struct Client {
    stub: PromptServiceClient<Channel>,
    /// For calls whose rows are not decoded.
    wire: Grpc<Channel>,
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> Result<Self> {
        let channel = server.connect().await?;
        Ok(Self { stub: PromptServiceClient::new(channel.clone()), wire: Grpc::new(channel) })
    }

    /// Fetches a page by `create_time desc`, newest first.
    pub(crate) async fn page(&mut self, ask: Ask) -> Result<Page> {
        let response = self.stub.list_prompts(request(ask)?).await?.into_inner();
        Ok(Page { prompts: response.prompts, next: response.page.unwrap_or_default().next_page_token })
    }

    /// Fetches a page, which must have 50 rows, and does not decode the rows, like pgbench.
    pub(crate) async fn unread_page(&mut self, token: &str) -> Result<()> {
        let path = PathAndQuery::from_static("/prompts.v1.PromptService/ListPrompts");
        self.wire.ready().await?;
        let request = Request::new(request(Ask::page(token))?);
        let codec = ProstCodec::<ListPromptsRequest, UnreadPage>::default();
        let page = self.wire.unary(request, path, codec).await?.into_inner();
        if page.prompts.len() == PAGE { Ok(()) } else { Err("a page was short".into()) }
    }

    /// Asks for a page of 50 rows, of which there must be as many.
    pub(crate) async fn full_page(&mut self, token: &str) -> Result<Page> {
        let page = self.page(Ask::page(token)).await?;
        if page.prompts.len() == PAGE { Ok(page) } else { Err("a page was short".into()) }
    }

    /// How long a page takes, from the call to the decoded response.
    pub(crate) async fn time(&mut self, ask: &Ask) -> Result<Time> {
        let ask = ask.clone();
        let stopwatch = Stopwatch::start();
        let page = self.page(ask).await?;
        let time = stopwatch.elapsed();
        drop(page);
        Ok(time)
    }
}

/// A request that is about one workspace.
pub(crate) fn in_workspace<T>(workspace: &str, message: T) -> Result<Request<T>> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("quire-workspace", workspace.parse()?);
    Ok(request)
}

fn request(ask: Ask) -> Result<ListPromptsRequest> {
    let page = PageRequest { page_size: ask.size.try_into()?, page_token: ask.token, ..Default::default() };
    let order_by = "create_time desc".to_owned();
    Ok(ListPromptsRequest { page: Some(page), order_by, tag: ask.tag, ..Default::default() })
}
