//! Ties the request of every list to its response, its rows and its client.

use std::collections::HashMap;

use heck::ToSnakeCase;
use prost_build::{Method, Service};
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto, source_code_info::Location,
};
use protox::prost_reflect::{DescriptorPool, FieldDescriptor, MethodDescriptor};

use crate::service::{Client, PAGE_RESPONSE, message_of};

const PAGE_REQUEST: &str = "pagination.v1.PageRequest";
/// The end of the name of a method that stands for the row of a list. No method of a proto can have such a name.
const ROW: &str = ".row";
/// The field numbers that lead to a method in the source info of a file: `service` and `method`.
const PATH: [i32; 2] = [6, 2];

/// The lists, by the full names of their methods.
pub(crate) struct Lists(HashMap<String, List>);

struct List {
    request: String,
    /// The field of the request that holds the `PageRequest`.
    request_page: String,
    /// The field of the response that holds the rows.
    rows: String,
    /// The field of the response that holds the `PageResponse`.
    response_page: String,
    /// The message of the rows, as methods name them: `.bookshop.v1.Book`.
    row: String,
}

impl Lists {
    /// The lists of these services: unary methods whose request has one `PageRequest`, and whose response has one
    /// `PageResponse` and one repeated message. A request of several methods says nothing about its response, so these
    /// are not lists.
    pub(crate) fn of(pool: &DescriptorPool) -> Self {
        let methods: Vec<_> = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
        let mut uses: HashMap<String, usize> = HashMap::new();
        for method in &methods {
            *uses.entry(method.input().full_name().to_owned()).or_default() += 1;
        }
        let lists = methods.iter().filter_map(|method| Some((method.full_name().to_owned(), List::of(method)?)));
        Self(lists.filter(|(_, list)| uses.get(&list.request) == Some(&1)).collect())
    }

    /// Adds a method for the row of each list, so that prost finds out the row's Rust type.
    pub(crate) fn add_rows(&self, files: &mut FileDescriptorSet) {
        for file in &mut files.file {
            let FileDescriptorProto { package, service: services, source_code_info, .. } = file;
            for (place, service) in (0..).zip(services) {
                let ServiceDescriptorProto { name, method: methods, .. } = service;
                let list = |method: &MethodDescriptorProto| {
                    self.list(package.as_deref().unwrap_or_default(), name.as_deref()?, method.name())
                };
                let rows = methods.iter().filter_map(|method| {
                    let row = Some(list(method)?.row.clone());
                    let name = Some(format!("{}{ROW}", method.name()));
                    Some(MethodDescriptorProto {
                        name,
                        input_type: row.clone(),
                        output_type: row,
                        ..Default::default()
                    })
                });
                let rows: Vec<_> = rows.collect();
                for row in rows {
                    let [services, of_service] = PATH;
                    let index = i32::try_from(methods.len()).unwrap_or(i32::MAX);
                    methods.push(row);
                    // prost expects one for each method.
                    let location = Location { path: vec![services, place, of_service, index], ..Default::default() };
                    source_code_info.get_or_insert_default().location.push(location);
                }
            }
        }
    }

    /// Generates the implementations of `ListRequest` and `ListClient` for the lists of a service. `rows` are the methods
    /// that [`add_rows`](Self::add_rows) has added.
    pub(crate) fn generate(
        &self,
        service: &Service,
        rows: &[Method],
        client: &Client,
        module: &str,
        code: &mut String,
    ) {
        for method in &service.methods {
            let row = rows.iter().find(|row| row.proto_name.strip_suffix(ROW) == Some(&method.proto_name));
            let list = self.list(&service.package, &service.proto_name, &method.proto_name);
            let Some((row, list)) = row.zip(list) else { continue };
            let path = format!("/{}/{}", full_name(&service.package, &service.proto_name), method.proto_name);
            let List { request_page, rows, response_page, .. } = list;
            let Method { name, input_type: request, output_type: response, .. } = method;
            let row = &row.output_type;
            let Client { path: client, conditions } = client;
            code.push_str(&format!(
                "impl {module}::ListRequest for {request} {{
    type Response = {response};
    type Row = {row};
    const METHOD: &'static str = {path:?};
    fn page_mut(&mut self) -> &mut ::core::option::Option<{module}::PageRequest> {{
        &mut self.{request_page}
    }}
    fn rows_and_page(
        response: Self::Response,
    ) -> (::prost::alloc::vec::Vec<Self::Row>, ::core::option::Option<{module}::PageResponse>) {{
        (response.{rows}, response.{response_page})
    }}
}}
{conditions}impl<T> {module}::ListClient<{request}> for {client}<T>
where
    T: tonic::client::GrpcService<tonic::body::Body> + Clone + Send + 'static,
    T::Future: Send,
    T::Error: Into<tonic::codegen::StdError>,
    T::ResponseBody: tonic::codegen::Body<Data = tonic::codegen::Bytes> + Send + 'static,
    <T::ResponseBody as tonic::codegen::Body>::Error: Into<tonic::codegen::StdError> + Send,
{{
    async fn list(
        &mut self,
        request: tonic::Request<{request}>,
    ) -> ::core::result::Result<tonic::Response<{response}>, tonic::Status> {{
        self.{name}(request).await
    }}
}}
"
            ));
        }
    }

    fn list(&self, package: &str, service: &str, method: &str) -> Option<&List> {
        self.0.get(&format!("{}.{method}", full_name(package, service)))
    }
}

/// Whether [`Lists::add_rows`] has added this method.
pub(crate) fn is_row(method: &Method) -> bool {
    method.proto_name.ends_with(ROW)
}

impl List {
    fn of(method: &MethodDescriptor) -> Option<Self> {
        let (request, response) = (method.input(), method.output());
        let is_unary = !method.is_client_streaming() && !method.is_server_streaming();
        let rows = only(response.fields().filter(|field| field.is_list() && message_of(field).is_some()))?;
        let list = Self {
            request: request.full_name().to_owned(),
            request_page: rust_name(&only(request.fields().filter(|field| holds(field, PAGE_REQUEST)))?),
            rows: rust_name(&rows),
            response_page: rust_name(&only(response.fields().filter(|field| holds(field, PAGE_RESPONSE)))?),
            row: format!(".{}", message_of(&rows)?.full_name()),
        };
        is_unary.then_some(list)
    }
}

/// Whether a field is one message of this type.
fn holds(field: &FieldDescriptor, message: &str) -> bool {
    let is_in_oneof = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
    !field.is_list() && !is_in_oneof && message_of(field).is_some_and(|of_field| of_field.full_name() == message)
}

fn only<T>(mut of: impl Iterator<Item = T>) -> Option<T> {
    of.next().filter(|_| of.next().is_none())
}

/// The name that prost gives to a field.
fn rust_name(field: &FieldDescriptor) -> String {
    match field.name().to_snake_case().as_str() {
        // These cannot be raw identifiers.
        name @ ("_" | "super" | "self" | "crate") => format!("{name}_"),
        name => format!("r#{name}"),
    }
}

fn full_name(package: &str, service: &str) -> String {
    if package.is_empty() { service.to_owned() } else { format!("{package}.{service}") }
}
