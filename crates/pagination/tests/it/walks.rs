//! A client's walk through the pages of a server that has every trouble.
mod server;

use std::{
    collections::HashSet,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt};
use pagination::{
    Checkpoint, Retry, Walk, WalkError, WalkErrorKind,
    proto::{PageRequest, TotalCount},
};
use proptest::{collection::vec, prelude::*};
use tonic::{Code, Status, TimeoutExpired};

use self::server::{Server, Step};

/// Walks to the end. After an error it resumes at the checkpoint, which it writes as text and reads again.
async fn walk_on(walk: impl Fn() -> Walk<u32>, server: &Server) -> (Vec<u32>, Vec<WalkErrorKind>) {
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    let mut now = walk();
    loop {
        match now.next().await {
            Some(Ok(row)) => {
                rows.push(row);
                server.is_not_ahead_of(rows.len());
            }
            Some(Err(WalkError { kind, checkpoint })) => {
                assert_eq!(now.checkpoint(), checkpoint);
                assert!(now.next().await.is_none(), "an error ends the stream");
                errors.push(kind);
                assert!(errors.len() < 100, "the walk does not end");
                server.is_resumed();
                now = walk().resume(checkpoint.to_string().parse().unwrap());
            }
            None => return (rows, errors),
        }
    }
}

