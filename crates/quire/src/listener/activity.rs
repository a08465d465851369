use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lasting::Lasting;

/// Counts that a limit was reached.
pub(crate) fn reached(limit: &'static str) {
    metrics::counter!("limits_reached_total", "limit" => limit).increment(1);
}

/// What happens on a connection, as far as its limits depend on it.
#[derive(Debug)]
pub(crate) struct Activity {
    /// From the beginning until the first call.
    pub(crate) silent: Lasting,
    /// While no call is in flight.
    pub(crate) idle: Lasting,
    /// While the socket takes no bytes although some wait to be written.
    pub(crate) blocked: Lasting,
    /// Cancelled to close the connection at once.
    pub(crate) closing: CancellationToken,
    calls: Mutex<usize>,
    /// When the client last took a piece of an answer.
    take_time: Mutex<Instant>,
}

impl Activity {
    /// The activity of a connection that begins now.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            silent: Lasting::begun(),
            idle: Lasting::begun(),
            blocked: Lasting::default(),
            closing: CancellationToken::new(),
            calls: Mutex::new(0),
            take_time: Mutex::new(Instant::now()),
        })
    }

    /// Begins a call, which ends when the returned value is dropped.
    pub(crate) fn call(self: &Arc<Self>) -> Call {
        let mut calls = lock(&self.calls);
        *calls += 1;
        self.silent.end();
        self.idle.end();
        drop(calls);
        Call(self.clone())
    }

    /// Ends a call whose answer is not taken: the caller drops the call. If the client has taken nothing of any answer
    /// for this time, its connection is closed.
    pub(crate) fn stalled(&self, timeout: Duration) {
        let took = *lock(&self.take_time);
        if took.elapsed() >= timeout {
            self.closing.cancel();
        }
    }
}

/// A call in flight, until its answer has been handed over.
#[derive(Debug)]
pub(crate) struct Call(Arc<Activity>);

impl Call {
    /// The client has taken a piece of the answer.
    pub(crate) fn is_taken(&self) {
        *lock(&self.0.take_time) = Instant::now();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut calls = lock(&self.0.calls);
        *calls -= 1;
        if *calls == 0 {
            self.0.idle.begin();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
