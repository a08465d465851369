use std::{
    collections::HashSet,
    fmt, panic,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt, Stream, future::BoxFuture};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tonic::Status;

use super::{
    Checkpoint, WalkError, WalkErrorKind,
    fetch::{Answer, Fetcher},
};
use crate::proto::{PageRequest, PageResponse};

/// A page of a walk.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows, in the order of the walk.
    pub rows: Vec<T>,
    /// The page's tokens and total, as the server returned them.
    pub page: PageResponse,
}

/// The pages of a walk, as a stream. See [`Walk::pages`](super::Walk::pages).
pub struct Pages<T> {
    pub(super) first: PageRequest,
    /// How many rows to return at most from now on.
    pub(super) limit: u64,
    pub(super) is_prefetching: bool,
    /// After the last page that was returned.
    place: Checkpoint,
    /// The first row of the last page that was returned.
    pub(super) start: Checkpoint,
    /// Absent while it fetches.
    pub(super) fetcher: Option<Fetcher<T>>,
    fetching: Option<Fetching<T>>,
    /// Hashes of the page tokens of this walk.
    seen: HashSet<[u8; 16]>,
    is_repeated: bool,
    is_ended: bool,
}

type Fetching<T> = BoxFuture<'static, (Option<Fetcher<T>>, Answer<T>)>;

impl<T: Send + 'static> Pages<T> {
    pub(super) fn new(fetcher: Fetcher<T>) -> Self {
        Self {
            first: PageRequest::default(),
            limit: u64::MAX,
            is_prefetching: true,
            place: Checkpoint::default(),
            start: Checkpoint::default(),
            fetcher: Some(fetcher),
            fetching: None,
            seen: HashSet::new(),
            is_repeated: false,
            is_ended: false,
        }
    }

    pub(super) fn begin_at(&mut self, place: Checkpoint) {
        self.start.clone_from(&place);
        self.place = place;
    }

    /// Begins to fetch the next page, if one is needed.
    fn begin(&mut self, run: fn(Fetching<T>) -> Fetching<T>) {
        if self.is_ended || self.is_repeated {
            return;
        }
        let Some(mut fetcher) = self.fetcher.take() else { return self.is_ended = true };
        let request = self.request();
        let most = self.limit.saturating_add(self.place.given);
        let fetch = async move {
            let answer = fetcher.fetch(&request, most).await;
            (Some(fetcher), answer)
        };
        self.fetching = Some(run(fetch.boxed()));
    }

    fn request(&self) -> PageRequest {
        let PageRequest { skip, total_count, ref page_token, .. } = self.first;
        let request = PageRequest { page_token: self.place.page_token.clone(), ..Default::default() };
        // Sent once.
        if self.place.page_token == *page_token { PageRequest { skip, total_count, ..request } } else { request }
    }

    /// Accepts the page at [`place`](Self::place).
    fn accept(&mut self, mut rows: Vec<T>, page: PageResponse) -> Page<T> {
        let Checkpoint { page_token, given, is_backward } = std::mem::take(&mut self.place);
        if is_backward {
            rows.reverse();
        }
        let left_out = rows.len().min(usize::try_from(given).unwrap_or(usize::MAX));
        rows.drain(..left_out);
        let is_cut = rows.len() as u64 > self.limit;
        rows.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        self.limit -= rows.len() as u64;
        self.start = Checkpoint { page_token, given: left_out as u64, is_backward };

        let token = if is_backward { &page.previous_page_token } else { &page.next_page_token };
        self.seen.insert(hash(&self.start.page_token));
        self.is_repeated = !token.is_empty() && !self.seen.insert(hash(token));
        self.is_ended = token.is_empty() || self.limit == 0;
        self.place = if token.is_empty() || is_cut {
            Checkpoint { given: self.start.given + rows.len() as u64, ..self.start.clone() }
        } else {
            Checkpoint { page_token: token.clone(), given: given - left_out as u64, is_backward }
        };
        Page { rows, page }
    }

    fn fail(&mut self, kind: WalkErrorKind) -> WalkError {
        self.is_ended = true;
        WalkError { kind, checkpoint: self.place.clone() }
    }
}

impl<T> Pages<T> {
    /// Where the walk can be [resumed](super::Walk::resume): after the last page that was returned.
    pub fn checkpoint(&self) -> Checkpoint {
        self.place.clone()
    }
}

impl<T: Send + 'static> Stream for Pages<T> {
    type Item = Result<Page<T>, WalkError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.limit == 0 {
            return Poll::Ready(None);
        }
        if this.fetching.is_none() {
            this.begin(|fetching| fetching);
        }
        let Some(fetching) = &mut this.fetching else {
            let is_repeated = std::mem::take(&mut this.is_repeated) && !this.is_ended;
            return Poll::Ready(is_repeated.then(|| Err(this.fail(WalkErrorKind::RepeatedPageToken))));
        };
        let (fetcher, answer) = ready!(fetching.poll_unpin(context));
        (this.fetcher, this.fetching) = (fetcher, None);
        Poll::Ready(Some(match answer {
            Ok((rows, page)) => {
                let page = this.accept(rows, page);
                if this.is_prefetching {
                    this.begin(in_task);
                }
                Ok(page)
            }
            Err(status) => Err(this.fail(WalkErrorKind::of(status))),
        }))
    }
}

// Nothing in it is pinned in place.
impl<T> Unpin for Pages<T> {}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pages").field("checkpoint", &self.place).finish_non_exhaustive()
    }
}

/// Fetches in a task, so that it goes on while the caller works on the rows. The task ends when the future is dropped.
fn in_task<T: Send + 'static>(fetch: Fetching<T>) -> Fetching<T> {
    let mut tasks = JoinSet::new();
    tasks.spawn(fetch);
    let joined = async move {
        match tasks.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(error)) if error.is_panic() => panic::resume_unwind(error.into_panic()),
            Some(Err(_)) | None => (None, Err(Status::cancelled("the runtime is shutting down"))),
        }
    };
    joined.boxed()
}

fn hash(token: &str) -> [u8; 16] {
    let mut hash = [0; 16];
    for (half, byte) in hash.iter_mut().zip(Sha256::digest(token)) {
        *half = byte;
    }
    hash
}
