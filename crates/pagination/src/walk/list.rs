use tonic::{Request, Response};

use super::Walk;
use crate::proto::{ListClient, ListRequest};

/// [`walk`](Self::walk) for the clients of services that `pagination-build` has generated.
pub trait WalkExt: Clone + Send + 'static {
    /// Walks through the list of a request, whose filters and order are sent with each call. The `page` of the request
    /// says where the walk begins: see [`Walk::page`].
    ///
    /// ```ignore
    /// let mut jobs = client.walk(ListJobsRequest { statuses: vec![JobStatus::Failed.into()], ..Default::default() });
    /// while let Some(job) = jobs.try_next().await? {
    ///     println!("{}", job.id);
    /// }
    /// ```
    fn walk<R>(&self, request: R) -> Walk<R::Row>
    where
        Self: ListClient<R>,
        R: ListRequest,
    {
        let mut request = request;
        let first = request.page_mut().take().unwrap_or_default();
        let client = self.clone();
        let walk = Walk::new(move |page| {
            let (mut client, mut request) = (client.clone(), request.clone());
            *request.page_mut() = Some(page);
            async move { client.list(Request::new(request)).await.map(Response::into_inner).map(R::rows_and_page) }
        });
        walk.page(first)
    }
}

impl<C: Clone + Send + 'static> WalkExt for C {}
