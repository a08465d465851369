//! A running statement, and what happens to it when its caller leaves.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    runtime::Handle,
    time::{error::Elapsed, timeout},
};

use tracing::Instrument;

use crate::pool::{Pool, Pooled};

/// How long a statement may run without its caller before it is cancelled, and then before each further cancel.
const GRACE: Duration = Duration::from_millis(100);
/// How long cancelling may take: getting the reserved connection, and its response.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);
/// How often a statement is cancelled before its connection is closed. A transaction may continue with its next
/// statement.
const MAX_CANCELS: u32 = 50;

/// A statement or transaction that owns its connection. It returns the connection with the outcome, if the connection
/// can be reused.
type Work<T> = BoxFuture<'static, (Option<Pooled>, T)>;

/// A statement or transaction that its caller waits for. The caller polls it in place, so it costs no task and wakes no
/// other thread. If the caller drops it, a task takes it over: it may run for a while, and is then cancelled.
///
/// Its connection is given back when the statement has ended and each cancel that was sent has been answered. Postgres
/// ignores a cancel that arrives between two statements, so no cancel hits the next statement.
#[must_use]
pub(crate) struct Running<T: Send + 'static> {
    /// `None` after it has ended.
    work: Option<Work<T>>,
    pool: Arc<Pool>,
    pid: i32,
    generation: u64,
}

impl<T: Send + 'static> Running<T> {
    pub(crate) fn new<F>(pool: &Arc<Pool>, pooled: Pooled, work: impl FnOnce(Pooled) -> F) -> Self
    where
        F: Future<Output = (Option<Pooled>, T)> + Send + 'static,
    {
        let Pooled { pid, generation, .. } = pooled;
        Self { work: Some(Box::pin(work(pooled))), pool: Arc::clone(pool), pid, generation }
    }
}

impl<T: Send + 'static> Future for Running<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let (pooled, output) = ready!(work.as_mut().poll(context));
        self.work = None;
        if let Some(pooled) = pooled {
            self.pool.give_back(pooled);
        }
        Poll::Ready(output)
    }
}

impl<T: Send + 'static> Drop for Running<T> {
    fn drop(&mut self) {
        // Without a runtime, dropping the work closes its connection.
        if let Some(work) = self.work.take()
            && let Ok(tokio) = Handle::try_current()
        {
            tokio.spawn(finish(work, Arc::clone(&self.pool), self.pid, self.generation).in_current_span());
        }
    }
}

/// Runs a statement to its end. Returning early closes its connection.
async fn finish<T: Send + 'static>(mut work: Work<T>, pool: Arc<Pool>, pid: i32, generation: u64) {
    for _ in 0..MAX_CANCELS {
        let ended = match timeout(GRACE, &mut work).await {
            Ok(ended) => Some(ended),
            // The connection is not used again, and the process id may belong to another server.
            Err(Elapsed { .. }) if pool.lock().generation != generation => return,
            Err(Elapsed { .. }) => match timeout(CANCEL_LIMIT, cancel(&mut work, &pool, pid, generation)).await {
                Ok(Ok(ended)) => ended,
                Ok(Err(_)) | Err(Elapsed { .. }) => {
                    tracing::debug!(pid, "a statement could not be cancelled; its connection is closed");
                    return;
                }
            },
        };
        if let Some((pooled, _)) = ended {
            if let Some(pooled) = pooled {
                pool.give_back(pooled);
            }
            return;
        }
    }
}

/// Cancels a statement, unless it ends before the cancel is sent.
async fn cancel<T>(
    work: &mut Work<T>,
    pool: &Pool,
    pid: i32,
    generation: u64,
) -> sqlx::Result<Option<(Option<Pooled>, T)>> {
    let mut reserved = tokio::select! {
        biased;
        ended = work => return Ok(Some(ended)),
        reserved = pool.reserved.lock() => reserved,
    };
    reserved.cancel(pool, pid, generation).await?;
    Ok(None)
}
