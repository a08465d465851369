//! Opens a pool's connections. One task opens one connection at a time, as long as a caller waits for one.

use std::{sync::Arc, time::Duration};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use crate::{
    connect::{connect, is_full, unreachable},
    pool::{Pool, Pooled, State},
};

/// How long no connection is opened after an attempt failed.
const PAUSE: Duration = Duration::from_millis(100);

impl Pool {
    /// Starts opening connections if a caller waits and another connection is allowed. The caller must not hold the
    /// lock: a runtime that shuts down drops the task at once, and dropping it takes the lock.
    pub(crate) fn start_maker(self: &Arc<Self>) {
        let maker = {
            let mut state = self.lock();
            if state.making || !self.may_make(&state) {
                return;
            }
            state.making = true;
            Maker { pool: Arc::clone(self), ended: false }
        };
        // Without a runtime, no caller waits either.
        if let Ok(tokio) = Handle::try_current() {
            tokio.spawn(maker.run());
        }
    }

    fn may_make(&self, state: &State) -> bool {
        !state.closed && state.queue.has_waiters() && state.open < self.max_connections
    }
}

/// Opens connections. A pool has at most one at a time.
struct Maker {
    pool: Arc<Pool>,
    ended: bool,
}

impl Drop for Maker {
    fn drop(&mut self) {
        if !self.ended {
            self.pool.lock().making = false;
        }
    }
}

impl Maker {
    async fn run(mut self) {
        loop {
            let make_at = self.pool.lock().make_at;
            if make_at > Instant::now() {
                sleep_until(make_at).await;
            }
            let Some((options, generation)) = self.next() else { return };
            match connect(&options).await {
                Ok(made) => {
                    self.pool.opened();
                    self.pool.give_back(Pooled::new(&self.pool, made, generation));
                }
                Err(error) => self.pool.refused(&error, generation),
            }
        }
    }

    /// The options and the generation of the next connection; `None` if none is needed. In that case the task ends
    /// under the same lock, so that a caller that begins to wait later starts a new one.
    fn next(&mut self) -> Option<(PgConnectOptions, u64)> {
        let mut state = self.pool.lock();
        if self.pool.may_make(&state) {
            return Some((state.options.clone(), state.generation));
        }
        state.making = false;
        self.ended = true;
        None
    }
}

impl Pool {
    fn opened(&self) {
        let mut state = self.lock();
        state.open += 1;
        let open = state.open;
        state.queue.is_open(open);
    }

    /// Handles a failed attempt. If connections are open, waiting callers get one of them. If none is open, a full
    /// server is tried again until the callers time out, and any other error is reported to them at once.
    fn refused(&self, error: &sqlx::Error, generation: u64) {
        tracing::debug!(%error, "cannot open a connection");
        let mut state = self.lock();
        if state.generation != generation {
            return;
        }
        state.make_at = Instant::now() + PAUSE;
        let open = state.open;
        if is_full(error) {
            state.queue.is_full(open);
        }
        if open > 0 {
            return;
        }
        if is_full(error) {
            drop(state);
            // The reserved connection may have the only place.
            self.reserved.close();
            return;
        }
        let waiters = state.queue.leave_all();
        drop(state);
        for waiter in waiters {
            // A caller that has left is not told.
            drop(waiter.send(Err(unreachable(error))));
        }
    }
}
