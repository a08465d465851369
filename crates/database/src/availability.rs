use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, error::Elapsed, sleep, timeout},
};

use crate::{Database, connect::is_full, pool::WAIT_LIMIT};

/// How often the database is asked whether it answers.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long its answer may take, a new connection included. With the interval, less than a caller waits for a connection:
/// callers that wait behind those that hang are told that the database is gone, and not that it is at its limit.
const LIMIT: Duration = Duration::from_millis(700);
const _: () = assert!(INTERVAL.as_millis() + LIMIT.as_millis() < WAIT_LIMIT.as_millis());
/// How long a connection is waited for before it is looked again whether there are others that answer.
const TURN: Duration = Duration::from_millis(50);
/// How long the reserved connection is not made after it was tried, so that a server that is full is not asked all the time.
const RESERVE_PAUSE: Duration = Duration::from_secs(1);
/// How long Postgres may need to give the place of a connection that was closed to another.
const CLOSING: Duration = Duration::from_millis(100);

/// Whether the database answers. Calls are to be refused while it does not, those in flight included: a database that hangs,
/// unlike one that refuses, would otherwise hold each of them.
///
/// The database is asked over the connections that statements have: an idle one, or a new one where none is open. While all
/// are in use, the reserved connection is asked, since a busy database is not gone.
#[derive(Debug, Clone)]
pub struct Availability(watch::Receiver<bool>);

impl Availability {
    /// Watches this database for as long as anybody asks. It is taken to answer until it is found not to.
    pub fn watch(database: Database) -> Self {
        let (sender, receiver) = watch::channel(true);
        tokio::spawn(async move {
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
                    // Not waited for, so that a database which hangs just then is found as soon as at any other time.
                    tokio::spawn(database.clone().reserve());
                }
                sleep(INTERVAL).await;
            }
        });
        Self(receiver)
    }

    /// Waits until it answers no more, or again, and tells which. Never ends once nobody watches.
    pub async fn changed(&mut self) -> bool {
        match self.0.changed().await {
            Ok(()) => *self.0.borrow(),
            Err(watch::error::RecvError { .. }) => std::future::pending().await,
        }
    }

    /// Whether it answers.
    pub fn is_available(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it does not answer, at once if that is so. Never ends once nobody watches.
    pub async fn lost(&mut self) {
        if self.0.wait_for(|is_available| !is_available).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Database {
    /// Whether it answers. One that is gone or hangs loses its connections: a server that comes back comes without them.
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
                // Where it has died, others may have, which a restart that is over already does too.
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
            // A live server that has no place for this connection has given its places to others.
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

    /// Makes the reserved connection. Where the server has no place for it, one of the pool's gives up its own.
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
