//! Messages out of NDJSON: one a line, in protobuf's JSON.

use std::marker::PhantomData;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Deserializer;

use crate::{error::Error, kinds::Kind};

/// Reads lines as things of a kind.
pub(crate) struct Requests<K> {
    message: MessageDescriptor,
    kind: PhantomData<K>,
}

impl<K: Kind> Requests<K> {
    /// # Errors
    ///
    /// What is wrong with the descriptors that the program was built with.
    pub(crate) fn new() -> Result<Self, Error> {
        let pool = DescriptorPool::decode(quire_proto::FILE_DESCRIPTOR_SET);
        let pool = pool.map_err(|error| Error::Descriptors(error.to_string()))?;
        let message = pool.get_message_by_name(K::MESSAGE);
        let message = message.ok_or_else(|| Error::Descriptors(format!("{} is not described", K::MESSAGE)))?;
        Ok(Self { message, kind: PhantomData })
    }

    /// What stands on one line.
    ///
    /// # Errors
    ///
    /// What is wrong with the line.
    pub(crate) fn read(&self, line: &[u8]) -> Result<K::Line, String> {
        let mut json = Deserializer::from_slice(line);
        let message = DynamicMessage::deserialize(self.message.clone(), &mut json).map_err(|error| in_line(&error))?;
        json.end().map_err(|error| in_line(&error))?;
        message.transcode_to().map_err(|error| error.to_string())
    }
}

/// An error without the number of the line, which is always 1.
fn in_line(error: &serde_json::Error) -> String {
    let column = error.column();
    let text = error.to_string();
    let what = text.strip_suffix(&format!(" at line {} column {column}", error.line())).unwrap_or(&text);
    if column == 0 { what.to_owned() } else { format!("{what} at column {column}") }
}
