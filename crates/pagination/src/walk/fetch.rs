use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use super::retry::{Retry, has_timed_out, requested_delay};
use crate::proto::{PageRequest, PageResponse};

/// The answer to the call for a page.
pub(super) type Answer<T> = Result<(Vec<T>, PageResponse), Status>;

/// A call for a page. It also takes the timeout that the caller has set, for the server.
pub(super) type Call<T> = Box<
    dyn FnMut(PageRequest, Option<Duration>) -> BoxFuture<'static, Result<(Vec<T>, Option<PageResponse>), Status>>
        + Send,
>;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// After how many pages a size that was reduced is doubled.
const PAGES_BEFORE_GROWTH: u32 = 8;

/// Fetches pages: with retries, and with fewer rows when an answer is too large for the client.
pub(super) struct Fetcher<T> {
    call: Call<T>,
    pub(super) retry: Retry,
    /// Of each call, if the caller has set one.
    pub(super) timeout: Option<Duration>,
    /// The page size that the caller wants.
    pub(super) wanted: u32,
    /// The page size that has worked.
    size: u32,
    /// How many pages this size has worked for.
    fetched: u32,
}

impl<T> Fetcher<T> {
    pub(super) fn new(call: Call<T>, wanted: u32) -> Self {
        Self { call, retry: Retry::default(), timeout: None, wanted, size: u32::MAX, fetched: 0 }
    }

    /// Fetches a page of at most `most` rows.
    pub(super) async fn fetch(&mut self, request: &PageRequest, most: u64) -> Answer<T> {
        let retry = self.retry.clone();
        let mut retries = retry.begin();
        let most = u32::try_from(most).unwrap_or(u32::MAX).min(self.wanted);
        let time = self.timeout.unwrap_or(DEFAULT_TIMEOUT);
        loop {
            let size = most.min(self.size);
            let page_size = i32::try_from(size).unwrap_or(i32::MAX);
            let page = (self.call)(PageRequest { page_size, ..request.clone() }, self.timeout);
            let answer = timeout(time, page).await;
            let answer = answer.unwrap_or_else(|_: tokio::time::error::Elapsed| Err(timed_out(time)));
            let status = match answer {
                Ok((rows, page)) => {
                    self.grow();
                    return Ok((rows, page.unwrap_or_default()));
                }
                Err(status) if has_timed_out(&status) => Status::deadline_exceeded(status.message()),
                Err(status) => status,
            };
            let delay = retries.delay(&status);
            match (is_too_large(&status), delay) {
                (true, _) if size > 1 => {
                    (self.size, self.fetched) = (size / 2, 0);
                    // The code can also mean that the server is busy.
                    let is_clear = status.code() == Code::OutOfRange;
                    sleep(delay.filter(|_| !is_clear).unwrap_or_default()).await;
                }
                (false, Some(delay)) => sleep(delay).await,
                (true | false, _) => return Err(status),
            }
        }
    }

    /// Rows differ in size, so a smaller page may be needed only for some of them.
    fn grow(&mut self) {
        self.fetched += 1;
        if self.size < self.wanted && self.fetched >= PAGES_BEFORE_GROWTH {
            (self.size, self.fetched) = (self.size.saturating_mul(2), 0);
        }
    }
}

/// Whether the answer was too large for the client. tonic says OUT_OF_RANGE, and gRPC's other clients say
/// RESOURCE_EXHAUSTED. A server that is busy adds a `google.rpc.RetryInfo` to that.
fn is_too_large(status: &Status) -> bool {
    status.code() == Code::OutOfRange || (status.code() == Code::ResourceExhausted && requested_delay(status).is_none())
}

fn timed_out(timeout: Duration) -> Status {
    Status::deadline_exceeded(format!("the server did not answer within {timeout:?}"))
}
