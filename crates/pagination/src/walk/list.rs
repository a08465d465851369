use std::time::Duration;

use futures_util::FutureExt;
use tonic::{Request, Response};

use super::Walk;
use crate::proto::{ListClient, ListRequest};

/// The longest deadline that a call can have, about three years: gRPC writes it with eight digits.
const MAX_DEADLINE: Duration = Duration::from_secs(99_999_999);

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
        let walk = Walk::of(Box::new(move |page, timeout| {
            let (mut client, mut request) = (client.clone(), request.clone());
            *request.page_mut() = Some(page);
            let mut request = Request::new(request);
            if let Some(timeout) = timeout {
                request.set_timeout(timeout.min(MAX_DEADLINE));
            }
            async move { client.list(request).await.map(Response::into_inner).map(R::rows_and_page) }.boxed()
        }));
        walk.page(first)
    }
}

impl<C: Clone + Send + 'static> WalkExt for C {}
