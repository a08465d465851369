use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::selection::Selection;

/// The number of tenants above which those without a count are forgotten.
const TENANTS: usize = 1_000;

/// The turns of counts: how many run at the same time, in all and for each tenant. A tenant is a value of the first column
/// of a list's scope.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    of_tenant: usize,
    tenants: Mutex<HashMap<Option<Vec<u8>>, Weak<Semaphore>>>,
}

/// The turn of one count, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _of_tenant: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    /// Counts use at most a quarter of this many connections, and those of one tenant half of that, so that pages have the
    /// other connections, and other tenants the other turns. At least one count runs at a time.
    pub(crate) fn of_connections(connections: usize) -> Self {
        let all = (connections / 4).max(1);
        Self { all: Arc::new(Semaphore::new(all)), of_tenant: (all / 2).max(1), tenants: Mutex::default() }
    }

    /// Waits for a turn. Callers of one tenant wait for each other first, so that few of them wait among the other tenants.
    pub(crate) async fn next(&self, selection: &Selection) -> Result<Turn, AcquireError> {
        let tenant = selection.scope.first().and_then(|value| value.bytes.clone());
        let of_tenant = self.tenant(tenant).acquire_owned().await?;
        Ok(Turn { _of_tenant: of_tenant, _of_all: Arc::clone(&self.all).acquire_owned().await? })
    }

    fn tenant(&self, tenant: Option<Vec<u8>>) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() > TENANTS {
            tenants.retain(|_, turns| turns.strong_count() > 0);
        }
        let turns = tenants.entry(tenant).or_default();
        turns.upgrade().unwrap_or_else(|| {
            let fresh = Arc::new(Semaphore::new(self.of_tenant));
            *turns = Arc::downgrade(&fresh);
            fresh
        })
    }
}
