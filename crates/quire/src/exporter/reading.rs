//! A reading: a walk through a list of the server, and the metrics of its rows.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use client::Client;
use futures_util::TryStreamExt;
use pagination::{Retry, Walk};
use platform::Clock;
use prometheus::proto::MetricFamily;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::{metrics::text, server::Server};

/// How long the server may take for a page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a page is read again. More would delay the answer that the server is down.
const MAX_RETRIES: usize = 3;

/// What a collector reads.
pub(super) trait Source: Default + Send + 'static {
    /// The name of the collector, as in `quire_<name>_up`.
    const NAME: &'static str;
    /// The field of the span with the number of rows of a page.
    const ROWS: &'static str;
    type Row: Send + 'static;

    /// The walk through the list, for a window that begins at this time.
    fn walk(client: Client, window_begin: SystemTime) -> Walk<Self::Row>;

    /// The span of a page.
    fn span() -> Span;

    /// Adds the rows of a page, and returns their number.
    fn add(&mut self, rows: Vec<Self::Row>) -> usize;

    /// The metrics, after the last page, or what is missing for them.
    fn families(self) -> Result<Vec<MetricFamily>, &'static str>;
}

/// How the last reading of a collector went.
#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) begin_time: SystemTime,
    pub(super) duration: Duration,
    pub(super) pages: u64,
    pub(super) rows: u64,
}

/// Reads all pages, and returns the text of their metrics. The last reading is recorded, however it ends: also when nobody waits for it any more, and it is
/// dropped.
pub(super) async fn read<S: Source>(
    server: &Server,
    window: Duration,
    last: &Mutex<Option<Record>>,
) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let mut progress = Progress::begin(last);
    let window_begin = progress.begin_time.checked_sub(window).unwrap_or(SystemTime::UNIX_EPOCH);
    let client = server.client().await?;
    let retry = Retry { max_retries: MAX_RETRIES, ..Retry::default() };
    // Without prefetching, no page is read after the last scraper has gone.
    let mut pages = S::walk(client, window_begin).prefetch(false).retry(retry).page_timeout(PAGE_TIMEOUT).pages();
    let mut sums = S::default();
    loop {
        let span = S::span();
        let Some(page) = pages.try_next().instrument(span.clone()).await? else { break };
        let rows = sums.add(page.rows) as u64;
        span.record(S::ROWS, rows);
        progress.pages += 1;
        progress.rows += rows;
        // The last page. Asking for another would make a span without a call.
        if page.page.next_page_token.is_empty() {
            break;
        }
    }
    Ok(text(&sums.families()?)?)
}

/// A reading that has begun. It is recorded when it is dropped.
struct Progress<'a> {
    last: &'a Mutex<Option<Record>>,
    begin_time: SystemTime,
    begin: Instant,
    pages: u64,
    rows: u64,
}

impl<'a> Progress<'a> {
    fn begin(last: &'a Mutex<Option<Record>>) -> Self {
        Self { last, begin_time: Clock::system().now(), begin: Instant::now(), pages: 0, rows: 0 }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        let Self { begin_time, pages, rows, .. } = *self;
        let record = Record { begin_time, duration: self.begin.elapsed(), pages, rows };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
    }
}
