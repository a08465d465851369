//! The list of books: its declaration, and the method that returns a page of it.

use keyset::{Filter, List, Listing, Order, asc, desc};
use pagination::proto::EncodedPage;
use tonic::{Request, Response, Status};

use crate::proto::{ListBooksRequest, book_service_server::BookService};

/// The books of the shop. There is one shop, so the list has no scope.
pub static BOOKS: Listing = Listing {
    name: "bookshop.v1.Books",
    from: "books",
    message: "bookshop.v1.Book",
    columns: "id, isbn, title, shelf, signed, extract(epoch from print_time)::int8 as print_time_seconds",
    filters: &[
        Filter::equal("shelf", "shelf"),
        Filter::prefix("title_prefix", "title"),
        Filter::equal("signed", "signed"),
    ],
    orders: &[
        Order { name: "print_time desc", keys: &[desc("print_time").nulls_last(), asc("id")], indexed: &[&["shelf"]] },
        Order { name: "title", keys: &[asc("title"), asc("id")], indexed: &[&["shelf"]] },
    ],
    ..Listing::DEFAULT
};

/// The book service.
#[derive(Debug)]
pub struct Books {
    /// The open list [`BOOKS`].
    pub list: List,
}

#[tonic::async_trait]
impl BookService for Books {
    async fn list_books(&self, request: Request<ListBooksRequest>) -> Result<Response<EncodedPage>, Status> {
        let request = request.into_inner();
        let page = self
            .list
            .page(request.page, &request.order_by)
            .filter("shelf", request.shelf)
            .filter("title_prefix", request.title_prefix)
            .filter("signed", request.signed)
            .fetch()
            .await?;
        Ok(Response::new(page))
    }
}
