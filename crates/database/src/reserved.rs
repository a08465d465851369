//! One connection that runs no statement of a caller. It cancels statements, and tells a busy database from one that is
//! gone.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use crate::{connect::connect, pool::Pool};

/// How long it may take to answer before it is opened again.
const PING_LIMIT: Duration = Duration::from_millis(300);

/// The place of the reserved connection, which is opened when needed.
#[derive(Default)]
pub(crate) struct Reserved(Mutex<Option<Open>>);

struct Open {
    connection: PgConnection,
    generation: u64,
}

impl Reserved {
    /// Waits until nothing else uses it.
    pub(crate) async fn lock(&self) -> Slot<'_> {
        Slot(self.0.lock().await)
    }

    /// Whether a connection of this generation is open. True while it is in use, when its generation is unknown.
    pub(crate) fn is_open(&self, generation: u64) -> bool {
        let Ok(slot) = self.0.try_lock() else { return true };
        slot.as_ref().is_some_and(|open| open.generation == generation)
    }

    /// Closes it if it is idle. If it is in use, it is not put back once the pool has a new generation.
    pub(crate) fn close(&self) {
        if let Ok(mut slot) = self.0.try_lock() {
            *slot = None;
        }
    }
}

pub(crate) struct Slot<'p>(MutexGuard<'p, Option<Open>>);

impl Slot<'_> {
    /// Pings the connection, and opens a new one if it does not answer or none is open.
    pub(crate) async fn ping(&mut self, pool: &Pool) -> sqlx::Result<()> {
        let open = self.open(pool).await?;
        self.put_back(open, pool);
        Ok(())
    }

    /// Cancels the statement of this process, which serves a connection of this generation.
    pub(crate) async fn cancel(&mut self, pool: &Pool, pid: i32, generation: u64) -> sqlx::Result<()> {
        let mut open = self.open(pool).await?;
        // On another server, this process id belongs to another process.
        if open.generation != generation {
            self.put_back(open, pool);
            return Err(sqlx::Error::PoolClosed);
        }
        sqlx::query("select pg_cancel_backend($1)").bind(pid).execute(&mut open.connection).await?;
        self.put_back(open, pool);
        Ok(())
    }

    /// Takes the connection out, so that it is not used again if the caller stops before its response arrives.
    async fn open(&mut self, pool: &Pool) -> sqlx::Result<Open> {
        let (options, generation, closed) = {
            let state = pool.lock();
            (state.options.clone(), state.generation, state.closed)
        };
        if closed {
            return Err(sqlx::Error::PoolClosed);
        }
        if let Some(mut open) = self.0.take()
            && open.generation == generation
            && let Ok(Ok(_)) = timeout(PING_LIMIT, pool.readings.ask(&mut open.connection)).await
        {
            return Ok(open);
        }
        let (connection, _) = connect(&options).await?;
        Ok(Open { connection, generation })
    }

    fn put_back(&mut self, open: Open, pool: &Pool) {
        if pool.lock().generation == open.generation {
            *self.0 = Some(open);
        }
    }
}
