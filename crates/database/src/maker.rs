//! How a pool's connections are made: by one task, one at a time, for as long as somebody waits for one.

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

/// How long no connection is made after one could not be.
const PAUSE: Duration = Duration::from_millis(100);

impl Pool {
    /// Has connections made, where somebody waits and there may be more. The pool must not be locked: a runtime that shuts
    /// down drops the task at once.
    pub(crate) fn start_maker(self: &Arc<Self>) {
        let maker = {
            let mut state = self.lock();
            if state.making || !self.may_make(&state) {
                return;
            }
            state.making = true;
            Maker { pool: Arc::clone(self), ended: false }
        };
        // Without a runtime nobody waits either.
        if let Ok(tokio) = Handle::try_current() {
            tokio.spawn(maker.run());
        }
    }

    fn may_make(&self, state: &State) -> bool {
        !state.closed && !state.waiters.is_empty() && state.open < self.max_connections
    }
}

/// Makes connections. There is one at a time.
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
                    self.pool.lock().open += 1;
                    self.pool.give_back(Pooled::new(&self.pool, made, generation));
                }
                Err(error) => self.pool.refused(&error, generation),
            }
        }
    }

    /// How the next connection is made; nothing when none is wanted. The task ends under the same lock, so that a caller who
    /// begins to wait after that starts another.
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
    /// Where connections are open, those who wait get one of them. With none open, a server that is full is tried again
    /// until their time is up, and after any other error they are told at once.
    fn refused(&self, error: &sqlx::Error, generation: u64) {
        tracing::debug!(%error, "cannot open a connection");
        let mut state = self.lock();
        if state.generation != generation {
            return;
        }
        state.make_at = Instant::now() + PAUSE;
        if state.open > 0 {
            return;
        }
        if is_full(error) {
            drop(state);
            // It may have the only place.
            self.reserved.close();
            return;
        }
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        for waiter in waiters.into_values() {
            // Who has gone meanwhile is not told.
            drop(waiter.send(Err(unreachable(error))));
        }
    }
}
