//! A client's walk through the pages of a server.
use std::{cell::RefCell, pin::pin};

use futures_util::{Stream, StreamExt};
use pagination::{
    RepeatedPageToken,
    proto::{PageRequest, PageResponse},
    walk,
};
use tonic::{Code, Status};

/// A row, or the code and message of an error.
type Item = Result<u32, (Code, String)>;

/// The answer to a page token: rows and the next token, or an error.
type Answer = Result<(Vec<u32>, &'static str), Status>;

/// A server that records its requests.
struct Server<const PAGES: usize> {
    pages: [(&'static str, Answer); PAGES],
    requests: RefCell<Vec<PageRequest>>,
}

impl<const PAGES: usize> Server<PAGES> {
    fn new(pages: [(&'static str, Answer); PAGES]) -> Self {
        Self { pages, requests: RefCell::default() }
    }

    async fn list(&self, page: PageRequest) -> Result<(Vec<u32>, Option<PageResponse>), Status> {
        // A walk that never ends must fail instead of hanging.
        assert!(self.requests.borrow().len() <= PAGES, "{page:?} is one request too many");
        self.requests.borrow_mut().push(page.clone());
        let Some((_, answer)) = self.pages.iter().find(|(token, _)| *token == page.page_token) else {
            panic!("{page:?} asks for a page that does not exist");
        };
        let (rows, next_page_token) = answer.clone()?;
        let response = PageResponse {
            next_page_token: next_page_token.into(),
            // A walk that follows this token asks for a page that does not exist, and fails.
            previous_page_token: "back".into(),
            ..Default::default()
        };
        Ok((rows, Some(response)))
    }

    fn walk(&self, page: PageRequest) -> impl Stream<Item = Item> {
        walk(page, |page| self.list(page))
            .map(|item| item.map_err(|status| (status.code(), status.message().to_owned())))
    }

    async fn walk_all(&self) -> Vec<Item> {
        self.walk(PageRequest::default()).collect().await
    }

    fn tokens_asked(&self) -> Vec<String> {
        self.requests.borrow().iter().map(|page| page.page_token.clone()).collect()
    }
}

fn three_pages() -> Server<3> {
    Server::new([("", Ok((vec![1, 2], "a"))), ("a", Ok((vec![3, 4], "b"))), ("b", Ok((vec![5], "")))])
}

#[tokio::test]
async fn an_empty_list_has_no_rows() {
    let server = Server::new([("", Ok((vec![], "")))]);
    assert_eq!(server.walk_all().await, []);
    assert_eq!(server.tokens_asked(), [""]);
}

#[tokio::test]
async fn a_response_without_a_page_is_the_last() {
    let rows = walk(PageRequest::default(), async |_| Ok::<_, RepeatedPageToken>((vec![1, 2], None)));
    assert_eq!(rows.collect::<Vec<_>>().await, [Ok(1), Ok(2)]);
}

#[tokio::test]
async fn one_page_is_one_request() {
    let server = Server::new([("", Ok((vec![1, 2, 3], "")))]);
    assert_eq!(server.walk_all().await, [Ok(1), Ok(2), Ok(3)]);
    assert_eq!(server.tokens_asked(), [""]);
}

#[tokio::test]
async fn many_pages_are_one_stream() {
    let server = three_pages();
    assert_eq!(server.walk_all().await, [Ok(1), Ok(2), Ok(3), Ok(4), Ok(5)]);
    assert_eq!(server.tokens_asked(), ["", "a", "b"]);
}

#[tokio::test]
async fn a_walk_can_begin_at_a_token() {
    let server = three_pages();
    let page = PageRequest { page_token: "a".into(), ..Default::default() };
    assert_eq!(server.walk(page).collect::<Vec<_>>().await, [Ok(3), Ok(4), Ok(5)]);
    assert_eq!(server.tokens_asked(), ["a", "b"]);
}

#[tokio::test]
async fn an_empty_page_with_a_token_is_not_the_last() {
    let server = Server::new([
        ("", Ok((vec![], "a"))),
        ("a", Ok((vec![1], "b"))),
        ("b", Ok((vec![], "c"))),
        ("c", Ok((vec![], "d"))),
        ("d", Ok((vec![2], "e"))),
        ("e", Ok((vec![], ""))),
    ]);
    assert_eq!(server.walk_all().await, [Ok(1), Ok(2)]);
    assert_eq!(server.tokens_asked(), ["", "a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn an_error_ends_the_stream_after_the_rows_before_it() {
    let server = Server::new([
        ("", Ok((vec![1, 2], "a"))),
        ("a", Err(Status::unavailable("restarting"))),
        ("b", Ok((vec![5], ""))),
    ]);
    assert_eq!(server.walk_all().await, [Ok(1), Ok(2), Err((Code::Unavailable, "restarting".into()))]);
    assert_eq!(server.tokens_asked(), ["", "a"]);
}

#[tokio::test]
async fn an_error_on_the_first_page_is_the_only_item() {
    let server = Server::new([("", Err(Status::permission_denied("not yours")))]);
    assert_eq!(server.walk_all().await, [Err((Code::PermissionDenied, "not yours".into()))]);
    assert_eq!(server.tokens_asked(), [""]);
}

#[tokio::test]
async fn a_token_that_leads_to_itself_is_an_error() {
    let server = Server::new([("", Ok((vec![1, 2], "a"))), ("a", Ok((vec![], "a")))]);
    let looping = || Err((Code::Internal, "the server returned the page token of the request".into()));
    assert_eq!(server.walk_all().await, [Ok(1), Ok(2), looping()]);
    assert_eq!(server.tokens_asked(), ["", "a"]);

    let page = PageRequest { page_token: "a".into(), ..Default::default() };
    assert_eq!(server.walk(page).collect::<Vec<_>>().await, [looping()]);
    assert_eq!(server.tokens_asked(), ["", "a", "a"]);
}

#[tokio::test]
async fn a_client_can_have_an_error_of_its_own() {
    #[derive(Debug, PartialEq)]
    enum Failed {
        Offline,
        Repeated,
    }
    impl From<RepeatedPageToken> for Failed {
        fn from(_: RepeatedPageToken) -> Self {
            Self::Repeated
        }
    }
    let offline = walk(PageRequest::default(), async |_| Err::<(Vec<u32>, _), _>(Failed::Offline));
    assert_eq!(offline.collect::<Vec<_>>().await, [Err(Failed::Offline)]);
    let page = PageResponse { next_page_token: "a".into(), ..Default::default() };
    let repeated = walk(PageRequest::default(), async |_| Ok::<_, Failed>((vec![1], Some(page.clone()))));
    assert_eq!(repeated.collect::<Vec<_>>().await, [Ok(1), Ok(1), Err(Failed::Repeated)]);
}

#[tokio::test]
async fn skip_and_total_count_are_sent_once_and_page_size_each_time() {
    let server = three_pages();
    let first = PageRequest { page_size: 2, page_token: String::new(), total_count: 1, skip: 7 };
    assert_eq!(server.walk(first.clone()).count().await, 5);
    let later = |token: &str| PageRequest { page_size: 2, page_token: token.into(), ..Default::default() };
    assert_eq!(*server.requests.borrow(), [first, later("a"), later("b")]);
}

#[tokio::test]
async fn a_page_is_fetched_only_when_a_row_is_polled() {
    let server = three_pages();
    let mut rows = pin!(server.walk(PageRequest::default()));
    assert_eq!(server.tokens_asked().len(), 0);
    for (row, requests) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)] {
        assert_eq!(rows.next().await, Some(Ok(row)));
        assert_eq!(server.tokens_asked().len(), requests, "after row {row}");
    }
    assert_eq!(rows.next().await, None);
    assert_eq!(server.tokens_asked().len(), 3);
}

#[tokio::test]
async fn a_dropped_stream_fetches_no_more() {
    for (taken, requests) in [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2)] {
        let server = three_pages();
        let rows = server.walk(PageRequest::default()).take(taken);
        assert_eq!(rows.count().await, taken);
        assert_eq!(server.tokens_asked().len(), requests, "{taken} taken");
    }
}
