use std::{
    io::ErrorKind,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::{
    runtime::Handle,
    sync::oneshot::{self, error::RecvError},
    task::AbortHandle,
    time::{Instant, error::Elapsed, sleep, timeout},
};

use crate::{
    Limits, Tenant,
    clock::Readings,
    connect::{ends_connection, prepared},
    measure,
    queue::{Entry, Queue, Stop},
    reserved::Reserved,
    running::Running,
};

/// How long a caller waits for a connection. Longer than [`Availability`](crate::Availability) needs to find that the
/// database hangs, so that a database that hangs is not reported as one at its limit.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_millis(1_200);
/// The maximum age of a connection, so that Postgres frees the memory that it keeps for each one.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// How long a connection may be idle before it is closed. Firewalls forget one after about five minutes.
const MAX_IDLE: Duration = Duration::from_secs(4 * 60);
/// How often idle connections are checked.
const IDLE_CHECK: Duration = Duration::from_secs(30);
/// A connection that was idle for longer than this is pinged before it is used.
const PING_AFTER: Duration = Duration::from_secs(30);
/// How long no connection is opened after one has given up its place, so that the reserved connection gets the place.
const PLACE_PAUSE: Duration = Duration::from_millis(500);
/// How long a caller waits before the slow statements of other tenants are stopped for it, one each time.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the ping before a use may take.
const PING_LIMIT: Duration = Duration::from_secs(1);

/// Connections, and the callers that wait for one.
///
/// Idle connections are used last in, first out: the backend that was used last is in the processor's caches. Callers
/// of one tenant are served first come, first served, and tenants by the [`Queue`]. A caller that may have no idle
/// connection waits. A [task](crate::maker) of the pool opens connections, so a caller that leaves takes none with it.
pub(crate) struct Pool {
    pub(crate) max_connections: usize,
    limits: Limits,
    pub(crate) reserved: Reserved,
    /// The time of the database.
    pub(crate) readings: Readings,
    state: Mutex<State>,
    /// The task that closes connections that were idle for too long.
    idle_check: Option<AbortHandle>,
}

pub(crate) struct State {
    pub(crate) options: PgConnectOptions,
    /// How often all connections were dropped. Connections of an earlier generation are not used again.
    pub(crate) generation: u64,
    /// The connection used last is at the end. Empty while a caller waits that may have one.
    idle: Vec<Pooled>,
    pub(crate) queue: Queue,
    /// The number of connections that are idle or in use.
    pub(crate) open: usize,
    /// Whether the maker's task runs.
    pub(crate) making: bool,
    /// No connection is opened before this time.
    pub(crate) make_at: Instant,
    /// Whether to close the next connection that is given back, because the reserved connection needs its place.
    wants_place: bool,
    pub(crate) closed: bool,
}

impl Pool {
    pub(crate) fn new(options: PgConnectOptions, limits: Limits) -> Arc<Self> {
        let max_connections = limits.max_connections;
        let state = State {
            options: prepared(options, &limits),
            generation: 0,
            idle: Vec::new(),
            queue: Queue::new(limits.clone()),
            open: 0,
            making: false,
            make_at: Instant::now(),
            wants_place: false,
            closed: false,
        };
        Arc::new_cyclic(|pool| Self {
            max_connections,
            limits,
            reserved: Reserved::default(),
            readings: Readings::default(),
            state: Mutex::new(state),
            idle_check: Handle::try_current().ok().map(|tokio| tokio.spawn(check_idle(pool.clone())).abort_handle()),
        })
    }

    /// No connection may be dropped while this lock is held: dropping one takes the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn in_use(&self) -> usize {
        let state = self.lock();
        state.open.saturating_sub(state.idle.len())
    }

    /// A connection that is in no transaction, for the tenant of the current task. Dropping it closes it.
    pub(crate) async fn acquire(self: &Arc<Self>) -> sqlx::Result<Pooled> {
        let tenant = Tenant::current();
        loop {
            let pooled = match self.take_or_wait(&tenant)? {
                Turn::Now(pooled) => pooled,
                Turn::Later(waiter) => return waiter.wait().await,
            };
            if pooled.idle_since.elapsed() < PING_AFTER {
                return Ok(pooled);
            }
            // A connection that answers is given back as just used. If it does not answer, all of its generation are
            // dropped.
            let ping = |pooled: Pooled| async { (pooled.pinged(PING_LIMIT).await, ()) };
            Running::new(self, pooled, ping).await;
        }
    }

    fn take_or_wait(self: &Arc<Self>, tenant: &Option<Tenant>) -> sqlx::Result<Turn> {
        let mut old = Vec::new();
        let mut state = self.lock();
        if state.closed {
            return Err(sqlx::Error::PoolClosed);
        }
        if state.queue.may_hold_next(tenant, Instant::now())
            && let Some(pooled) = state.pop_idle(&mut old)
        {
            let pooled = pooled.held_by(self, state.queue.hold(tenant.clone(), Instant::now()));
            drop(state);
            return Ok(Turn::Now(pooled));
        }
        let (sender, receiver) = oneshot::channel();
        let number = state.queue.wait(tenant.clone(), sender);
        drop(state);
        drop(old);
        let waiter = Waiter { pool: Arc::clone(self), tenant: tenant.clone(), number, receiver };
        self.start_maker();
        Ok(Turn::Later(waiter))
    }

    /// The idle connection that was used last, for no tenant.
    pub(crate) fn take_idle(self: &Arc<Self>) -> Option<Pooled> {
        let mut old = Vec::new();
        let mut state = self.lock();
        let pooled = state.pop_idle(&mut old)?;
        let pooled = pooled.held_by(self, state.queue.hold(None, Instant::now()));
        drop(state);
        Some(pooled)
    }

    /// Takes a connection back. It must be in no transaction.
    pub(crate) fn give_back(self: &Arc<Self>, mut pooled: Pooled) {
        pooled.idle_since = Instant::now();
        let lease = pooled.lease.take();
        let mut state = self.lock();
        let gives_up_place = std::mem::take(&mut state.wants_place);
        let is_old = pooled.generation != state.generation || pooled.made.elapsed() >= MAX_AGE;
        if state.closed || is_old || gives_up_place {
            drop(state);
            drop(pooled);
        } else {
            state.idle.push(pooled);
            drop(state);
        }
        drop(lease);
        self.serve();
    }

    /// Gives idle connections to the callers that are next.
    fn serve(self: &Arc<Self>) {
        let mut old = Vec::new();
        loop {
            let mut state = self.lock();
            let Some(pooled) = state.pop_idle(&mut old) else { return };
            let now = Instant::now();
            let Some((tenant, waiter)) = state.queue.next(now) else {
                state.idle.push(pooled);
                return;
            };
            let pooled = pooled.held_by(self, state.queue.hold(tenant, now));
            drop(state);
            // If the caller has left, the connection goes to the next one.
            if let Err(Ok(mut unused)) = waiter.send(Ok(pooled)) {
                let lease = unused.lease.take();
                self.lock().idle.push(unused);
                drop(lease);
            }
        }
    }

    /// Closes one connection, an idle one or the next one that is given back, and opens no other for a moment. Returns
    /// false if fewer than two connections are open, and then closes none.
    pub(crate) fn give_up_place(&self) -> bool {
        let mut state = self.lock();
        if state.open < 2 {
            return false;
        }
        state.make_at = Instant::now() + PLACE_PAUSE;
        let idle = state.idle.pop();
        state.wants_place = idle.is_none();
        drop(state);
        drop(idle);
        true
    }

    /// Drops the connections of `generation`, or all if it is `None`. With `options`, later connections use these.
    pub(crate) fn forget(&self, generation: Option<u64>, options: Option<PgConnectOptions>) {
        let mut state = self.lock();
        // If another call has dropped this generation, later connections are live.
        if generation.is_some_and(|generation| generation != state.generation) {
            return;
        }
        state.generation += 1;
        state.make_at = Instant::now();
        state.queue.is_elsewhere();
        if let Some(options) = options {
            state.options = prepared(options, &self.limits);
        }
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        drop(idle);
        self.reserved.close();
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        // Waiting callers learn it from their dropped senders.
        let waiters = state.queue.leave_all();
        drop(state);
        drop(waiters);
        self.forget(None, None);
    }

    fn close_idle(&self) {
        let mut state = self.lock();
        let (old, fresh) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(|pooled| pooled.idle_since.elapsed() >= MAX_IDLE || pooled.made.elapsed() >= MAX_AGE);
        state.idle = fresh;
        drop(state);
        drop::<Vec<Pooled>>(old);
    }
}

