//! The walk of a client through the pages of a list.

mod checkpoint;
mod error;
mod fetch;
mod list;
mod pages;
mod retry;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
    vec,
};

use futures_util::{FutureExt, Stream};
use tonic::Status;

use self::fetch::{Call, Fetcher};
pub use self::{
    checkpoint::{Checkpoint, CheckpointError},
    error::{WalkError, WalkErrorKind},
    list::WalkExt,
    pages::{Page, Pages},
    retry::Retry,
};
use crate::proto::{PageRequest, PageResponse};

/// The page size of a walk, unless it is told another: the largest of most lists.
const DEFAULT_PAGE_SIZE: u32 = 200;

/// A walk through a list: a stream of its rows.
///
/// The methods before the first row set what the walk does; without them it returns every row of the list, in the
/// list's order, each once.
///
/// - The call for a page is sent again when the server is unavailable or busy, or the connection fails: see [`Retry`].
///   A [timeout](Self::page_timeout) bounds each call.
/// - While the caller works on the rows of a page, a task [fetches](Self::prefetch) the next page.
/// - If an answer is too large for the client, the page is asked for again with half of the rows.
/// - Empty and short pages do not end the walk; only an empty page token does.
/// - A page token that the server returns twice is an error, because the walk would never end.
/// - Every error has a [`Checkpoint`], and so has every row: [`checkpoint`](Self::checkpoint). A walk that
///   [resumes](Self::resume) there goes on with the next row. After an error the stream ends. It never begins again by
///   itself.
///
/// It needs a tokio runtime with time enabled.
///
/// ```
/// use futures_util::TryStreamExt;
/// use pagination::{Walk, proto::{PageRequest, PageResponse}};
/// # use tonic::Status;
/// # #[derive(Clone)] struct Books;
/// # struct ListBooksResponse { books: Vec<u32>, page: Option<PageResponse> }
/// # impl Books {
/// #     async fn list_books(&self, page: PageRequest) -> Result<ListBooksResponse, Status> {
/// #         Ok(match page.page_token.as_str() {
/// #             "" => ListBooksResponse {
/// #                 books: vec![1, 2],
/// #                 page: Some(PageResponse { next_page_token: "more".into(), ..Default::default() }),
/// #             },
/// #             _ => ListBooksResponse { books: vec![3], page: None },
/// #         })
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), pagination::WalkError> {
/// # let client = Books;
/// let mut books = Walk::new(move |page: PageRequest| {
///     let client = client.clone();
///     async move {
///         let response = client.list_books(page).await?;
///         Ok((response.books, response.page))
///     }
/// });
/// while let Some(book) = books.try_next().await? {
///     println!("{book}");
/// }
/// # Ok(()) }
/// ```
///
/// For clients that `pagination-build` has generated, [`WalkExt::walk`] makes the call.
pub struct Walk<T> {
    pages: Pages<T>,
    /// The rows of the last page that were not returned yet.
    rows: vec::IntoIter<T>,
    /// How many rows of the last page were returned.
    given: u64,
}

impl<T: Send + 'static> Walk<T> {
    /// Walks through the pages that `call` returns: it calls the server for one page, and returns the rows and the
    /// `PageResponse` of its response. An absent `PageResponse` is that of the last page.
    pub fn new<F, Response>(mut call: F) -> Self
    where
        F: FnMut(PageRequest) -> Response + Send + 'static,
        Response: Future<Output = Result<(Vec<T>, Option<PageResponse>), Status>> + Send + 'static,
    {
        Self::of(Box::new(move |page, _| call(page).boxed()))
    }

    fn of(call: Call<T>) -> Self {
        Self { pages: Pages::new(Fetcher::new(call, DEFAULT_PAGE_SIZE)), rows: Vec::new().into_iter(), given: 0 }
    }

    /// Begins with this request: at its page token, and with its page size if it has one. Its `skip` and `total_count`
    /// are sent with the first request only.
    pub fn page(mut self, page: PageRequest) -> Self {
        let page_size = u32::try_from(page.page_size).unwrap_or_default();
        let place = Checkpoint { page_token: page.page_token.clone(), ..self.pages.checkpoint() };
        self.pages.begin_at(place);
        self.pages.first = page;
        if page_size > 0 { self.page_size(page_size) } else { self }
    }

    /// Sets how many rows to ask for at a time. Default: 200. Servers may return fewer.
    pub fn page_size(mut self, rows: u32) -> Self {
        self.set(|fetcher| fetcher.wanted = rows.max(1));
        self
    }

    /// Ends after so many rows. No more rows are asked for.
    pub fn limit(mut self, rows: u64) -> Self {
        self.pages.limit = rows;
        self
    }

    /// Sets whether one page is fetched ahead, while the caller works on the rows of the page before. Default: true.
    /// No more than these two pages are in memory.
    pub fn prefetch(mut self, is_prefetching: bool) -> Self {
        self.pages.is_prefetching = is_prefetching;
        self
    }

    /// Sets when the call for a page is sent again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.set(|fetcher| fetcher.retry = retry);
        self
    }

    /// Sets how long one call for a page may take. Then it fails with DEADLINE_EXCEEDED, which is not retried unless
    /// [`Retry::codes`] has it. Default: 60 seconds.
    ///
    /// A walk of [`WalkExt`] also sends it to the server, as the deadline of the call.
    pub fn page_timeout(mut self, timeout: Duration) -> Self {
        self.set(|fetcher| fetcher.timeout = Some(timeout));
        self
    }

    /// Walks towards the beginning of the list: follows `previous_page_token`, and returns the rows in reverse order.
    /// Begin with a `previous_page_token` or at a [`Checkpoint`].
    pub fn backward(mut self) -> Self {
        let place = Checkpoint { is_backward: true, ..self.pages.checkpoint() };
        self.pages.begin_at(place);
        self
    }

    /// Begins at a checkpoint of an earlier walk that had the same filters and order. It also sets the direction.
    pub fn resume(mut self, checkpoint: Checkpoint) -> Self {
        self.pages.begin_at(checkpoint);
        self
    }

    /// The rows as pages, each with the `PageResponse` of the server. Call it before the first row.
    pub fn pages(self) -> Pages<T> {
        self.pages
    }

    fn set(&mut self, set: impl FnOnce(&mut Fetcher<T>)) {
        if let Some(fetcher) = &mut self.pages.fetcher {
            set(fetcher);
        }
    }
}

impl<T> Walk<T> {
    /// Where the walk can be [resumed](Self::resume): after the last row that was returned, also after an error.
    pub fn checkpoint(&self) -> Checkpoint {
        if self.rows.as_slice().is_empty() {
            return self.pages.checkpoint();
        }
        let start = self.pages.start.clone();
        Checkpoint { given: start.given + self.given, ..start }
    }
}

impl<T: Send + 'static> Stream for Walk<T> {
    type Item = Result<T, WalkError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(row) = self.rows.next() {
                self.given += 1;
                return Poll::Ready(Some(Ok(row)));
            }
            match ready!(Pin::new(&mut self.pages).poll_next(context)) {
                Some(Ok(page)) => (self.rows, self.given) = (page.rows.into_iter(), 0),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

// Nothing in it is pinned in place.
impl<T> Unpin for Walk<T> {}

impl<T> fmt::Debug for Walk<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Walk").field("checkpoint", &self.checkpoint()).finish_non_exhaustive()
    }
}
