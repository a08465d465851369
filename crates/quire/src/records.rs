//! Reads the records of an [`Import`] from lines and sends them to a server, and the other way. The descriptors define the
//! messages and methods.

mod listing;

use client::Client;
use platform::{Import, Service};
use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, ServiceDescriptor, Value};
use quire_proto::pagination::v1::EncodedPage;
use serde_json::Deserializer;
use tonic::{
    Request, Status,
    client::Grpc,
    codegen::http::uri::{InvalidUri, PathAndQuery},
};
use tonic_prost::ProstCodec;

pub(crate) use self::listing::Listing;
use crate::{descriptors::pool, error::Error};

/// The field of a batch's request that makes the server skip identical existing records.
const SKIP_EXISTING: &str = "pass_over_existing";

/// The records of an [`Import`].
pub(crate) struct Records {
    /// Their plural name.
    pub(crate) names: &'static str,
    /// The request of a batch.
    batch: MessageDescriptor,
    /// The field of the batch that contains the records.
    elements: FieldDescriptor,
    /// The message of a record.
    record: MessageDescriptor,
    /// The field of a record that the answer to a batch contains, if any.
    repeated: Option<FieldDescriptor>,
    create: PathAndQuery,
    list: PathAndQuery,
}

impl Records {
    /// # Errors
    ///
    /// [`Error::Descriptors`] when the descriptors do not fit the import.
    pub(crate) fn new(service: &Service, import: &Import) -> Result<Self, Error> {
        let described = describe(service)?;
        let create = method(&described, import.batch_method)?;
        let (elements, record) = rows(&create.input())?;
        let repeated = repeated_message(&create.output())
            .and_then(|(_, answered)| record.fields().find(|field| field.kind().as_message() == Some(&answered)));
        Ok(Self {
            names: import.records,
            batch: create.input(),
            elements,
            record,
            repeated,
            create: path(&create)?,
            list: path(&method(&described, import.list_method)?)?,
        })
    }

    /// The name of the message that a line holds, without its package.
    pub(crate) fn message(&self) -> &str {
        self.record.name()
    }

    /// Parses the record on a line.
    ///
    /// # Errors
    ///
    /// What is wrong with the line.
    pub(crate) fn read(&self, line: &[u8]) -> Result<DynamicMessage, String> {
        let mut json = Deserializer::from_slice(line);
        let record = DynamicMessage::deserialize(self.record.clone(), &mut json).map_err(|error| in_line(&error))?;
        json.end().map_err(|error| in_line(&error))?;
        Ok(record)
    }

    /// How many bytes of this record the answer to a batch contains.
    pub(crate) fn answered_bytes(&self, record: &DynamicMessage) -> usize {
        let value = self.repeated.as_ref().map(|field| record.get_field(field));
        value.and_then(|value| value.as_message().map(Message::encoded_len)).unwrap_or_default()
    }

    /// Splits a field's path in a batch, such as `requests[3].prompt.name`, into the index of the record and the rest.
    pub(crate) fn place<'field>(&self, field: &'field str) -> Option<(usize, &'field str)> {
        let (place, field) = field.strip_prefix(self.elements.name())?.strip_prefix('[')?.split_once("].")?;
        Some((place.parse().ok()?, field))
    }

    /// Creates all of these records on the server, or none. Identical existing records are skipped.
    pub(crate) async fn create(&self, client: &Client, records: Vec<DynamicMessage>) -> Result<(), Status> {
        let mut batch = DynamicMessage::new(self.batch.clone());
        batch.set_field(&self.elements, Value::List(records.into_iter().map(Value::Message).collect()));
        if let Some(field) = self.batch.get_field_by_name(SKIP_EXISTING) {
            batch.set_field(&field, Value::Bool(true));
        }
        call::<_, ()>(client, &self.create, batch).await
    }

    /// Whether the server has any records of this kind.
    pub(crate) async fn exist(&self, client: &Client) -> Result<bool, Status> {
        let page: EncodedPage = call(client, &self.list, ()).await?;
        Ok(!page.rows.is_empty())
    }
}

fn describe(service: &Service) -> Result<ServiceDescriptor, Error> {
    let described = pool().get_service_by_name(service.grpc_name);
    described.ok_or_else(|| Error::Descriptors(format!("no service {}", service.grpc_name)))
}

fn method(service: &ServiceDescriptor, name: &str) -> Result<MethodDescriptor, Error> {
    let method = service.methods().find(|method| method.name() == name);
    method.ok_or_else(|| Error::Descriptors(format!("no method {name} in {}", service.full_name())))
}

fn path(method: &MethodDescriptor) -> Result<PathAndQuery, Error> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name()).parse();
    path.map_err(|error: InvalidUri| Error::Descriptors(error.to_string()))
}

/// Like [`repeated_message`], of a message that must have one.
fn rows(message: &MessageDescriptor) -> Result<(FieldDescriptor, MessageDescriptor), Error> {
    repeated_message(message).ok_or_else(|| Error::Descriptors(format!("no records in {}", message.full_name())))
}

/// The only repeated message field of a message, and the message of its elements.
fn repeated_message(message: &MessageDescriptor) -> Option<(FieldDescriptor, MessageDescriptor)> {
    let mut fields = message.fields().filter(FieldDescriptor::is_list);
    fields.find_map(|field| field.kind().as_message().cloned().map(|message| (field, message)))
}

async fn call<T, U>(client: &Client, path: &PathAndQuery, message: T) -> Result<U, Status>
where
    T: Message + 'static,
    U: Message + Default + 'static,
{
    let mut grpc = Grpc::new(client.clone());
    grpc.ready().await.map_err(Status::from_error)?;
    let response = grpc.unary(Request::new(message), path.clone(), ProstCodec::<T, U>::default()).await?;
    Ok(response.into_inner())
}

/// The error without its line number, which is always 1.
fn in_line(error: &serde_json::Error) -> String {
    let column = error.column();
    let text = error.to_string();
    let what = text.strip_suffix(&format!(" at line {} column {column}", error.line())).unwrap_or(&text);
    if column == 0 { what.to_owned() } else { format!("{what} at column {column}") }
}
