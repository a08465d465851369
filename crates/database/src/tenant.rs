use std::sync::Arc;

tokio::task_local! {
    static CURRENT: Tenant;
}

/// On whose behalf statements run, as in `workspace acme`. Tenants share the connections: see [`Limits`](crate::Limits).
///
/// The tenant belongs to the task that waits for the statement, so a service cannot forget to name it. A statement
/// outside [`Tenant::scope`] has no tenant and no share, as the background tasks of a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant with this name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Runs `work` on behalf of this tenant. Tasks that `work` spawns have no tenant.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// The tenant of the current task.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }
}
