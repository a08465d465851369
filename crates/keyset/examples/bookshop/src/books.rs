//! The books: the declaration of their list, and the methods that return a page and a book.

use keyset::{Filter, List, Listing, Order, asc, database_status, desc};
use pagination::proto::EncodedPage;
use sqlx::{AssertSqlSafe, PgPool};
use tonic::{Request, Response, Status};

use crate::proto::{Binding, Book, GetBookRequest, ListBooksRequest, book_service_server::BookService};

/// The books of the shop. There is one shop, so the list has no scope.
pub static BOOKS: Listing = Listing {
    name: "bookshop.v1.Books",
    from: "books",
    message: "bookshop.v1.Book",
    columns: r#"id, isbn, title, shelf, signed, extract(epoch from print_time)::int8 as print_time_seconds, binding,
        publisher_name as "publisher.name", publisher_city as "publisher.city", create_time"#,
    filters: &[
        Filter::equal("shelf", "shelf"),
        Filter::prefix("title_prefix", "title"),
        Filter::equal("signed", "signed"),
        Filter::equal("binding", "binding"),
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
    /// Connections for everything that is not a list.
    pub pool: PgPool,
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
            .filter("binding", name_of(request.binding)?)
            .fetch()
            .await?;
        Ok(Response::new(page))
    }

    /// The same columns as in the list make the same message.
    async fn get_book(&self, request: Request<GetBookRequest>) -> Result<Response<Book>, Status> {
        let sql = format!("select {} from books where id = $1", BOOKS.columns);
        let query = sqlx::query(AssertSqlSafe(sql)).bind(request.into_inner().id);
        let rows = query.fetch_all(&self.pool).await.map_err(|error| database_status(&error))?;
        self.list.first(&rows)?.map(Response::new).ok_or_else(|| Status::not_found("no book has this id"))
    }
}

/// The name of a binding in the database; `None` if the request has none.
fn name_of(binding: i32) -> Result<Option<&'static str>, Status> {
    match Binding::try_from(binding) {
        Ok(Binding::Unspecified) => Ok(None),
        Ok(Binding::Hardcover) => Ok(Some("hardcover")),
        Ok(Binding::Paperback) => Ok(Some("paperback")),
        Err(_) => Err(Status::invalid_argument("binding: must be BINDING_HARDCOVER or BINDING_PAPERBACK")),
    }
}
