//! `quire prompts import`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    ops::RangeInclusive,
    path::Path,
};

use indicatif::{ProgressBar, ProgressStyle};
use prost::Message;
use quire_proto::prompts::v1::{
    BatchCreatePromptsRequest, CreatePromptRequest, prompt_service_client::PromptServiceClient,
};
use tonic::{
    Code, Request, Status,
    metadata::{AsciiMetadataValue, errors::InvalidMetadataValue},
    transport::{self, Channel, Endpoint},
};
use tonic_types::StatusExt;

use crate::{arguments::Import, error::Error, requests::Requests};

/// The most of a line, which is more than the escapes of any content need.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// The most prompts of a batch, which is also the most that a call takes.
const MAX_BATCH: usize = 1_000;
/// The most bytes of a batch, below what a call takes.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// The most bytes of a batch's prompts without their versions, which the answer repeats with what the service adds.
const MAX_PROMPTS_BYTES: usize = 3 << 20;

/// Imports prompts, a batch at a time, until a batch has a bad line or cannot be sent.
pub(crate) async fn import(arguments: Import) -> Result<(), Error> {
    let Import { file, server, workspace } = arguments;
    let workspace = workspace.parse().map_err(|_: InvalidMetadataValue| Error::Workspace)?;
    let mut lines = Lines::open(&file)?;
    let endpoint =
        Endpoint::from_shared(server.clone()).map_err(|_: transport::Error| Error::Server(server.clone()))?;
    let channel = endpoint.connect().await.map_err(|_: transport::Error| Error::Unreachable(server))?;
    let client = PromptServiceClient::new(channel);

    let mut imported = 0;
    while let Some(batch) = lines.batch()? {
        let (count, range) = (batch.requests.len(), batch.lines());
        if let Err(mut problems) = send(&client, &workspace, batch).await {
            lines.progress.finish_and_clear();
            problems.sort();
            for (line, why) in problems {
                eprintln!("{}:{line}: {why}", file.display());
            }
            return Err(Error::Import { imported, first: *range.start(), last: *range.end() });
        }
        imported += count;
        lines.progress.set_message(format!("{imported} prompts"));
    }
    lines.progress.finish_and_clear();
    tracing::info!(prompts = imported, "imported; those that were there already are among them");
    Ok(())
}

/// Lines that are wrong, and why.
type Problems = Vec<(u64, String)>;

/// Lines of the file that go into one call.
#[derive(Default)]
struct Batch {
    /// Each with the number of its line.
    requests: Vec<(u64, CreatePromptRequest)>,
    problems: Problems,
    bytes: usize,
    prompts_bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.requests.len() + self.problems.len() == MAX_BATCH
            || self.bytes >= MAX_BATCH_BYTES
            || self.prompts_bytes >= MAX_PROMPTS_BYTES
    }

    fn add(&mut self, line: u64, request: CreatePromptRequest) {
        self.bytes += request.encoded_len();
        self.prompts_bytes += request.prompt.as_ref().map_or(0, Message::encoded_len);
        self.requests.push((line, request));
    }

    /// The numbers of its first and its last line.
    fn lines(&self) -> RangeInclusive<u64> {
        let requests = self.requests.iter().map(|(line, _)| *line);
        let lines = || requests.clone().chain(self.problems.iter().map(|(line, _)| *line));
        lines().min().unwrap_or_default()..=lines().max().unwrap_or_default()
    }
}

/// The lines of a file.
struct Lines {
    requests: Requests,
    reader: Box<dyn BufRead + Send>,
    /// The number of the line last read.
    number: u64,
    /// Shown on a terminal only.
    progress: ProgressBar,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let requests = Requests::new().map_err(Error::Descriptors)?;
        let (reader, progress): (Box<dyn BufRead + Send>, _) = if path == Path::new("-") {
            (Box::new(BufReader::new(io::stdin())), ProgressBar::new_spinner())
        } else {
            let file = File::open(path).map_err(failed)?;
            let bytes = file.metadata().map_err(failed)?.len();
            let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {msg} {eta}");
            let progress = ProgressBar::new(bytes);
            (Box::new(BufReader::new(file)), style.map_or(progress.clone(), |style| progress.with_style(style)))
        };
        Ok(Self { requests, reader, number: 0, progress })
    }

    /// The next lines, as many as go into one call. Nothing at the end.
    fn batch(&mut self) -> Result<Option<Batch>, Error> {
        let mut batch = Batch::default();
        while !batch.is_full() {
            let mut line = Vec::new();
            let read = self.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
            let bytes = read.map_err(Error::Read)?;
            if bytes == 0 {
                break;
            }
            self.number += 1;
            self.progress.inc(bytes as u64);
            let line = line.trim_ascii();
            if bytes as u64 == MAX_LINE_BYTES {
                batch.problems.push((self.number, format!("is longer than {MAX_LINE_BYTES} bytes")));
                break;
            }
            match self.requests.read(line) {
                _ if line.is_empty() => {}
                Ok(request) => batch.add(self.number, request),
                Err(why) => batch.problems.push((self.number, why)),
            }
        }
        let is_empty = batch.requests.is_empty() && batch.problems.is_empty();
        Ok(if is_empty { None } else { Some(batch) })
    }
}

/// Sends a batch whose lines are all right.
async fn send(
    client: &PromptServiceClient<Channel>,
    workspace: &AsciiMetadataValue,
    batch: Batch,
) -> Result<(), Problems> {
    if !batch.problems.is_empty() {
        return Err(batch.problems);
    }
    let (lines, requests): (Vec<_>, Vec<_>) = batch.requests.into_iter().unzip();
    let mut request = Request::new(BatchCreatePromptsRequest { requests, pass_over_existing: true });
    request.metadata_mut().insert(platform::WORKSPACE_METADATA, workspace.clone());
    match client.clone().batch_create_prompts(request).await {
        Ok(_) => Ok(()),
        Err(status) => Err(problems(&status, &lines)),
    }
}

/// What a status says of each line.
fn problems(status: &Status, lines: &[u64]) -> Problems {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
    let violations = violations.iter().map(|violation| (violation.field.as_str(), violation.description.as_str()));
    let existing = details.error_info().and_then(|info| info.metadata.get("field"));
    let existing = existing.filter(|_| status.code() == Code::AlreadyExists);
    let existing = existing.map(|field| (field.as_str(), "is that of another prompt that is there already"));
    let problems: Problems = violations
        .chain(existing)
        .map(|(field, why)| match place(field).and_then(|(place, field)| Some((*lines.get(place)?, field))) {
            Some((line, field)) => (line, format!("{field}: {why}")),
            None => (first(lines), format!("{field}: {why}")),
        })
        .collect();
    if problems.is_empty() {
        vec![(first(lines), format!("{}: {}", status.code(), status.message()))]
    } else {
        problems
    }
}

/// Takes the place out of a path such as `requests[3].prompt.name`.
fn place(field: &str) -> Option<(usize, &str)> {
    let (place, field) = field.strip_prefix("requests[")?.split_once("].")?;
    Some((place.parse().ok()?, field))
}

fn first(lines: &[u64]) -> u64 {
    lines.first().copied().unwrap_or_default()
}
