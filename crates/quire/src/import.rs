//! `quire prompts import`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    ops::RangeInclusive,
    path::Path,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use pagination::MAX_VIOLATIONS;
use prompts::MAX_BATCH;
use prost::Message;
use quire_proto::prompts::v1::{
    BatchCreatePromptsRequest, CreatePromptRequest, prompt_service_client::PromptServiceClient,
};
use tonic::{
    Code, Request, Status,
    metadata::{AsciiMetadataValue, errors::InvalidMetadataValue},
    transport::{self, Channel, Endpoint, Uri},
};
use tonic_types::StatusExt;

use crate::{arguments::Import, error::Error, requests::Requests};

/// What some programs begin a file with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The most of a line, which is more than the escapes of any content need.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// The most bytes of a batch of several prompts, below what a call takes.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// The most bytes of a batch's prompts without their versions, which the answer repeats with what the service adds.
const MAX_PROMPTS_BYTES: usize = 3 << 20;
/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Imports prompts, a batch at a time, until a batch has a bad line or cannot be sent.
pub(crate) async fn import(arguments: Import) -> Result<(), Error> {
    let Import { file, server, workspace } = arguments;
    let workspace = workspace.parse().map_err(|_: InvalidMetadataValue| Error::Workspace)?;
    let mut lines = Lines::open(&file)?;
    let client = PromptServiceClient::new(connect(server).await?);

    let mut imported = 0;
    while let Some(batch) = lines.batch()? {
        let (count, range) = (batch.requests.len(), batch.lines());
        if let Err(mut problems) = send(&client, &workspace, batch).await {
            lines.progress.finish_and_clear();
            problems.sort();
            for (line, why) in problems {
                // What a line holds does not reach the terminal as it is.
                eprintln!("{}:{line}: {}", file.display(), why.replace(char::is_control, "\u{fffd}"));
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

/// A connection that notices when the server does not answer.
async fn connect(server: String) -> Result<Channel, Error> {
    let uri: Option<Uri> = server.parse().ok();
    let uri = uri.filter(|uri| uri.scheme_str() == Some("http")).ok_or_else(|| Error::Server(server.clone()))?;
    let endpoint = Endpoint::from(uri).connect_timeout(PATIENCE).http2_keep_alive_interval(PATIENCE);
    let channel = endpoint.keep_alive_timeout(PATIENCE).connect().await;
    channel.map_err(|_: transport::Error| Error::Unreachable(server))
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
    /// Takes one more request, or gives it back where it is for the next batch.
    fn add(&mut self, line: u64, request: CreatePromptRequest) -> Option<(u64, CreatePromptRequest)> {
        let bytes = self.bytes + request.encoded_len();
        let prompts_bytes = self.prompts_bytes + request.prompt.as_ref().map_or(0, Message::encoded_len);
        let fits = bytes <= MAX_BATCH_BYTES && prompts_bytes <= MAX_PROMPTS_BYTES;
        if !fits && !self.requests.is_empty() {
            return Some((line, request));
        }
        (self.bytes, self.prompts_bytes) = (bytes, prompts_bytes);
        self.requests.push((line, request));
        None
    }

    fn len(&self) -> usize {
        self.requests.len() + self.problems.len()
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
    /// What did not fit in the batch before.
    left: Option<(u64, CreatePromptRequest)>,
    /// Shown on a terminal only.
    progress: ProgressBar,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let requests = Requests::new()?;
        let mut progress = ProgressBar::new_spinner();
        let reader: Box<dyn BufRead + Send> = if path == Path::new("-") {
            Box::new(BufReader::new(io::stdin()))
        } else {
            let file = File::open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {msg} {eta}");
            if let (true, Ok(style)) = (metadata.is_file(), style) {
                progress = ProgressBar::new(metadata.len()).with_style(style);
            }
            Box::new(BufReader::new(file))
        };
        Ok(Self { requests, reader, number: 0, left: None, progress })
    }

    /// The next lines, as many as go into one call. Nothing at the end.
    fn batch(&mut self) -> Result<Option<Batch>, Error> {
        let mut batch = Batch::default();
        if let Some((line, request)) = self.left.take() {
            self.left = batch.add(line, request);
        }
        while batch.len() < MAX_BATCH && self.left.is_none() {
            let mut line = Vec::new();
            let read = self.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
            let bytes = read.map_err(Error::Read)?;
            if bytes == 0 {
                break;
            }
            self.number += 1;
            self.progress.inc(bytes as u64);
            let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line).trim_ascii();
            if bytes as u64 == MAX_LINE_BYTES {
                batch.problems.push((self.number, format!("is longer than {MAX_LINE_BYTES} bytes")));
                break;
            }
            match self.requests.read(line) {
                _ if line.is_empty() => {}
                Ok(request) => self.left = batch.add(self.number, request),
                Err(why) => batch.problems.push((self.number, why)),
            }
        }
        Ok(if batch.len() == 0 { None } else { Some(batch) })
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
    match problems.len() {
        0 => vec![(first(lines), format!("{}: {}", status.code(), status.message()))],
        MAX_VIOLATIONS => {
            let last = lines.last().copied().unwrap_or_default();
            problems.into_iter().chain([(last, "and perhaps more up to here".to_owned())]).collect()
        }
        _ => problems,
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
