//! The deadline of a call, as gRPC carries it.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue},
    middleware::Next,
    response::Response,
};
use tokio::time::{Instant, sleep_until};
use tonic::Status;

/// The header that says how long the caller waits.
const GRPC_TIMEOUT: &str = "grpc-timeout";
/// How long a call may take, its message included, when its caller would wait longer.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// When a call has to be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The deadline of a call that comes in now: what its headers say, at most 60 seconds from now. A malformed
    /// value is ignored, as tonic ignores it.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let timeout = headers.get(GRPC_TIMEOUT).and_then(timeout);
        Self(Instant::now() + timeout.map_or(MAX_TIMEOUT, |timeout| timeout.min(MAX_TIMEOUT)))
    }

    /// Waits for an answer until the deadline, and answers DEADLINE_EXCEEDED then. The clock is read each time before the answer
    /// is worked on, so that nothing begins late: not even the call itself, if the deadline was over when it came.
    pub(crate) async fn bound(self, answer: impl Future<Output = Response>) -> Response {
        let mut answer = pin!(answer);
        let mut passed = pin!(sleep_until(self.0));
        let answer = poll_fn(|context| {
            if Instant::now() >= self.0 {
                return Poll::Ready(None);
            }
            match answer.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending => passed.as_mut().poll(context).map(|()| None),
            }
        });
        answer.await.unwrap_or_else(|| Status::deadline_exceeded("the call's deadline has passed").into_http())
    }
}

/// As middleware, for calls that nothing else goes around.
pub(crate) async fn bound(request: Request, next: Next) -> Response {
    Deadline::of(request.headers()).bound(next.run(request)).await
}

/// Reads one to eight digits and a unit, [as gRPC has it](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
fn timeout(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(count * 60 * 60)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tonic::Code;

    use super::*;

    fn read(value: &[u8]) -> Option<Duration> {
        timeout(&HeaderValue::from_bytes(value).unwrap())
    }

    #[test]
    fn every_unit() {
        assert_eq!(read(b"3H"), Some(Duration::from_secs(3 * 60 * 60)));
        assert_eq!(read(b"3M"), Some(Duration::from_secs(3 * 60)));
        assert_eq!(read(b"3S"), Some(Duration::from_secs(3)));
        assert_eq!(read(b"3m"), Some(Duration::from_millis(3)));
        assert_eq!(read(b"3u"), Some(Duration::from_micros(3)));
        assert_eq!(read(b"3n"), Some(Duration::from_nanos(3)));
        assert_eq!(read(b"0n"), Some(Duration::ZERO));
        assert_eq!(read(b"00000001S"), Some(Duration::from_secs(1)));
        assert_eq!(read(b"99999999H"), Some(Duration::from_secs(99_999_999 * 60 * 60)));
    }

    #[test]
    fn what_is_no_timeout() {
        let wrong: [&[u8]; 11] =
            [b"", b"S", b"1", b"1s", b"1 S", b"+1S", b"-1S", b"1.5S", b"100000000n", b"\xb2S", b"1\xb5"];
        for value in wrong {
            assert_eq!(read(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_call_has_a_minute_at_most() {
        let left = |value: &'static str| {
            let headers = HeaderMap::from_iter([(GRPC_TIMEOUT.parse().unwrap(), HeaderValue::from_static(value))]);
            let before = Instant::now();
            let Deadline(deadline) = Deadline::of(&headers);
            assert!(deadline <= Instant::now() + MAX_TIMEOUT);
            deadline - before
        };
        assert!(left("0n") < MAX_TIMEOUT && left("50S") < MAX_TIMEOUT);
        for value in ["60S", "61S", "99999999H", "malformed"] {
            assert!(left(value) >= MAX_TIMEOUT, "{value}");
        }
        assert!(Deadline::of(&HeaderMap::new()).0 > Instant::now() + Duration::from_secs(50));
    }

    #[tokio::test]
    async fn a_call_is_answered_until_its_deadline_and_not_begun_after_it() {
        let answer = async |timeout| {
            let begun = AtomicBool::new(false);
            let answer = Deadline(Instant::now() + timeout).bound(async {
                begun.store(true, Ordering::Relaxed);
                Response::default()
            });
            let status = Status::from_header_map(answer.await.headers());
            (status.map(|status| status.code()), begun.into_inner())
        };
        assert_eq!(answer(MAX_TIMEOUT).await, (None, true));
        assert_eq!(answer(Duration::ZERO).await, (Some(Code::DeadlineExceeded), false));
    }

    /// One that could go on only after its deadline, as with a connection to the database, does not.
    #[tokio::test]
    async fn nothing_goes_on_after_the_deadline() {
        let went_on = AtomicBool::new(false);
        let answer = Deadline(Instant::now() + Duration::from_millis(5)).bound(async {
            std::thread::sleep(Duration::from_millis(10));
            tokio::task::yield_now().await;
            went_on.store(true, Ordering::Relaxed);
            Response::default()
        });
        let status = Status::from_header_map(answer.await.headers()).unwrap();
        assert_eq!((status.code(), went_on.into_inner()), (Code::DeadlineExceeded, false));
    }
}