impl State {
    /// Takes out the idle connection that was used last. Connections that are too old are moved to `old`, to be dropped
    /// without the lock.
    fn pop_idle(&mut self, old: &mut Vec<Pooled>) -> Option<Pooled> {
        while let Some(pooled) = self.idle.pop() {
            if pooled.made.elapsed() < MAX_AGE {
                return Some(pooled);
            }
            old.push(pooled);
        }
        None
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(task) = &self.idle_check {
            task.abort();
        }
    }
}

async fn check_idle(pool: Weak<Pool>) {
    loop {
        sleep(IDLE_CHECK).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.close_idle();
    }
}

enum Turn {
    Now(Pooled),
    Later(Waiter),
}

/// A caller that waits for a connection. Dropping it leaves the queue.
struct Waiter {
    pool: Arc<Pool>,
    tenant: Option<Tenant>,
    number: u64,
    receiver: oneshot::Receiver<sqlx::Result<Pooled>>,
}

impl Waiter {
    async fn wait(mut self) -> sqlx::Result<Pooled> {
        let deadline = Instant::now() + WAIT_LIMIT;
        while Instant::now() < deadline {
            match timeout(PATIENCE, &mut self.receiver).await {
                Ok(Ok(connection)) => return connection,
                Ok(Err(RecvError { .. })) => return Err(sqlx::Error::PoolClosed),
                Err(Elapsed { .. }) => self.make_room(),
            }
        }
        let is_limited = !self.pool.lock().queue.may_hold(&self.tenant, Instant::now());
        measure::limit_reached(if is_limited { "tenant_connections" } else { "max_connections" });
        Err(sqlx::Error::PoolTimedOut)
    }

