//! The sample prompts.

use prompts::Prompts;
use quire_proto::prompts::v1::{BatchCreatePromptsRequest, ListPromptsRequest, prompt_service_server::PromptService};
use tonic::{Code, Request};

use crate::{error::Error, requests::Requests};

/// One CreatePromptRequest a line, in protobuf's JSON.
const PROMPTS: &str = include_str!("../samples/prompts.ndjson");

/// Loads the samples into the workspace `default` if it has no prompts.
pub(crate) async fn load(prompts: &Prompts) -> Result<(), Error> {
    let failed = |status: tonic::Status| Error::Sample(status.message().to_owned());
    let existing = prompts.list_prompts(Request::new(ListPromptsRequest::default())).await.map_err(failed)?;
    if !existing.into_inner().prompts.is_empty() {
        return Ok(());
    }
    let reader = Requests::new()?;
    let requests = PROMPTS.lines().map(|line| reader.read(line.as_bytes()));
    let requests = requests.collect::<Result<Vec<_>, _>>().map_err(Error::Sample)?;
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
