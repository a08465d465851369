//! The sample prompts.

use prompts::Prompts;
use prost_reflect::{DescriptorPool, DynamicMessage};
use quire_proto::prompts::v1::{
    BatchCreatePromptsRequest, CreatePromptRequest, ListPromptsRequest, prompt_service_server::PromptService,
};
use tonic::{Code, Request};

use crate::error::Error;

/// One CreatePromptRequest a line, in protobuf's JSON.
const PROMPTS: &str = include_str!("../samples/prompts.ndjson");

/// Loads the samples into the workspace `default` if it has no prompts.
pub(crate) async fn load(prompts: &Prompts) -> Result<(), Error> {
    let failed = |status: tonic::Status| Error::Sample(status.message().to_owned());
    let existing = prompts.list_prompts(Request::new(ListPromptsRequest::default())).await.map_err(failed)?;
    if !existing.into_inner().prompts.is_empty() {
        return Ok(());
    }
    let requests = requests(PROMPTS)?;
    let count = requests.len();
    let request = BatchCreatePromptsRequest { requests, ..Default::default() };
    match prompts.batch_create_prompts(Request::new(request)).await {
        Ok(_) => tracing::info!(count, "loaded the sample prompts"),
        // Another process that started at the same time was first.
        Err(status) if status.code() == Code::AlreadyExists => {}
        Err(status) => return Err(failed(status)),
    }
    Ok(())
}

fn requests(lines: &str) -> Result<Vec<CreatePromptRequest>, Error> {
    let invalid = |error: &dyn std::fmt::Display| Error::Sample(error.to_string());
    let pool = DescriptorPool::decode(quire_proto::FILE_DESCRIPTOR_SET).map_err(|error| invalid(&error))?;
    let message = pool.get_message_by_name("prompts.v1.CreatePromptRequest");
    let message = message.ok_or_else(|| invalid(&"no such message"))?;
    let read = |line: &str| {
        let mut json = serde_json::Deserializer::from_str(line);
        let request = DynamicMessage::deserialize(message.clone(), &mut json).map_err(|error| invalid(&error))?;
        request.transcode_to().map_err(|error| invalid(&error))
    };
    lines.lines().map(read).collect()
}
