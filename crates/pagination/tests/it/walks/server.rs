use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use pagination::{
    Walk,
    proto::{PageRequest, PageResponse, TotalCount},
};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What the server does with a call.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// A page of as many rows as the request asks for.
    Answer,
    /// A page of at most this many rows.
    Short(usize),
    /// A page of twice as many rows as the request asks for.
    Long,
    /// An error, perhaps with a delay before the next call.
    Fail(Code, Option<Duration>),
    /// The connection breaks.
    Break,
    /// The answer is too large for the client if it has more rows than this. With `true` the client says so as tonic does.
    TooLarge(i32, bool),
    /// An answer after this time.
    Slow(Duration),
    /// The next token is the one that this page was fetched with.
    Repeat(usize),
    /// The page token is refused.
    RefuseToken,
}

/// A server with the rows 0 and up, which follows a script and then answers every call.
#[derive(Clone)]
pub struct Server(Arc<Mutex<State>>);

struct State {
    rows: u32,
    steps: Vec<Step>,
    requests: Vec<PageRequest>,
    answered: usize,
    /// The place of each token: rows from here on, or rows before it.
    tokens: HashMap<String, (u32, bool)>,
    /// The token of each page, in the order of the answers.
    pages: Vec<String>,
    /// How many rows the pages of this walk and of those before have.
    sent: usize,
    /// The size that was too large at a token.
    too_large: Option<(String, i32)>,
    /// When the next call may come.
    not_before: Option<Instant>,
    failures: usize,
}

impl Server {
    pub fn new(rows: u32, mut steps: Vec<Step>) -> Self {
        steps.reverse();
        let tokens = HashMap::from([(String::new(), (0, false)), ("end".to_owned(), (rows, true))]);
        Self(Arc::new(Mutex::new(State {
            rows,
            steps,
            tokens,
            requests: Vec::new(),
            answered: 0,
            pages: Vec::new(),
            sent: 0,
            too_large: None,
            not_before: None,
            failures: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn walk(&self) -> Walk<u32> {
        let server = self.clone();
        Walk::new(move |page| {
            let server = server.clone();
            async move { server.list(page).await }
        })
    }

    /// The token of the page that ends with the last row.
    pub fn end(&self) -> String {
        "end".to_owned()
    }

    pub fn requests(&self) -> Vec<PageRequest> {
        self.state().requests.clone()
    }

    pub fn answered(&self) -> usize {
        self.state().answered
    }

    pub fn rows_asked(&self) -> u64 {
        let largest: i32 = self.state().requests.iter().map(|page| page.page_size).sum();
        largest as u64
    }

    /// A walk that has returned this many rows has fetched no more than the page of the last one and the next.
    pub fn is_not_ahead_of(&self, returned: usize) {
        let state = self.state();
        let ahead = state.requests.last().map_or(0, |page| page.page_size) as usize;
        assert!(state.sent <= returned + 2 * ahead.max(20), "{} rows for {returned}", state.sent);
    }

    /// A new walk knows nothing of the calls before.
    pub fn is_resumed(&self) {
        let mut state = self.state();
        (state.too_large, state.not_before, state.failures) = (None, None, 0);
    }

    async fn list(&self, page: PageRequest) -> Result<(Vec<u32>, Option<PageResponse>), Status> {
        let step = self.state().begin(&page);
        if let Step::Slow(time) = step {
            sleep(time).await;
        }
        self.state().answer(&page, step)
    }
}

impl State {
    fn begin(&mut self, page: &PageRequest) -> Step {
        assert!(self.requests.len() < 1_000, "the walk does not end");
        if let Some((token, size)) = &self.too_large
            && *token == page.page_token
        {
            assert!(page.page_size < *size, "{page:?} was too large before");
        }
        assert!(self.not_before.is_none_or(|time| time <= Instant::now()), "{page:?} comes too early");
        assert!(self.failures <= 5, "{page:?} is one retry too many");
        self.requests.push(page.clone());
        self.steps.pop().unwrap_or(Step::Answer)
    }

    fn answer(&mut self, page: &PageRequest, step: Step) -> Result<(Vec<u32>, Option<PageResponse>), Status> {
        let size = page.page_size as usize;
        match step {
            // The code of a call without an error.
            Step::Fail(Code::Ok, _) | Step::Answer | Step::Slow(_) => self.page(page, size, None),
            Step::Short(most) => self.page(page, size.min(most), None),
            Step::Long => self.page(page, size * 2, None),
            Step::Repeat(number) => {
                let token = self.pages.get(number).cloned().unwrap_or_else(|| page.page_token.clone());
                self.page(page, size, Some(token))
            }
            // The status of a client whose answer was too large.
            Step::Fail(Code::OutOfRange, _) => self.page(page, size, None),
            Step::Fail(Code::ResourceExhausted, None) => self.too_large(page, false),
            Step::Fail(code, delay) => {
                self.failures += 1;
                self.not_before = delay.map(|delay| Instant::now() + delay);
                let details = delay.map(|delay| ErrorDetails::with_retry_info(Some(delay))).unwrap_or_default();
                Err(Status::with_error_details(code, code.description(), details))
            }
            Step::Break => {
                self.failures += 1;
                let mut status = Status::unknown("transport error");
                status.set_source(Arc::new(io::Error::from(io::ErrorKind::ConnectionReset)));
                Err(status)
            }
            Step::TooLarge(most, is_clear) if page.page_size > most => self.too_large(page, is_clear),
            Step::TooLarge(..) => self.page(page, size, None),
            Step::RefuseToken => {
                let details = ErrorDetails::with_error_info("PAGE_TOKEN_EXPIRED", "pagination.v1", HashMap::new());
                Err(Status::with_error_details(Code::InvalidArgument, "page.page_token: has expired", details))
            }
        }
    }

    fn too_large(&mut self, page: &PageRequest, is_clear: bool) -> Result<(Vec<u32>, Option<PageResponse>), Status> {
        self.too_large = Some((page.page_token.clone(), page.page_size));
        Err(if is_clear { Status::out_of_range("too large") } else { Status::resource_exhausted("too large") })
    }

    fn page(
        &mut self,
        page: &PageRequest,
        size: usize,
        next: Option<String>,
    ) -> Result<(Vec<u32>, Option<PageResponse>), Status> {
        let (place, is_backward) = self.tokens[&page.page_token];
        let (size, place) = (size as u32, place + page.skip as u32);
        let rows = if is_backward { place.saturating_sub(size)..place } else { place..(place + size).min(self.rows) };
        let mut page_response = PageResponse {
            next_page_token: if rows.end < self.rows { self.token(rows.end, false) } else { String::new() },
            previous_page_token: if rows.start > 0 { self.token(rows.start, true) } else { String::new() },
            total_count: (page.total_count == i32::from(TotalCount::Exact)).then_some(self.rows.into()),
            ..Default::default()
        };
        if let Some(next) = next {
            page_response.next_page_token = next;
        }
        self.pages.push(page.page_token.clone());
        (self.too_large, self.failures) = (None, 0);
        self.answered += 1;
        self.sent += rows.len();
        Ok((rows.collect(), Some(page_response)))
    }

    /// A new token, as every page has.
    fn token(&mut self, place: u32, is_backward: bool) -> String {
        let token = format!("token {}", self.tokens.len());
        self.tokens.insert(token.clone(), (place, is_backward));
        token
    }
}
