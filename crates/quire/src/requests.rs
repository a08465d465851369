//! Requests out of NDJSON: one a line, in protobuf's JSON.

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use quire_proto::prompts::v1::CreatePromptRequest;
use serde_json::Deserializer;

use crate::error::Error;

/// Reads lines as requests to create a prompt.
pub(crate) struct Requests(MessageDescriptor);

impl Requests {
    /// # Errors
    ///
    /// What is wrong with the descriptors that the program was built with.
    pub(crate) fn new() -> Result<Self, Error> {
        let pool = DescriptorPool::decode(quire_proto::FILE_DESCRIPTOR_SET);
        let pool = pool.map_err(|error| Error::Descriptors(error.to_string()))?;
        let message = pool.get_message_by_name("prompts.v1.CreatePromptRequest");
        message
            .map(Self)
            .ok_or_else(|| Error::Descriptors("prompts.v1.CreatePromptRequest is not described".to_owned()))
    }

    /// The request on one line.
    ///
    /// # Errors
    ///
    /// What is wrong with the line.
    pub(crate) fn read(&self, line: &[u8]) -> Result<CreatePromptRequest, String> {
        let mut json = Deserializer::from_slice(line);
        let request = DynamicMessage::deserialize(self.0.clone(), &mut json).map_err(|error| in_line(&error))?;
        json.end().map_err(|error| in_line(&error))?;
        request.transcode_to().map_err(|error| error.to_string())
    }
}

/// An error without the number of the line, which is always 1.
fn in_line(error: &serde_json::Error) -> String {
    let column = error.column();
    let text = error.to_string();
    let what = text.strip_suffix(&format!(" at line {} column {column}", error.line())).unwrap_or(&text);
    if column == 0 { what.to_owned() } else { format!("{what} at column {column}") }
}
