//! `quire <noun> import`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    ops::RangeInclusive,
    path::Path,
};

use client::Client;
use indicatif::{ProgressBar, ProgressStyle};
use pagination::MAX_VIOLATIONS;
use platform::{Import, MAX_BATCH, Service};
use prost::Message;
use prost_reflect::DynamicMessage;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{error::Error, imports::ImportArguments, records::Records};

/// Some programs write this at the beginning of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The maximum length of a line: enough for any record, even if its content consists of escapes.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// The maximum size of a batch with more than one record, less than the limit of a call.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// The maximum size of the records in a batch's answer, with room for the fields that the service adds.
const MAX_ANSWERED_BYTES: usize = 3 << 20;

/// Imports the records of a file in batches. Stops at the first batch that has an invalid line or that the server
/// refuses.
pub(crate) async fn import(
    service: &Service,
    import: &Import,
    ImportArguments { file, connect }: ImportArguments,
) -> Result<(), Error> {
    let records = Records::new(service, import)?;
    let mut lines = Lines::open(&records, &file)?;
    connect.run(async |client| send_all(&client, &records, &mut lines, &file).await).await
}

async fn send_all(client: &Client, records: &Records, lines: &mut Lines<'_>, file: &Path) -> Result<(), Error> {
    let mut imported = 0;
    while let Some(batch) = lines.batch()? {
        let (count, range) = (batch.lines.len(), batch.numbers());
        if let Err(mut problems) = send(client, records, batch).await {
            lines.progress.finish_and_clear();
            problems.sort();
            for (line, why) in problems {
                // The text can contain parts of the line: replace characters that could control the terminal.
                eprintln!("{}:{line}: {}", file.display(), why.replace(char::is_control, "\u{fffd}"));
            }
            return Err(Error::Import { imported, names: records.names, first: *range.start(), last: *range.end() });
        }
        imported += count;
        lines.progress.set_message(format!("{imported} {}", records.names));
    }
    lines.progress.finish_and_clear();
    tracing::info!("imported {imported} {}, including those that were skipped", records.names);
    Ok(())
}

/// Invalid lines, each with its number and the reason.
type Problems = Vec<(u64, String)>;

/// Lines of the file that are sent in one call.
#[derive(Default)]
struct Batch {
    /// Each line with its number.
    lines: Vec<(u64, DynamicMessage)>,
    problems: Problems,
    bytes: usize,
    answered_bytes: usize,
}

impl Batch {
    /// Adds a line, or returns it if it does not fit and belongs in the next batch.
    fn add(&mut self, records: &Records, number: u64, line: DynamicMessage) -> Option<(u64, DynamicMessage)> {
        let bytes = self.bytes + line.encoded_len();
        let answered_bytes = self.answered_bytes + records.answered_bytes(&line);
        let fits = bytes <= MAX_BATCH_BYTES && answered_bytes <= MAX_ANSWERED_BYTES;
        if !fits && !self.lines.is_empty() {
            return Some((number, line));
        }
        (self.bytes, self.answered_bytes) = (bytes, answered_bytes);
        self.lines.push((number, line));
        None
    }

    fn len(&self) -> usize {
        self.lines.len() + self.problems.len()
    }

    /// The numbers of the first and the last line.
    fn numbers(&self) -> RangeInclusive<u64> {
        let lines = self.lines.iter().map(|(number, _)| *number);
        let numbers = || lines.clone().chain(self.problems.iter().map(|(number, _)| *number));
        numbers().min().unwrap_or_default()..=numbers().max().unwrap_or_default()
    }
}

/// The lines of a file.
struct Lines<'a> {
    records: &'a Records,
    reader: Box<dyn BufRead + Send>,
    /// The number of the last line read.
    number: u64,
    /// The line that did not fit in the previous batch.
    left: Option<(u64, DynamicMessage)>,
    /// Shown only on a terminal.
    progress: ProgressBar,
}

impl<'a> Lines<'a> {
    fn open(records: &'a Records, path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
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
        Ok(Self { records, reader, number: 0, left: None, progress })
    }

    /// Reads as many lines as fit in one call. Returns `None` at the end of the file.
    fn batch(&mut self) -> Result<Option<Batch>, Error> {
        let mut batch = Batch::default();
        if let Some((number, line)) = self.left.take() {
            self.left = batch.add(self.records, number, line);
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
            match self.records.read(line) {
                _ if line.is_empty() => {}
                Ok(line) => self.left = batch.add(self.records, self.number, line),
                Err(why) => batch.problems.push((self.number, why)),
            }
        }
        Ok(if batch.len() == 0 { None } else { Some(batch) })
    }
}

/// Sends a batch, if all its lines are valid.
async fn send(client: &Client, records: &Records, batch: Batch) -> Result<(), Problems> {
    if !batch.problems.is_empty() {
        return Err(batch.problems);
    }
    let (numbers, lines): (Vec<_>, Vec<_>) = batch.lines.into_iter().unzip();
    records.create(client, lines).await.map_err(|status| problems(records, &status, &numbers))
}

/// The problems that a status reports, by line.
fn problems(records: &Records, status: &Status, lines: &[u64]) -> Problems {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
    let violations = violations.iter().map(|violation| (violation.field.as_str(), violation.description.as_str()));
    let existing = details.error_info().and_then(|info| info.metadata.get("field"));
    let existing = existing.filter(|_| status.code() == Code::AlreadyExists);
    let existing =
        existing.map(|field| (field.as_str(), "is used by an existing record or an earlier line that differs"));
    let problems: Problems = violations
        .chain(existing)
        .map(|(field, why)| match records.place(field).and_then(|(place, field)| Some((*lines.get(place)?, field))) {
            Some((line, field)) => (line, format!("{field}: {why}")),
            None => (first(lines), format!("{field}: {why}")),
        })
        .collect();
    match problems.len() {
        0 => vec![(first(lines), format!("{}: {}", status.code(), status.message()))],
        MAX_VIOLATIONS => {
            let last = lines.last().copied().unwrap_or_default();
            problems.into_iter().chain([(last, "there may be more problems up to this line".to_owned())]).collect()
        }
        _ => problems,
    }
}

fn first(lines: &[u64]) -> u64 {
    lines.first().copied().unwrap_or_default()
}
