use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::{
    body::{Frame, SizeHint},
    rt::Executor,
};

use super::{
    activity::{Activity, Call, reached},
    lasting::Lasting,
};

/// The maximum size of a piece of an answer. It is what a client must take within the timeout.
const PIECE: usize = 64 * 1024;
/// Answers up to this size have one piece.
const SMALL: usize = 4 * 1024;

tokio::task_local! {
    /// While the client does not take the next piece of the answer of the current call.
    static WAITING: Arc<Lasting>;
}

/// Runs the calls of a connection. A call whose answer waits too long for the client is ended: in HTTP/2 the client
/// decides how many bytes it takes, and while it takes none, nothing polls the answer.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    pub(crate) activity: Arc<Activity>,
    pub(crate) timeout: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, call: F) {
        let Self { activity, timeout } = self.clone();
        let waiting = Arc::new(Lasting::default());
        tokio::spawn(WAITING.scope(waiting.clone(), async move {
            tokio::select! {
                biased;
                () = call => {}
                () = waiting.longer_than(timeout) => {
                    reached("stall_timeout");
                    activity.stalled(timeout);
                }
            }
        }));
    }
}

/// The body of an answer, in pieces.
#[derive(Debug)]
pub(crate) struct Answer {
    body: Body,
    /// What follows the current piece.
    rest: Bytes,
    call: Call,
    waiting: Option<Arc<Lasting>>,
}

impl Answer {
    /// The answer of the current call.
    pub(crate) fn new(body: Body, call: Call) -> Self {
        // HTTP/1 has no task for each call.
        let waiting = WAITING.try_with(Arc::clone).ok();
        Self { body, rest: Bytes::new(), call, waiting }
    }

    /// The next piece. HTTP/2 forgets an answer when one byte of its last piece is taken, even if the client never
    /// takes the rest. A last piece of one byte makes the answer wait until all other bytes are taken.
    fn piece(&mut self) -> Frame<Bytes> {
        let length = match self.rest.len() {
            length @ ..=SMALL => length,
            length => (length - 1).min(PIECE),
        };
        if let Some(waiting) = &self.waiting {
            waiting.begin();
        }
        Frame::data(self.rest.split_to(length))
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    /// The caller polls again when the client has taken the current piece.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.waiting.as_ref().is_some_and(|waiting| waiting.end()) {
            self.call.is_taken();
        }
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                Poll::Ready(Some(Ok(self.piece())))
            }
            Err(other) => Poll::Ready(Some(Ok(other))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let hint = self.body.size_hint();
        let mut sum = SizeHint::new();
        sum.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            sum.set_upper(upper + rest);
        }
        sum
    }
}
