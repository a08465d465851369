//! `quire <noun> export`.

mod checkpoint;
mod error;
mod files;

use std::{
    future,
    io::{self, Write},
};

use client::Client;
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use nix::libc::SIGXFSZ;
use pagination::{
    Page, Retry,
    proto::{PageRequest, TotalCount},
};
use platform::{Import, Service};
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::error::ExportError;
use self::{
    checkpoint::Checkpoint,
    error::Cause,
    files::{Begin, Files},
};
use crate::{arguments::Connect, error::Error, imports::ExportArguments, records::Listing, signals};

/// What the user can do after an export that has written nothing that can be resumed.
const RUN_AGAIN: &str = "run it again";

/// Exports all records of a kind to a file, one on each line.
pub(crate) async fn export(service: &Service, import: &Import, arguments: ExportArguments) -> Result<(), Error> {
    let listing = Listing::new(service, import)?;
    // With a handler, a file that is too large for `ulimit -f` is an error of the write, and does not end the process.
    drop(signal(SignalKind::from_raw(SIGXFSZ)).map_err(Error::Signal)?);
    // On standard output nothing is saved, so the program ends at once.
    let interrupted = if arguments.is_to_stdout() { None } else { Some(signals::interrupted()?) };
    let interrupted = async { if let Some(signal) = interrupted { signal.await } else { future::pending().await } };
    let Some(mut output) = Output::open(&arguments, Checkpoint::new(import.noun, import.order))? else {
        tracing::info!("{} is complete", arguments.file.display());
        return Ok(());
    };

    let copied = tokio::select! {
        biased;
        interrupted = interrupted => Err(Halt::Other(interrupted)),
        copied = copy(&listing, &mut output, import.records, arguments.connect) => copied,
    };
    let done = copied.and_then(|()| Ok(output.finish()?));
    let rows = output.rows();
    match done {
        Ok(()) => {
            tracing::info!("exported {rows} {}", import.records);
            Ok(())
        }
        Err(halt) => Err(halt.error(rows, import.records, output.stop())),
    }
}

/// Why an export has stopped before the end of the list.
enum Halt {
    /// It was interrupted, or the connection or standard output has failed.
    Other(Error),
    Cause(Cause),
}

impl Halt {
    /// The error after so many rows, with what the user can do next.
    fn error(self, rows: u64, names: &'static str, next: &'static str) -> Error {
        match self {
            Self::Other(error) => {
                if matches!(error, Error::Interrupted(_)) {
                    tracing::info!("exported {rows} {names}; {next}");
                }
                error
            }
            Self::Cause(cause) => {
                let next = if matches!(cause, Cause::PageToken(_)) { "begin again with --force" } else { next };
                ExportError::Stopped { rows, names, cause, next }.into()
            }
        }
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Cause> for Halt {
    fn from(cause: Cause) -> Self {
        Self::Cause(cause)
    }
}

/// Writes the rows that are not in the output yet. It can be dropped at any time: a page is written as a whole.
async fn copy(listing: &Listing, output: &mut Output, names: &'static str, connect: Connect) -> Result<(), Halt> {
    connect.run(async |client| copy_with(client, listing, output, names).await).await
}

async fn copy_with(client: Client, listing: &Listing, output: &mut Output, names: &'static str) -> Result<(), Halt> {
    let progress = progress(output.rows(), names);
    // Only a progress bar needs a total.
    let total = if progress.is_hidden() { TotalCount::Unspecified } else { TotalCount::Estimated };
    let first = PageRequest { page_token: output.page_token(), total_count: total.into(), ..Default::default() };
    let mut pages = listing.walk(client).retry(retry()).page(first).pages();
    let mut lines = Vec::new();
    while let Some(page) = pages.next().await {
        let Page { rows, page } = page.map_err(|error| Cause::from(error.kind))?;
        if let Some(total) = page.total_count {
            progress.set_length(total.try_into().unwrap_or_default());
        }
        let count = rows.len();
        lines.clear();
        for row in rows {
            listing.write(row, &mut lines).map_err(Cause::Json)?;
        }
        output.write(&lines, count, pages.checkpoint())?;
        progress.inc(count as u64);
    }
    Ok(())
}

/// As often as the time allows, so that an export goes on when the server is restarted.
fn retry() -> Retry {
    Retry { max_retries: usize::MAX, ..Retry::default() }
}

/// Shown only on a terminal, until it is dropped.
pub(crate) fn progress(rows: u64, names: &'static str) -> ProgressBar {
    let progress =
        ProgressBar::no_length().with_position(rows).with_message(names).with_finish(ProgressFinish::AndClear);
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {msg} {eta}");
    if let Ok(style) = style { progress.with_style(style) } else { progress }
}

/// Where the lines go.
enum Output {
    Stdout { rows: u64 },
    Files(Files),
}

impl Output {
    /// `start` is the beginning of the export. Returns `None` if the export that is to be resumed is complete.
    fn open(arguments: &ExportArguments, start: Checkpoint) -> Result<Option<Self>, Error> {
        if arguments.is_to_stdout() {
            return Ok(Some(Self::Stdout { rows: 0 }));
        }
        let begin = match (arguments.force, arguments.resume) {
            (true, _) => Begin::Force,
            (false, true) => Begin::Resume,
            (false, false) => Begin::New,
        };
        Ok(Files::open(arguments.file.clone(), begin, start)?.map(Self::Files))
    }

    fn rows(&self) -> u64 {
        match self {
            Self::Stdout { rows } => *rows,
            Self::Files(files) => files.rows,
        }
    }

    /// The page token where the walk begins.
    fn page_token(&self) -> String {
        match self {
            Self::Stdout { .. } => String::new(),
            Self::Files(files) => files.place.page_token.clone(),
        }
    }

    /// Writes the lines of a page. `walk` is the place after it.
    fn write(&mut self, lines: &[u8], count: usize, walk: pagination::Checkpoint) -> Result<(), Halt> {
        match self {
            Self::Stdout { rows } => {
                let mut stdout = io::stdout().lock();
                let written = stdout.write_all(lines).and_then(|()| stdout.flush());
                written.map_err(|source| Halt::Other(Error::Stdout(source)))?;
                *rows += count as u64;
                Ok(())
            }
            Self::Files(files) => Ok(files.write(lines, count, walk)?),
        }
    }

    fn finish(&self) -> Result<(), Cause> {
        match self {
            Self::Stdout { .. } => Ok(()),
            Self::Files(files) => files.finish(),
        }
    }

    /// Stops before the end. Returns what the user can do.
    fn stop(self) -> &'static str {
        match self {
            Self::Stdout { .. } => RUN_AGAIN,
            Self::Files(files) => files.stop(),
        }
    }
}
