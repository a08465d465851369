use std::collections::HashSet;

use prost_build::{Service, ServiceGenerator};
use protox::prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};

/// The type of field 2 of every pageable response.
const PAGE_RESPONSE: &str = "pagination.v1.PageResponse";

/// Generates the clients of tonic, and servers whose pageable methods return `EncodedPage`.
pub(crate) struct Services {
    clients: Box<dyn ServiceGenerator>,
    servers: Box<dyn ServiceGenerator>,
    /// The responses that are pages, as methods name them: `.bookshop.v1.ListBooksResponse`.
    pages: HashSet<String>,
    /// `EncodedPage` with its module.
    encoded_page: String,
}

impl Services {
    /// Generates with the settings of these builders, each of which generates a server, a client or both.
    pub(crate) fn new(
        clients: &tonic_prost_build::Builder,
        servers: &tonic_prost_build::Builder,
        pool: &DescriptorPool,
        module: &str,
    ) -> Self {
        Self {
            clients: clients.clone().build_server(false).service_generator(),
            servers: servers.clone().build_client(false).service_generator(),
            pages: pool.all_messages().filter(is_page).map(|message| format!(".{}", message.full_name())).collect(),
            encoded_page: format!("{module}::EncodedPage"),
        }
    }
}

impl ServiceGenerator for Services {
    fn generate(&mut self, mut service: Service, code: &mut String) {
        self.clients.generate(service.clone(), code);
        for method in &mut service.methods {
            let unary = !method.client_streaming && !method.server_streaming;
            if unary && self.pages.contains(&method.output_proto_type) {
                method.output_type.clone_from(&self.encoded_page);
            }
        }
        self.servers.generate(service, code);
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
fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    if field.is_group() { None } else { field.kind().as_message().cloned() }
}
