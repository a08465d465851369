//! Who holds connections, who waits for one, and who is next.

use std::{collections::BTreeMap, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use crate::{Limits, Tenant, pool::Pooled};

/// The receiver of a connection.
pub(crate) type Sender = oneshot::Sender<sqlx::Result<Pooled>>;

/// The tenants that hold or wait for connections. `None` stands for statements without a tenant, which have no share.
pub(crate) struct Queue {
    limits: Limits,
    tenants: BTreeMap<Option<Tenant>, Account>,
    next_number: u64,
    /// How many connections the server allows, as far as known: fewer than the maximum after it has refused one.
    capacity: usize,
}

/// What a tenant holds, and its waiting callers, both in the order of their numbers.
#[derive(Default)]
struct Account {
    held: BTreeMap<u64, Held>,
    waiters: BTreeMap<u64, Sender>,
}

/// A connection that a tenant holds.
struct Held {
    since: Instant,
    /// Stops its statement; `None` when it was stopped.
    stop: Option<oneshot::Sender<Stop>>,
}

/// The order to stop a slow statement, because another tenant waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop;

/// The entry of a connection in use, and the order to stop its statement.
pub(crate) struct Entry {
    pub(crate) tenant: Option<Tenant>,
    pub(crate) number: u64,
    pub(crate) stopped: oneshot::Receiver<Stop>,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        let capacity = limits.max_connections;
        Self { limits, tenants: BTreeMap::new(), next_number: 0, capacity }
    }

    fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Adds a caller, and returns its number.
    pub(crate) fn wait(&mut self, tenant: Option<Tenant>, sender: Sender) -> u64 {
        let number = self.next_number();
        self.tenants.entry(tenant).or_default().waiters.insert(number, sender);
        number
    }

    /// Removes a caller that leaves.
    pub(crate) fn leave(&mut self, tenant: &Option<Tenant>, number: u64) {
        self.change(tenant, |account| account.waiters.remove(&number));
    }

    /// Removes all callers.
    pub(crate) fn leave_all(&mut self) -> Vec<Sender> {
        let waiters = self.tenants.values_mut().flat_map(|account| std::mem::take(&mut account.waiters).into_values());
        let waiters = waiters.collect();
        self.tenants.retain(|_, account| !account.is_empty());
        waiters
    }

    pub(crate) fn has_waiters(&self) -> bool {
        self.tenants.values().any(|account| !account.waiters.is_empty())
    }

    /// Whether a caller of this tenant may have a connection now, before all callers that wait.
    pub(crate) fn may_hold_next(&self, tenant: &Option<Tenant>, now: Instant) -> bool {
        let Some(account) = self.tenants.get(tenant) else { return true };
        account.waiters.is_empty() && self.may_hold(tenant, now)
    }

    /// Whether this tenant may hold another connection.
    pub(crate) fn may_hold(&self, tenant: &Option<Tenant>, now: Instant) -> bool {
        let (Some(_), Some(account)) = (tenant, self.tenants.get(tenant)) else { return true };
        account.held.len() < self.limits.tenant_connections.of(self.capacity).get()
            && account.slow(now, self.limits.slow_after).count() < self.limits.slow_connections.of(self.capacity).get()
    }

    /// Takes out the caller that is next: of the tenant that holds the fewest connections and may hold another, the one
    /// that has waited longest.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(Option<Tenant>, Sender)> {
        let waiting = self.tenants.iter().filter(|(tenant, _)| self.may_hold(tenant, now));
        let first = waiting.filter_map(|(tenant, account)| {
            let (number, _) = account.waiters.first_key_value()?;
            Some((account.held.len(), *number, tenant))
        });
        let (_, _, tenant) = first.min()?;
        let tenant = tenant.clone();
        let (_, sender) = self.tenants.get_mut(&tenant)?.waiters.pop_first()?;
        Some((tenant, sender))
    }

    /// Records that this tenant holds another connection from now on.
    pub(crate) fn hold(&mut self, tenant: Option<Tenant>, since: Instant) -> Entry {
        let number = self.next_number();
        let (stop, stopped) = oneshot::channel();
        self.tenants.entry(tenant.clone()).or_default().held.insert(number, Held { since, stop: Some(stop) });
        Entry { tenant, number, stopped }
    }

    /// Records that a connection is not held any more.
    pub(crate) fn release(&mut self, tenant: &Option<Tenant>, number: u64) {
        self.change(tenant, |account| account.held.remove(&number));
    }

    /// Stops the slowest statement of the tenant that is furthest above its share of slow ones, unless as many are
    /// stopping as callers need. Returns whether one was stopped.
    ///
    /// Several tenants can hold all connections with slow statements within their shares. So for a `waiter` that holds no
    /// connection, no share protects them.
    pub(crate) fn stop_slowest(&mut self, waiter: &Option<Tenant>, now: Instant) -> bool {
        let holds_none = self.tenants.get(waiter).is_none_or(|account| account.held.is_empty());
        let share = if holds_none { 0 } else { self.limits.slow_connections.of(self.capacity).get() };
        let slow_after = self.limits.slow_after;
        let all_held = self.tenants.values().flat_map(|account| account.held.values());
        let stopping = all_held.filter(|held| held.stop.is_none()).count();
        let needing = self.tenants.iter().filter(|(tenant, _)| self.may_hold(tenant, now));
        if stopping >= needing.map(|(_, account)| account.waiters.len()).sum() {
            return false;
        }
        let tenants = self.tenants.iter_mut().filter(|(tenant, _)| tenant.is_some());
        let running = |account: &Account| account.slow(now, slow_after).filter(|held| held.stop.is_some()).count();
        let slow = tenants.map(|(_, account)| (running(account), account));
        let most = slow.filter(|(slow, _)| *slow > share).max_by_key(|(slow, _)| *slow);
        let stop = most.and_then(|(_, account)| account.held.values_mut().find_map(|held| held.stop.take()));
        stop.is_some_and(|stop| stop.send(Stop).is_ok())
    }

    /// Records that the server refused another connection beside `open` others.
    pub(crate) fn is_full(&mut self, open: usize) {
        self.capacity = open.max(1);
    }

    /// Forgets what the server allowed, as it may be another server now.
    pub(crate) fn is_elsewhere(&mut self) {
        self.capacity = self.limits.max_connections;
    }

    /// Records that this many connections are open.
    pub(crate) fn is_open(&mut self, open: usize) {
        self.capacity = self.capacity.max(open);
    }

    /// Changes a tenant's account, and removes it if nothing is left in it.
    fn change<T>(&mut self, tenant: &Option<Tenant>, change: impl FnOnce(&mut Account) -> T) {
        let Some(account) = self.tenants.get_mut(tenant) else { return };
        change(account);
        if account.is_empty() {
            self.tenants.remove(tenant);
        }
    }
}

impl Account {
    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.waiters.is_empty()
    }

    /// The connections with slow statements, the slowest first.
    fn slow(&self, now: Instant, slow_after: Duration) -> impl Iterator<Item = &Held> {
        self.held.values().take_while(move |held| now.duration_since(held.since) > slow_after)
    }
}