/// Its time passes at once.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let codes = (0..=16).prop_map(Code::from);
    let delays = prop::option::of((0_u64..30).prop_map(Duration::from_secs));
    let step = prop_oneof![
        4 => Just(Step::Answer),
        2 => (0_usize..4).prop_map(Step::Short),
        2 => (codes, delays).prop_map(|(code, delay)| Step::Fail(code, delay)),
        1 => Just(Step::Break),
        2 => (0_i32..12, any::<bool>()).prop_map(|(most, is_clear)| Step::TooLarge(most, is_clear)),
        1 => (0_u64..100).prop_map(|seconds| Step::Slow(Duration::from_secs(seconds))),
    ];
    vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the server does, the rows come in order, each once.
    #[test]
    fn every_row_comes_once_and_in_order(
        steps in steps(), rows in 0_u32..60, page_size in 1_u32..20, is_prefetching: bool, is_backward: bool,
    ) {
        let server = Server::new(rows, steps);
        let walk = || {
            let walk = server.walk().page_size(page_size).prefetch(is_prefetching);
            if is_backward { walk.page(PageRequest { page_token: server.end(), ..Default::default() }).backward() } else { walk }
        };
        let (walked, _) = runtime().block_on(walk_on(walk, &server));
        let mut expected: Vec<u32> = (0..rows).collect();
        if is_backward {
            expected.reverse();
        }
        prop_assert_eq!(walked, expected);
    }

    /// A walk that is stopped at any row and resumed gives the next row.
    #[test]
    fn a_walk_resumes_at_any_row(
        steps in steps(), rows in 0_u32..40, page_size in 1_u32..20, stops in vec(0_u64..12, 0..8), limit in 0_u64..50,
    ) {
        let server = Server::new(rows, steps);
        let mut place = Checkpoint::default();
        let mut walked = Vec::new();
        runtime().block_on(async {
            for stop in stops.iter().copied().map(Some).chain([None]) {
                loop {
                    server.is_resumed();
                    let mut walk = server.walk().page_size(page_size).resume(place.clone());
                    let mut left = stop.unwrap_or(u64::MAX);
                    let mut ended = Ok(());
                    while left > 0 && let Some(row) = walk.next().await {
                        match row {
                            Ok(row) => walked.push(row),
                            Err(error) => ended = Err(error),
                        }
                        left -= 1;
                    }
                    place = walk.checkpoint();
                    if ended.is_ok() {
                        break;
                    }
                }
            }
        });
        prop_assert_eq!(walked, (0..rows).collect::<Vec<_>>());

        // A limit is a stop that asks for no more rows than it needs.
        let server = Server::new(rows, Vec::new());
        let limited = runtime().block_on(server.walk().page_size(page_size).limit(limit).try_collect::<Vec<_>>());
        let expected = u64::from(rows).min(limit);
        prop_assert_eq!(limited.unwrap(), (0..expected as u32).collect::<Vec<_>>());
        prop_assert_eq!(server.rows_asked() <= limit, true);
    }

    /// A token that comes twice is an error after the rows of its page, wherever it comes.
    #[test]
    fn a_token_that_comes_twice_is_an_error(pages in 1_usize..8, back_to in 0_usize..8, is_prefetching: bool) {
        let back_to = back_to.min(pages - 1);
        let steps = (0..pages).map(|page| if page == pages - 1 { Step::Repeat(back_to) } else { Step::Answer }).collect();
        let server = Server::new(1_000, steps);
        let walk = server.walk().page_size(3).prefetch(is_prefetching);
        let walked: Vec<_> = runtime().block_on(walk.map_err(|error| error.kind).collect());
        let (last, rows) = walked.split_last().unwrap();
        // The token of the first page is empty, which is the end of a list.
        if back_to == 0 {
            prop_assert_eq!(walked.len(), pages * 3);
        } else {
            prop_assert!(matches!(last, Err(WalkErrorKind::RepeatedPageToken)));
            prop_assert_eq!(rows.iter().map(|row| *row.as_ref().unwrap()).collect::<Vec<_>>(), (0..pages as u32 * 3).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_checkpoint_is_read_back_also_as_a_line(token in "([ -~]*[!-~])?", given: u64, is_backward: bool) {
        let checkpoint = Checkpoint { page_token: token, given, is_backward };
        let text = checkpoint.to_string();
        for text in [text.clone(), format!("{text}\r\n"), text.trim().to_owned()] {
            prop_assert_eq!(text.parse(), Ok(checkpoint.clone()));
        }
    }

    #[test]
    fn other_texts_are_no_checkpoints(text in "[a-z0-9 -]{0,20}") {
        let read = text.parse::<Checkpoint>().map_or(text.clone(), |checkpoint| checkpoint.to_string());
        prop_assert_eq!(read.trim_end(), text.trim_end());
    }
}

async fn all(walk: Walk<u32>) -> Result<Vec<u32>, WalkErrorKind> {
    walk.try_collect().await.map_err(|error| error.kind)
}

fn rows(range: Range<u32>) -> Vec<u32> {
    range.collect()
}

#[tokio::test(start_paused = true)]
async fn skip_and_total_count_are_sent_with_the_first_request_only_and_again_when_it_is_retried() {
    let server = Server::new(10, vec![Step::Fail(Code::Unavailable, None), Step::TooLarge(3, true)]);
    let first = PageRequest { page_size: 4, skip: 2, total_count: TotalCount::Exact.into(), ..Default::default() };
    assert_eq!(all(server.walk().page(first)).await.unwrap(), rows(2..10));
    let sent: Vec<_> = server.requests().iter().map(|page| (page.page_size, page.skip, page.total_count)).collect();
    assert_eq!(sent[..4], [(4, 2, 1), (4, 2, 1), (2, 2, 1), (2, 0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_page_size_that_was_reduced_grows_again() {
    let server = Server::new(100, vec![Step::TooLarge(2, true), Step::TooLarge(2, true)]);
    assert_eq!(all(server.walk().page_size(8)).await.unwrap(), rows(0..100));
    let sizes: Vec<_> = server.requests().iter().map(|page| page.page_size).collect();
    assert_eq!(sizes[..3], [8, 4, 2]);
    assert_eq!(sizes.last(), Some(&8));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_too_large_is_an_error() {
    let too_large = || vec![Step::TooLarge(0, true); 4];
    let error = all(Server::new(10, too_large()).walk().page_size(8)).await.unwrap_err();
    assert!(matches!(error, WalkErrorKind::Call(status) if status.code() == Code::OutOfRange));
    // Also when nothing is retried.
    assert!(all(Server::new(10, too_large()).walk().page_size(8).retry(Retry::NONE)).await.is_err());
    assert!(all(Server::new(10, too_large()).walk().page_size(16).retry(Retry::NONE)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_busy_or_gone_for_a_while_does_no_harm() {
    let busy = Step::Fail(Code::ResourceExhausted, Some(Duration::from_secs(2)));
    let server = Server::new(10, vec![Step::Break, Step::Fail(Code::Unavailable, None), busy]);
    assert_eq!(all(server.walk()).await.unwrap(), rows(0..10));
    // A busy server is asked for as many rows as before.
    assert_eq!(server.requests().iter().map(|page| page.page_size).collect::<Vec<_>>(), [200; 4]);
}

#[tokio::test(start_paused = true)]
async fn retries_end_after_a_number_and_after_a_time() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (delay, calls) in [(None, 6), (seconds(61), 1), (seconds(31), 2)] {
        let server = Server::new(10, vec![Step::Fail(Code::Unavailable, delay); 9]);
        assert!(all(server.walk().prefetch(false)).await.is_err());
        assert_eq!(server.requests().len(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn other_codes_are_retried_on_request() {
    let failing = || vec![Step::Slow(Duration::from_secs(61)), Step::Fail(Code::Aborted, None)];
    let error = all(Server::new(10, failing()).walk()).await.unwrap_err();
    insta::assert_snapshot!(error, @"Deadline expired before operation could complete: the server did not answer within 60s");
    let codes = vec![Code::Aborted, Code::DeadlineExceeded];
    let retry = Retry { codes, max_time: Duration::from_secs(300), ..Retry::default() };
    assert_eq!(all(Server::new(10, failing()).walk().retry(retry)).await.unwrap(), rows(0..10));
}

/// tonic calls it CANCELLED.
#[tokio::test(start_paused = true)]
async fn a_timeout_of_the_channel_is_like_one_of_the_walk() {
    for (retry, expected) in
        [(Retry::default(), 1), (Retry { codes: vec![Code::DeadlineExceeded], ..Retry::default() }, 6)]
    {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let walk = Walk::<u32>::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Err(Status::from_error(Box::new(TimeoutExpired(())))) }
        });
        let error = all(walk.retry(retry)).await.unwrap_err();
        assert!(matches!(error, WalkErrorKind::Call(status) if status.code() == Code::DeadlineExceeded));
        assert_eq!(calls.load(Ordering::Relaxed), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_an_error_of_its_own() {
    let server = Server::new(10, vec![Step::Answer, Step::RefuseToken]);
    let mut walk = server.walk().page_size(3);
    let error = walk.by_ref().try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(&error.kind, WalkErrorKind::PageToken(status) if status.code() == Code::InvalidArgument));
    assert_eq!(error.checkpoint.given, 0);
    assert_eq!(server.requests().len(), 2, "no restart");
    assert_eq!(Status::from(error).code(), Code::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_returns_too_many_rows_does_not_exceed_the_limit() {
    let server = Server::new(20, vec![Step::Long]);
    let mut walk = server.walk().page_size(3).limit(5);
    assert_eq!(walk.by_ref().try_collect::<Vec<_>>().await.unwrap(), rows(0..5));
    assert_eq!(all(server.walk().resume(walk.checkpoint())).await.unwrap(), rows(5..20));
}

#[tokio::test(start_paused = true)]
async fn pages_have_the_tokens_and_the_total_of_the_server() {
    let server = Server::new(5, Vec::new());
    let first = PageRequest { page_size: 2, total_count: TotalCount::Exact.into(), ..Default::default() };
    let mut pages = server.walk().page(first).pages();
    let (mut walked, mut places) = (Vec::new(), HashSet::new());
    while let Some(page) = pages.try_next().await.unwrap() {
        walked.push((page.rows, page.page.total_count));
        assert!(places.insert(pages.checkpoint().to_string()));
    }
    assert_eq!(walked, [(vec![0, 1], Some(5)), (vec![2, 3], None), (vec![4], None)]);
}

/// Dropping a walk ends the call in flight.
#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_for_a_walk_that_was_dropped() {
    let server = Server::new(50, vec![Step::Answer, Step::Slow(Duration::from_secs(5))]);
    let mut walk = server.walk().page_size(2);
    assert_eq!(walk.next().await.unwrap().unwrap(), 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(walk);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((server.requests().len(), server.answered()), (2, 1));
}
