use crate::pagination::v1::{PageRequest, PageResponse};

/// A request for a page of a list, tied to the response and the rows. `pagination-build` implements it for the request of
/// every list.
pub trait ListRequest: Clone + Send + 'static {
    /// The response of the method.
    type Response: Send;
    /// A row of the list.
    type Row: Send + 'static;

    /// The path of the method, as in `/jobs.v1.JobService/ListJobs`.
    const METHOD: &'static str;

    /// The page to return.
    fn page_mut(&mut self) -> &mut Option<PageRequest>;

    /// The rows of a response, and the tokens and total of the page.
    fn rows_and_page(response: Self::Response) -> (Vec<Self::Row>, Option<PageResponse>);
}

/// A client of a service that has the list of this request. `pagination-build` implements it for the clients of tonic
/// that it generates.
#[cfg(feature = "tonic")]
pub trait ListClient<R: ListRequest>: Clone + Send + 'static {
    /// Calls the method for one page.
    fn list(
        &mut self,
        request: tonic::Request<R>,
    ) -> impl Future<Output = Result<tonic::Response<R::Response>, tonic::Status>> + Send;
}
