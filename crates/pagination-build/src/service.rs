use std::collections::HashSet;

use prost_build::{Method, Service, ServiceGenerator};
use protox::prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};

use crate::list::{Lists, is_row};

pub(crate) const PAGE_RESPONSE: &str = "pagination.v1.PageResponse";

/// Generates the clients of tonic, which can walk through lists, and servers whose pageable methods return `EncodedPage`.
pub(crate) struct Services {
    clients: Box<dyn ServiceGenerator>,
    servers: Box<dyn ServiceGenerator>,
    /// The responses that are pages, as methods name them: `.bookshop.v1.ListBooksResponse`.
    pages: HashSet<String>,
    lists: Lists,
    /// The module of `pagination.v1`.
    module: String,
}

impl Services {
    /// Generates with the settings of these builders, each of which generates a server, a client or both.
    pub(crate) fn new(
        clients: &tonic_prost_build::Builder,
        servers: &tonic_prost_build::Builder,
        pool: &DescriptorPool,
        lists: Lists,
        module: &str,
    ) -> Self {
        Self {
            clients: clients.clone().build_server(false).service_generator(),
            servers: servers.clone().build_client(false).service_generator(),
            pages: pool.all_messages().filter(is_page).map(|message| format!(".{}", message.full_name())).collect(),
            lists,
            module: module.to_owned(),
        }
    }
}

impl ServiceGenerator for Services {
    fn generate(&mut self, mut service: Service, code: &mut String) {
        let rows: Vec<Method> = service.methods.extract_if(.., |method| is_row(method)).collect();
        let begin = code.len();
        self.clients.generate(service.clone(), code);
        if let Some(client) = code.get(begin..).and_then(|code| Client::of(code, &service.name)) {
            self.lists.generate(&service, &rows, &client, &self.module, code);
        }
        for method in &mut service.methods {
            let unary = !method.client_streaming && !method.server_streaming;
            if unary && self.pages.contains(&method.output_proto_type) {
                method.output_type = format!("{}::EncodedPage", self.module);
            }
        }
        self.servers.generate(service, code);
    }
}

/// A client that tonic has generated.
pub(crate) struct Client {
    /// Its path, as in `job_service_client::JobServiceClient`.
    pub(crate) path: String,
    /// The `#[cfg]` attributes of its module.
    pub(crate) conditions: String,
}

impl Client {
    /// Finds it in its generated code.
    fn of(code: &str, service: &str) -> Option<Self> {
        let (before, after) = code.split_once("pub mod ")?;
        let (module, _) = after.split_once(' ')?;
        let attributes = before.split("#[").filter(|attribute| attribute.starts_with("cfg("));
        let conditions = attributes.map(|attribute| format!("#[{}\n", attribute.trim_end())).collect();
        Some(Self { path: format!("{module}::{service}Client"), conditions })
    }
}

/// Whether a message is exactly `{1: repeated rows, 2: page}`, which is the encoding of `EncodedPage`.
fn is_page(message: &MessageDescriptor) -> bool {
    let (Some(rows), Some(page)) = (message.get_field(1), message.get_field(2)) else { return false };
    message.fields().len() == 2
        && rows.is_list()
        && message_of(&rows).is_some()
        && !page.is_list()
        && page.containing_oneof().is_none_or(|oneof| oneof.is_synthetic())
        && message_of(&page).is_some_and(|message| message.full_name() == PAGE_RESPONSE)
}

/// The message of a length-delimited field. A group is not length-delimited.
pub(crate) fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    if field.is_group() { None } else { field.kind().as_message().cloned() }
}
