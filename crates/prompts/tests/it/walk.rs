//! What a walk promises: whatever is written meanwhile, a row that stays is seen exactly once.
use platform::testing;
use std::collections::HashSet;

use crate::support::{Client, ORDERS, Row, by, expected, from, list_in, make, named, paged, rows, start};
use futures_util::TryStreamExt;
use pagination::walk;
use quire_proto::{
    pagination::v1::PageRequest,
    prompts::v1::{DeletePromptRequest, Prompt},
};
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};

const ROWS: usize = 10_000;

/// Where a walk stands: the last row of a page, and whom to tell that the writes around it are done.
type Step = (Prompt, oneshot::Sender<()>);

/// Deletes the row that each page ended with and others all over, and makes some, a part of which it deletes again.
/// Gives the ids of those that it deleted and of those that it made.
async fn write(
    client: Client,
    workspace: &'static str,
    doomed: Vec<String>,
    mut steps: mpsc::Receiver<Step>,
) -> (HashSet<String>, HashSet<String>) {
    let (mut deleted, mut made) = (HashSet::new(), HashSet::new());
    let mut doomed = doomed.into_iter();
    while let Some((last, done)) = steps.recv().await {
        // By name, one right before the row and one right behind it; by time, all at the same end.
        let (all_but_last, _) = last.name.split_at(last.name.len() - 1);
        let requests = [named(format!("{all_but_last} {}", last.id)), named(format!("{} {}", last.name, last.id))];
        let new = make(&client, workspace, &requests).await;
        made.extend(new.iter().map(|prompt| prompt.id.clone()));
        let others = [doomed.next(), doomed.next_back(), doomed.next()];
        for id in others.into_iter().flatten().chain([last.id, new[0].id.clone()]) {
            // What the walk ended a page with may have been doomed as well.
            if deleted.insert(id.clone()) {
                client.clone().delete_prompt(from(workspace, DeletePromptRequest { id })).await.unwrap();
            }
        }
        // Nobody waits for every other step.
        let _ = done.send(());
    }
    (deleted, made)
}

async fn assert_walk(client: Client, pool: PgPool, workspace: &'static str, order_by: &str) {
    let before = rows(&pool, workspace).await;
    let doomed = expected(&before, "name", |_| true).into_iter().step_by(64).collect();
    let (steps, received) = mpsc::channel::<Step>(1);
    let writer = tokio::spawn(write(client.clone(), workspace, doomed, received));

    let pages = std::cell::Cell::new(0);
    let seen = walk(PageRequest { page_size: 200, ..Default::default() }, |page| {
        let (client, steps, place) = (client.clone(), steps.clone(), pages.replace(pages.get() + 1));
        async move {
            assert!(place < 1_000, "the walk does not end");
            let page = list_in(&client, workspace, &paged(&by(order_by), page)).await?;
            if let Some(last) = page.prompts.last() {
                let (done, is_done) = oneshot::channel();
                steps.send((last.clone(), done)).await.unwrap();
                // Half of the writes are done when the next page is read, and half run beside it.
                if place % 2 == 0 {
                    is_done.await.unwrap();
                }
            }
            Ok((page.prompts, Some(page.page)))
        }
    });
    let seen: Vec<String> = seen.map_ok(|prompt| prompt.id).try_collect().await.unwrap();
    drop(steps);
    let (deleted, made) = writer.await.unwrap();

    assert!(pages.get() >= 45 && deleted.len() >= 150 && made.len() >= 90, "the writer was at it throughout");
    let stays = |row: &Row| !deleted.contains(&row.id.to_string());
    let kept = expected(&before, order_by, stays);
    let kept_ids: HashSet<_> = kept.iter().collect();
    assert_eq!(seen.iter().filter(|id| kept_ids.contains(id)).collect::<Vec<_>>(), kept.iter().collect::<Vec<_>>());
    // No row at all comes twice, and none from elsewhere.
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len());
    let known = before.iter().map(|row| row.id.to_string()).chain(made).collect::<HashSet<_>>();
    assert!(seen.iter().all(|id| known.contains(id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_is_seen_exactly_once_whatever_is_written_meanwhile() {
    let (platform, client) = start().await;
    let pool = &testing::pool(&platform);
    let requests: Vec<_> = (0..ROWS).map(|place| named(format!("{:05}", place * 7_919 % 10_007))).collect();
    tokio::join!(make(&client, "ours", &requests), make(&client, "theirs", &requests));
    let update = "update prompts set update_time = create_time + ascii(right(name, 1)) % 5 * interval '1 hour'";
    sqlx::query(update).execute(pool).await.unwrap();
    for order_by in ORDERS {
        tokio::join!(
            assert_walk(client.clone(), pool.clone(), "ours", order_by),
            assert_walk(client.clone(), pool.clone(), "theirs", order_by),
        );
    }
}
