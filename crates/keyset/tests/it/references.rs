//! The references of internal errors, which bound the lines that callers can cause in the log.
use std::{collections::BTreeSet, io, time::Duration};

use keyset::internal_status;

fn reference(error: &str) -> String {
    let status = internal_status(&io::Error::other(error.to_owned()));
    status.message().strip_prefix("internal error; its reference in the log is ").unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_error_has_one_reference_for_a_minute_and_different_errors_are_bounded() {
    let first = reference("a");
    assert_ne!(reference("b"), first);
    assert_eq!(reference("a"), first);
    let all: BTreeSet<_> = (0..1_000).map(|number| reference(&number.to_string())).collect();
    assert!((50..=101).contains(&all.len()), "{}", all.len());
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_ne!(reference("a"), first);
}
