use futures_util::{Stream, TryStreamExt, stream};

use crate::proto::{PageRequest, PageResponse};

/// Walks a list from `page` to its end. Returns one stream of rows, and fetches a page when its first row is polled.
///
/// `fetch` calls the server for one page, and returns the rows and the `PageResponse` of its response. `skip` and
/// `total_count` are sent with the first request only. Dropping the stream ends the walk; nothing is fetched in
/// advance.
///
/// ```
/// use futures_util::TryStreamExt;
/// use pagination::{proto::{PageRequest, PageResponse}, walk};
/// use tonic::Status;
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
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Status> {
/// # let client = Books;
/// let books = walk(PageRequest { page_size: 200, ..Default::default() }, async |page| {
///     let response = client.clone().list_books(page).await?;
///     Ok::<_, Status>((response.books, response.page))
/// });
/// assert_eq!(books.try_collect::<Vec<_>>().await?, [1, 2, 3]);
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// The stream ends with the first error of `fetch`, whose type is that of the stream, as in `Ok::<_, Status>` above. It
/// ends with [`RepeatedPageToken`] when the server returns the token of the request as the next token, because the walk
/// would never end.
pub fn walk<T, E, F, Response>(page: PageRequest, fetch: F) -> impl Stream<Item = Result<T, E>>
where
    E: From<RepeatedPageToken>,
    F: FnMut(PageRequest) -> Response,
    Response: Future<Output = Result<(Vec<T>, Option<PageResponse>), E>>,
{
    // The next token is checked when the next page is polled, so that an error comes after the rows of the current
    // page.
    stream::try_unfold((Ok(Some(page)), fetch), |(page, mut fetch)| async move {
        let Some(page) = page? else { return Ok::<_, E>(None) };
        let (rows, response) = fetch(page.clone()).await?;
        let next = next_request(page, response.unwrap_or_default());
        Ok(Some((stream::iter(rows.into_iter().map(Ok)), (next, fetch))))
    })
    .try_flatten()
}

/// The server returned the page token of the request as the next page token. With the feature `tonic` it converts into a
/// `tonic::Status`: INTERNAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server returned the page token of the request")]
pub struct RepeatedPageToken;

fn next_request(page: PageRequest, response: PageResponse) -> Result<Option<PageRequest>, RepeatedPageToken> {
    if response.next_page_token.is_empty() {
        return Ok(None);
    }
    if response.next_page_token == page.page_token {
        return Err(RepeatedPageToken);
    }
    Ok(Some(PageRequest { page_size: page.page_size, page_token: response.next_page_token, ..Default::default() }))
}
