//! The lists of the contract by descriptor, for programs that show or serve any list.
//!
//! A list is a method with one response whose request has one `pagination.v1.PageRequest`, and whose response has one
//! `pagination.v1.PageResponse` and one repeated message. The lists of the same things are a [`Resource`]: `ListMemories`
//! and `RecallMemories` are lists of `memories`. So are the methods that return or delete one of them.
//!
//! ```no_run
//! use client::{Client, lists};
//! use futures_util::TryStreamExt;
//! use prost_reflect::{DescriptorPool, DynamicMessage};
//!
//! # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! let pool = DescriptorPool::decode(quire_proto::FILE_DESCRIPTOR_SET)?;
//! let resources = lists::resources(&pool);
//! if let Some(list) = resources.iter().find(|resource| resource.name == "jobs").and_then(|jobs| jobs.lists.first()) {
//!     let request = DynamicMessage::new(list.method.input.clone());
//!     let mut rows = list.walk(client, request);
//!     while let Some(job) = rows.try_next().await? {
//!         println!("{job}");
//!     }
//! }
//! # Ok(()) }
//! ```

mod codec;
mod field;
mod method;

use heck::ToKebabCase;
use pagination::{
    Walk,
    proto::{PageRequest, PageResponse},
};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, ServiceDescriptor, Value,
};
use tonic::Status;

pub use self::{
    field::{Field, enum_word},
    method::{Channel, Method},
};

const PAGE_REQUEST: &str = "pagination.v1.PageRequest";
const PAGE_RESPONSE: &str = "pagination.v1.PageResponse";
/// The verb of the list that names a resource.
const LIST: &str = "list";
const GET: &str = "get";
/// The verbs of methods that delete.
const DELETE: [&str; 4] = ["delete", "remove", "revoke", "deregister"];

/// What some lists return.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The last word of its full name, as in `versions`, if no other resource has this word. Otherwise the full name.
    pub name: String,
    /// As in `prompt-versions`, for a method `ListPromptVersions`.
    pub full_name: String,
    /// The first is the one with the verb `list`. The verbs are different.
    pub lists: Vec<List>,
    /// The method that returns one: `Get` and the name of the message.
    pub get: Option<Method>,
    /// The method that deletes one: `Delete`, `Remove`, `Revoke` or `Deregister` and the name of the message.
    pub delete: Option<Method>,
}

/// A list.
#[derive(Debug, Clone)]
pub struct List {
    /// The first word of the method, as in `list` or `recall`.
    pub verb: String,
    /// The method. Its fields are the filters, the order and what identifies the list, without the page.
    pub method: Method,
    /// The field of the response with the rows.
    pub rows: FieldDescriptor,
    /// The message of a row.
    pub row: MessageDescriptor,
    page_request: FieldDescriptor,
    page_response: FieldDescriptor,
}

/// All resources with a method `List…`, by name.
pub fn resources(pool: &DescriptorPool) -> Vec<Resource> {
    let mut resources: Vec<Resource> = pool.services().flat_map(|service| resources_of(&service)).collect();
    let last_words: Vec<String> = resources.iter().map(|resource| last_word(&resource.full_name).to_owned()).collect();
    for resource in &mut resources {
        let word = last_word(&resource.full_name);
        if last_words.iter().filter(|other| *other == word).count() == 1 {
            resource.name = word.to_owned();
        }
    }
    resources.sort_by(|left, right| left.name.cmp(&right.name));
    resources
}

fn resources_of(service: &ServiceDescriptor) -> Vec<Resource> {
    let lists: Vec<(String, List)> = service.methods().filter_map(List::of).collect();
    let is_list = |list: &List| list.verb == LIST;
    let named = lists.iter().filter(|(_, list)| is_list(list));
    let resource = |(full_name, list): &(String, List)| {
        let others = lists.iter().filter(|(name, other)| name == full_name && !is_list(other));
        let row = list.row.name().to_kebab_case();
        let method = |verb: &str| {
            let found = service.methods().find(|method| method.name().to_kebab_case() == format!("{verb}-{row}"));
            found.and_then(|method| Method::new(&method))
        };
        Resource {
            name: full_name.clone(),
            full_name: full_name.clone(),
            get: method(GET),
            delete: DELETE.iter().find_map(|verb| method(verb)),
            lists: std::iter::once(list).chain(others.map(|(_, other)| other)).cloned().collect(),
        }
    };
    named.map(resource).collect()
}

fn last_word(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(_, word)| word)
}

impl List {
    /// The list that a method is, after the name of what it lists. Methods that return something beside a list are
    /// none: their verb is `Get`.
    fn of(descriptor: MethodDescriptor) -> Option<(String, Self)> {
        let name = descriptor.name().to_kebab_case();
        let (verb, listed) = name.split_once('-')?;
        let (request, response) = (descriptor.input(), descriptor.output());
        let page_request = only(request.fields().filter(|field| is_message(field, PAGE_REQUEST)))?;
        let page_response = only(response.fields().filter(|field| is_message(field, PAGE_RESPONSE)))?;
        let is_rows = |field: &FieldDescriptor| field.is_list() && field.kind().as_message().is_some();
        let rows = only(response.fields().filter(is_rows))?;
        let row = rows.kind().as_message()?.clone();
        let mut method = Method::new(&descriptor).filter(|_| verb != GET)?;
        method.fields.retain(|field| field.descriptor != page_request);
        Some((listed.to_owned(), Self { verb: verb.to_owned(), method, rows, row, page_request, page_response }))
    }

    /// Walks through the list with this request, whose page is set by the walk. See [`Walk::page`] for where it begins.
    pub fn walk<C: Channel>(&self, channel: C, request: DynamicMessage) -> Walk<DynamicMessage> {
        let list = self.clone();
        Walk::new(move |page| {
            let (list, channel, request) = (list.clone(), channel.clone(), request.clone());
            async move { list.page(channel, request, page).await }
        })
    }

    async fn page<C: Channel>(
        &self,
        channel: C,
        mut request: DynamicMessage,
        page: PageRequest,
    ) -> Result<(Vec<DynamicMessage>, Option<PageResponse>), Status> {
        let broken = |error: prost::DecodeError| Status::internal(format!("the page cannot be decoded: {error}"));
        if let Some(message) = request.get_field_mut(&self.page_request).as_message_mut() {
            message.transcode_from(&page).map_err(broken)?;
        }
        let mut response = self.method.call(channel, request).await?;
        let page = response.get_field(&self.page_response);
        let page = page.as_message().map(DynamicMessage::transcode_to).transpose().map_err(broken)?;
        let mut rows = response.take_field(&self.rows);
        let rows = rows.as_mut().and_then(|rows| rows.as_list_mut()).map(std::mem::take).unwrap_or_default();
        let rows = rows.into_iter().filter_map(|row| if let Value::Message(row) = row { Some(row) } else { None });
        Ok((rows.collect(), page))
    }
}

fn is_message(field: &FieldDescriptor, name: &str) -> bool {
    !field.is_list() && field.kind().as_message().is_some_and(|message| message.full_name() == name)
}

/// The only element.
fn only<T>(mut elements: impl Iterator<Item = T>) -> Option<T> {
    elements.next().filter(|_| elements.next().is_none())
}
