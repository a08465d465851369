//! What a walk promises: whatever is recorded meanwhile, a use that was there is seen exactly once.
use std::{cell::Cell, collections::HashSet};

use crate::support::{Client, ORDERS, at, by, list_in, named, record_in, start, walk_in};
use futures_util::TryStreamExt;
use pagination::walk;
use quire_proto::{
    meter::v1::{ListUsageRequest, UsageRecord},
    pagination::v1::PageRequest,
};
use tokio::sync::{mpsc, oneshot};

/// Where a walk stands: the last record of a page, and whom to tell that the records around it are there.
type Step = (UsageRecord, oneshot::Sender<()>);

/// Records uses at the time of the one that each page ended with, right before and right behind it, and at both ends.
/// Gives how many.
async fn write(client: Client, workspace: &'static str, order_by: &str, mut steps: mpsc::Receiver<Step>) -> usize {
    let mut written = 0;
    while let Some((last, done)) = steps.recv().await {
        let seconds = last.occur_time.unwrap().seconds - at(0).unwrap().seconds;
        let times = [seconds - 1, seconds, seconds + 1, -1_000, 1_000_000];
        let new = times.map(|seconds| UsageRecord {
            occur_time: at(seconds),
            ..named(format!("new in {order_by} {written} at {seconds}"))
        });
        written += record_in(&client, workspace, &new).await.unwrap().0 as usize;
        // Nobody waits for every other step.
        let _ = done.send(());
    }
    written
}

async fn assert_walk(client: Client, workspace: &'static str, order_by: &'static str) {
    let before = walk_in(&client, workspace, &by(order_by), 200).await;
    let (steps, received) = mpsc::channel::<Step>(1);
    let writer = tokio::spawn(write(client.clone(), workspace, order_by, received));

    let pages = Cell::new(0);
    let seen = walk(PageRequest { page_size: 100, ..Default::default() }, |page| {
        let (client, steps, place) = (client.clone(), steps.clone(), pages.replace(pages.get() + 1));
        async move {
            assert!(place < 1_000, "the walk does not end");
            let request = ListUsageRequest { page: Some(page), ..by(order_by) };
            let (records, page) = list_in(&client, workspace, &request).await?;
            if let Some(last) = records.last() {
                let (done, is_done) = oneshot::channel();
                steps.send((last.clone(), done)).await.unwrap();
                // Half of the records are there when the next page is read, and half are written beside it.
                if place % 2 == 0 {
                    is_done.await.unwrap();
                }
            }
            Ok((records, Some(page)))
        }
    });
    let seen: Vec<UsageRecord> = seen.try_collect().await.unwrap();
    drop(steps);
    let written = writer.await.unwrap();

    assert!(pages.get() >= 30 && written >= 150, "the writer was at it throughout");
    let ids: HashSet<_> = before.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(
        seen.iter().filter(|record| ids.contains(record.id.as_str())).collect::<Vec<_>>(),
        before.iter().collect::<Vec<_>>()
    );
    // No use at all comes twice, and some of the new ones come.
    let seen_ids: HashSet<_> = seen.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(seen_ids.len(), seen.len());
    assert!(
        (before.len()..before.len() + written).contains(&seen.len()),
        "{} of {written} new",
        seen.len() - before.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_is_seen_exactly_once_whatever_is_recorded_meanwhile() {
    let (_platform, client) = start().await;
    // Three at a time, of which a page may end with any.
    let records: Vec<_> = (0..3_000_i64)
        .map(|place| UsageRecord { occur_time: at(place * 7_919 % 1_000), ..named(place.to_string()) })
        .collect();
    for workspace in ["ours", "theirs"] {
        for records in records.chunks(1_000) {
            record_in(&client, workspace, records).await.unwrap();
        }
    }
    for order_by in ORDERS {
        tokio::join!(assert_walk(client.clone(), "ours", order_by), assert_walk(client.clone(), "theirs", order_by));
    }
}
