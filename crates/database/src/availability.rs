use std::time::Duration;

use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, error::Elapsed, sleep, timeout},
};

use crate::{Database, connect::is_full, pool::WAIT_LIMIT};

/// The interval between two checks of the database.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long a check may take, including a new connection. Interval and limit together are shorter than a caller's wait
/// for a connection. So the callers of a database that hangs are told that it is unavailable, not that it is at its
/// limit.
const LIMIT: Duration = Duration::from_millis(700);
const _: () = assert!(INTERVAL.as_millis() + LIMIT.as_millis() < WAIT_LIMIT.as_millis());
/// How long a check waits for a connection to open before it looks again for another one.
const TURN: Duration = Duration::from_millis(50);
/// The pause between two attempts to open the reserved connection, so that a full server is not asked all the time.
const RESERVE_PAUSE: Duration = Duration::from_secs(1);
/// How long Postgres may need to free the place of a connection that was closed.
const CLOSING: Duration = Duration::from_millis(100);

/// Whether the database answers. While it does not, refuse all calls, including those in flight: a database that hangs,
/// unlike one that refuses connections, would hold each of them.
///
/// Checks use the connections of statements: an idle one, or a new one if none is open. While all are in use, checks
/// use the reserved connection, because a busy database is not gone.
#[derive(Debug, Clone)]
pub struct Availability(watch::Receiver<bool>, AbortHandle);

impl Availability {
    /// Watches this database until [`Availability::end`], or until the last clone of this value is dropped. The database
    /// counts as available until a check fails.
    pub fn watch(database: Database) -> Self {
        let (sender, receiver) = watch::channel(true);
        let watcher = tokio::spawn(async move {
            let mut reserve_at = Instant::now();
            while !sender.is_closed() {
                let answers = database.answers().await;
                let changed = sender.send_if_modified(|known| std::mem::replace(known, answers) != answers);
                match (changed, answers) {
                    (true, true) => tracing::info!("the database answers again"),
                    (true, false) => {
                        tracing::error!("the database does not answer; calls are UNAVAILABLE until it does")
                    }
                    (false, _) => {}
                }
                if answers && !database.has_reserved() && reserve_at <= Instant::now() {
                    reserve_at = Instant::now() + RESERVE_PAUSE;
                    // Not awaited, so that it does not delay the next check if the database hangs just now.
                    tokio::spawn(database.clone().reserve());
                }
                sleep(INTERVAL).await;
            }
        });
        Self(receiver, watcher.abort_handle())
    }

    /// Ends the watching, so that the end of a database that is stopped is not reported as a failure.
    pub fn end(&self) {
        self.1.abort();
    }

    /// Waits until the availability changes, and returns the new value. Never returns after the watcher has ended.
    pub async fn changed(&mut self) -> bool {
        match self.0.changed().await {
            Ok(()) => *self.0.borrow(),
            Err(watch::error::RecvError { .. }) => std::future::pending().await,
        }
    }

    /// Whether the database answers.
    pub fn is_available(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the database does not answer. Returns at once if it does not answer now, and never after the watcher
    /// has ended.
    pub async fn lost(&mut self) {
        if self.0.wait_for(|is_available| !is_available).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Database {
    /// Checks the database once. If it is gone or hangs, drops its connections: they do not survive a restart.
    async fn answers(&self) -> bool {
        let error: Box<dyn std::error::Error> = match timeout(LIMIT, self.ask()).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => Box::new(error),
            Err(error @ Elapsed { .. }) => Box::new(error),
        };
        tracing::debug!(%error, "the database does not answer");
        self.forget_connections();
        false
    }

    async fn ask(&self) -> sqlx::Result<()> {
        loop {
            if let Some(pooled) = self.pool.take_idle() {
                // A dead connection does not prove that the database is gone: a restart that is over leaves some too.
                if let Some(pooled) = pooled.pinged(LIMIT).await {
                    self.pool.give_back(pooled);
                    return Ok(());
                }
            } else if self.pool.lock().open > 0 {
                return self.ask_reserved().await;
            } else if let Ok(pooled) = timeout(TURN, self.pool.acquire()).await {
                self.pool.give_back(pooled?);
                return Ok(());
            }
        }
    }

    async fn ask_reserved(&self) -> sqlx::Result<()> {
        match self.pool.reserved.lock().await.ping(&self.pool).await {
            // A server that refuses this connection is alive. It may have given its places to others.
            Err(error) if is_full(&error) || error.as_database_error().is_some() => Ok(()),
            answer => answer,
        }
    }

    fn has_reserved(&self) -> bool {
        let generation = self.pool.lock().generation;
        self.pool.reserved.is_open(generation)
    }

    async fn reserve(self) {
        match timeout(LIMIT, self.make_reserved()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "cannot open the reserved connection"),
            Err(error @ Elapsed { .. }) => tracing::debug!(%error, "cannot open the reserved connection"),
        }
    }

    /// Opens the reserved connection. If the server has no place for it, closes a connection of the pool.
    async fn make_reserved(&self) -> sqlx::Result<()> {
        let mut made = self.pool.reserved.lock().await.ping(&self.pool).await;
        if made.as_ref().is_err_and(is_full) && self.pool.give_up_place() {
            while made.as_ref().is_err_and(is_full) {
                sleep(CLOSING).await;
                made = self.pool.reserved.lock().await.ping(&self.pool).await;
            }
        }
        made
    }
}
