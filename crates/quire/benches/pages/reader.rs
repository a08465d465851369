//! Programs that read a list as a client does. This program is started again as one of them, so that their time and memory
//! are those of a process.

use std::io::{BufWriter, Write, stdout};

use clap::ValueEnum;
use futures_util::TryStreamExt;
use pagination::WalkExt;
use quire_proto::{
    jobs::v1::{ListJobsRequest, job_service_client::JobServiceClient},
    pagination::v1::PageRequest,
    prompts::v1::{ListPromptsRequest, Prompt, prompt_service_client::PromptServiceClient},
};
use serde_json::json;
use tonic::transport::{Channel, Endpoint};

use crate::{Result, client::in_workspace};

/// The page size of all readers, which is that of a walk.
const PAGE_SIZE: i32 = 200;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Reader {
    /// All prompts, by a loop that asks for a page when the one before is written
    Loop,
    /// All prompts, by pagination's walk
    Walk,
    /// The ids of a page of jobs
    Page,
}

impl Reader {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Walk => "walk",
            Self::Page => "page",
        }
    }

    /// Writes the rows to standard output, as JSON.
    pub(crate) async fn read(self) -> Result<()> {
        let channel = Endpoint::from_shared(std::env::var("QUIRE_SERVER")?)?.connect().await?;
        let mut output = BufWriter::new(stdout().lock());
        match self {
            Self::Loop => by_loop(PromptServiceClient::new(channel), &mut output).await?,
            Self::Walk => by_walk(PromptServiceClient::new(channel), &mut output).await?,
            Self::Page => page(channel, &mut output).await?,
        }
        Ok(output.flush()?)
    }
}

async fn by_loop(mut client: PromptServiceClient<Channel>, output: &mut impl Write) -> Result<()> {
    let mut page = PageRequest { page_size: PAGE_SIZE, ..Default::default() };
    loop {
        let request = ListPromptsRequest { page: Some(page.clone()), ..Default::default() };
        let response = client.list_prompts(request).await?.into_inner();
        for prompt in response.prompts {
            write(output, &prompt)?;
        }
        page.page_token = response.page.unwrap_or_default().next_page_token;
        if page.page_token.is_empty() {
            return Ok(());
        }
    }
}

async fn by_walk(client: PromptServiceClient<Channel>, output: &mut impl Write) -> Result<()> {
    let mut prompts = client.walk(ListPromptsRequest::default());
    while let Some(prompt) = prompts.try_next().await? {
        write(output, &prompt)?;
    }
    Ok(())
}

async fn page(channel: Channel, output: &mut impl Write) -> Result<()> {
    let request = in_workspace(&std::env::var("QUIRE_WORKSPACE")?, ListJobsRequest::default())?;
    for job in JobServiceClient::new(channel).list_jobs(request).await?.into_inner().jobs {
        writeln!(output, "{}", job.id)?;
    }
    Ok(())
}

fn write(output: &mut impl Write, prompt: &Prompt) -> Result<()> {
    let time = |time: &Option<prost_types::Timestamp>| time.as_ref().map(ToString::to_string);
    let row = json!({
        "id": prompt.id,
        "name": prompt.name,
        "surface": prompt.surface,
        "tags": prompt.tags,
        "metadata": prompt.metadata,
        "latest_version": prompt.latest_version,
        "etag": prompt.etag,
        "create_time": time(&prompt.create_time),
        "update_time": time(&prompt.update_time),
    });
    Ok(writeln!(output, "{row}")?)
}