    /// Stops a slow statement of another tenant, unless this tenant itself may have no further connection.
    fn make_room(&self) {
        let (mut state, now) = (self.pool.lock(), Instant::now());
        if state.queue.may_hold(&self.tenant, now) && state.queue.stop_slowest(&self.tenant, now) {
            measure::limit_reached("slow_connections");
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.pool.lock().queue.leave(&self.tenant, self.number);
        // A connection that came too late goes to the next caller.
        self.receiver.close();
        if let Ok(Ok(pooled)) = self.receiver.try_recv() {
            self.pool.give_back(pooled);
        }
    }
}

/// A connection and its place in the pool. [`Pool::give_back`] gives it back; dropping it closes it.
pub(crate) struct Pooled {
    // Declared before the place, so that the connection is closed before its place becomes free.
    pub(crate) connection: PgConnection,
    /// The process id of its backend.
    pub(crate) pid: i32,
    pub(crate) generation: u64,
    made: Instant,
    idle_since: Instant,
    /// Tells when to stop a slow statement. `None` while nobody holds the connection.
    pub(crate) stopped: Option<oneshot::Receiver<Stop>>,
    /// `None` while nobody holds the connection.
    lease: Option<Lease>,
    place: Place,
}

impl Pooled {
    /// A connection that was just opened, and is counted as open.
    pub(crate) fn new(pool: &Arc<Pool>, (connection, pid): (PgConnection, i32), generation: u64) -> Self {
        let now = Instant::now();
        let place = Place(Arc::downgrade(pool));
        Self { connection, pid, generation, made: now, idle_since: now, stopped: None, lease: None, place }
    }

    /// The connection, held by a tenant.
    fn held_by(self, pool: &Arc<Pool>, Entry { tenant, number, stopped }: Entry) -> Self {
        Self { stopped: Some(stopped), lease: Some(Lease { pool: Arc::downgrade(pool), tenant, number }), ..self }
    }

    /// The connection after this outcome; `None` if it has died. Then all connections of its generation are dropped.
    pub(crate) fn after<T>(self, outcome: &sqlx::Result<T>) -> Option<Self> {
        match outcome {
            Err(error) if ends_connection(error) => {
                self.forget_generation();
                None
            }
            Ok(_) | Err(_) => Some(self),
        }
    }

    /// The connection, if the server answers in time.
    pub(crate) async fn pinged(mut self, limit: Duration) -> Option<Self> {
        let pool = self.place.0.upgrade()?;
        let answer = timeout(limit, pool.readings.ask(&mut self.connection)).await;
        self.after(&answer.unwrap_or_else(|_: Elapsed| Err(sqlx::Error::Io(ErrorKind::TimedOut.into()))))
    }

    fn forget_generation(&self) {
        if let Some(pool) = self.place.0.upgrade() {
            pool.forget(Some(self.generation), None);
        }
    }
}

/// The entry of a connection in use. Dropping it serves the callers that are next.
struct Lease {
    pool: Weak<Pool>,
    tenant: Option<Tenant>,
    number: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.lock().queue.release(&self.tenant, self.number);
            pool.serve();
        }
    }
}

struct Place(Weak<Pool>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.lock().open -= 1;
            // A caller may wait for the place.
            pool.start_maker();
        }
    }
}
