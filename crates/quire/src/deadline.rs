//! The deadline of a call, as gRPC carries it.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use axum::{http::HeaderMap, response::Response};
use client::grpc_timeout;
use metrics::counter;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

/// The header with the caller's timeout.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The time by which a call must be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    time: Instant,
    /// Whether the caller has set it.
    is_given: bool,
}

impl Deadline {
    /// The deadline of a call that arrives now: now plus the timeout in its headers, at most `most`. `None` if the timeout is
    /// malformed.
    pub(crate) fn of(headers: &HeaderMap, most: Duration) -> Option<Self> {
        let given = match headers.get(GRPC_TIMEOUT) {
            Some(value) => Some(grpc_timeout(value)?).filter(|timeout| *timeout < most),
            None => None,
        };
        Some(Self { time: Instant::now() + given.unwrap_or(most), is_given: given.is_some() })
    }

    /// Waits for the answer until the deadline, and then answers DEADLINE_EXCEEDED. The clock is read before each poll
    /// of the answer, so that no work starts after the deadline: not even the call itself, if it arrives too late.
    pub(crate) async fn bound(self, answer: impl Future<Output = Response>) -> Response {
        let mut answer = pin!(answer);
        let mut passed = pin!(sleep_until(self.time));
        let answer = poll_fn(|context| {
            if Instant::now() >= self.time {
                return Poll::Ready(None);
            }
            match answer.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending => passed.as_mut().poll(context).map(|()| None),
            }
        });
        answer.await.unwrap_or_else(|| {
            if !self.is_given {
                counter!("limits_reached_total", "limit" => "call_timeout").increment(1);
            }
            Status::deadline_exceeded("the call's deadline has passed").into_http()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::http::HeaderValue;
    use tonic::Code;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn read(value: &[u8]) -> Option<Duration> {
        grpc_timeout(&HeaderValue::from_bytes(value).unwrap())
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
    fn malformed_timeouts_are_refused() {
        let wrong: [&[u8]; 11] =
            [b"", b"S", b"1", b"1s", b"1 S", b"+1S", b"-1S", b"1.5S", b"100000000n", b"\xb2S", b"1\xb5"];
        for value in wrong {
            assert_eq!(read(value), None, "{value:?}");
            let value = HeaderValue::from_bytes(value).unwrap();
            let headers = HeaderMap::from_iter([(GRPC_TIMEOUT.parse().unwrap(), value)]);
            assert!(Deadline::of(&headers, MINUTE).is_none());
        }
    }

    #[test]
    fn a_timeout_is_at_most_a_minute() {
        let left = |value: &'static str| {
            let headers = HeaderMap::from_iter([(GRPC_TIMEOUT.parse().unwrap(), HeaderValue::from_static(value))]);
            let before = Instant::now();
            let deadline = Deadline::of(&headers, MINUTE).unwrap();
            assert!(deadline.time <= Instant::now() + MINUTE);
            assert_eq!(deadline.is_given, deadline.time < before + MINUTE);
            deadline.time - before
        };
        assert!(left("0n") < MINUTE && left("50S") < MINUTE);
        for value in ["60S", "61S", "99999999H"] {
            assert!(left(value) >= MINUTE, "{value}");
        }
        assert!(Deadline::of(&HeaderMap::new(), MINUTE).unwrap().time > Instant::now() + Duration::from_secs(50));
    }

    #[tokio::test]
    async fn a_call_is_not_started_after_its_deadline() {
        let answer = async |timeout| {
            let begun = AtomicBool::new(false);
            let answer = Deadline { time: Instant::now() + timeout, is_given: true }.bound(async {
                begun.store(true, Ordering::Relaxed);
                Response::default()
            });
            let status = Status::from_header_map(answer.await.headers());
            (status.map(|status| status.code()), begun.into_inner())
        };
        assert_eq!(answer(MINUTE).await, (None, true));
        assert_eq!(answer(Duration::ZERO).await, (Some(Code::DeadlineExceeded), false));
    }

    /// An answer that becomes ready to continue after the deadline, as when it gets a database connection late, is not
    /// polled again.
    #[tokio::test]
    async fn nothing_goes_on_after_the_deadline() {
        let went_on = AtomicBool::new(false);
        let answer = Deadline { time: Instant::now() + Duration::from_millis(5), is_given: false }.bound(async {
            std::thread::sleep(Duration::from_millis(10));
            tokio::task::yield_now().await;
            went_on.store(true, Ordering::Relaxed);
            Response::default()
        });
        let status = Status::from_header_map(answer.await.headers()).unwrap();
        assert_eq!((status.code(), went_on.into_inner()), (Code::DeadlineExceeded, false));
    }
}
