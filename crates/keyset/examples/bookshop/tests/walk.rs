//! A client gets and lists the shop's books over a real socket, from a real Postgres.

use std::ops::Range;

use bookshop::{
    SCHEMA,
    books::{BOOKS, Books},
    proto::{
        Binding, Book, FILE_DESCRIPTOR_SET, GetBookRequest, ListBooksRequest, ListBooksResponse, Publisher,
        book_service_client::BookServiceClient, book_service_server::BookServiceServer,
    },
};
use futures_util::TryStreamExt;
use keyset::{
    List, Paging,
    conformance::{Conformance, RARE},
    options_for_pages,
};
use pagination::{PageTokens, WalkExt, proto::PageRequest};
use private_postgres::Server as Postgres;
use sqlx::{AssertSqlSafe, PgPool, postgres::PgConnectOptions};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

/// Books with the numbers from $1 up to, but not including, $2. Every fourth has no print time, and many share a print
/// time or a title. Every $3rd is signed and in hardcover, and has its own shelf and title. Every third has a publisher.
const STOCK: &str = "
    insert into books (id, isbn, title, shelf, signed, print_time, binding, publisher_name)
    select id, 'isbn ' || id,
        case when is_rare then 'Rare title' else 'Title ' || id % 300 end,
        case when is_rare then 'vitrine' else (array['history', 'poetry', 'travel'])[id % 3 + 1] end,
        is_rare,
        case when id % 4 > 0 then timestamptz '1900-01-01' + id % 100 * interval '1 day' end,
        (case when is_rare then 'hardcover' else 'paperback' end)::binding,
        case when id % 3 = 0 then 'Publisher ' || id end
    from generate_series($1, $2 - 1) as id, lateral (select id % $3 = 0 as is_rare) as rarity";

/// An open shop without books.
struct Shop {
    pool: PgPool,
    list: List,
    client: BookServiceClient<Channel>,
    _postgres: Postgres,
}

impl Shop {
    async fn open() -> Self {
        let postgres = Postgres::temporary().unwrap();
        let options = PgConnectOptions::new_without_pgpass()
            .socket(postgres.socket_dir())
            .port(postgres.port())
            .username(postgres.user())
            .database("postgres");
        let pool = PgPool::connect_with(options_for_pages(options)).await.unwrap();
        sqlx::raw_sql(SCHEMA).execute(&pool).await.unwrap();

        let keys = "test:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".parse().unwrap();
        let list = Paging::new(pool.clone(), PageTokens::new(keys), FILE_DESCRIPTOR_SET).open(&BOOKS).await.unwrap();
        // A server that is given its listener leaves Nagle's algorithm on, which delays small responses by 40 ms.
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap().with_nodelay(Some(true));
        let address = incoming.local_addr().unwrap();
        let server =
            Server::builder().add_service(BookServiceServer::new(Books { list: list.clone(), pool: pool.clone() }));
        tokio::spawn(server.serve_with_incoming(incoming));
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { pool, list, client: BookServiceClient::new(channel), _postgres: postgres }
    }

    async fn stock(&self, ids: Range<u32>) {
        let insert = sqlx::query(STOCK).bind(i64::from(ids.start)).bind(i64::from(ids.end)).bind(i64::from(RARE));
        insert.execute(&self.pool).await.unwrap();
    }

    async fn list(&self, request: ListBooksRequest) -> Result<ListBooksResponse, Status> {
        Ok(self.client.clone().list_books(request).await?.into_inner())
    }

    async fn walk(&self, request: &ListBooksRequest) -> Vec<Book> {
        self.client.walk(request.clone()).page_size(37).try_collect().await.unwrap()
    }
}

#[tokio::test]
async fn a_walk_returns_every_book_once_and_in_order() {
    let shop = Shop::open().await;
    shop.stock(0..1_000).await;
    let orders = [("print_time desc", "print_time desc nulls last, id"), ("title", "title, id")];
    let filters: [(ListBooksRequest, &str); 7] = [
        (ListBooksRequest::default(), "true"),
        (ListBooksRequest { shelf: Some("poetry".into()), ..Default::default() }, "shelf = 'poetry'"),
        (ListBooksRequest { shelf: Some("cookery".into()), ..Default::default() }, "false"),
        (ListBooksRequest { title_prefix: Some("Title 2".into()), ..Default::default() }, "title like 'Title 2%'"),
        (ListBooksRequest { signed: Some(false), ..Default::default() }, "not signed"),
        (ListBooksRequest { binding: Binding::Hardcover.into(), ..Default::default() }, "binding = 'hardcover'"),
        (
            ListBooksRequest { shelf: Some("vitrine".into()), signed: Some(true), ..Default::default() },
            "shelf = 'vitrine' and signed",
        ),
    ];
    for (order_by, sort) in orders {
        for (request, condition) in &filters {
            let expected = format!("select id from books where {condition} order by {sort}");
            let expected: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(expected)).fetch_all(&shop.pool).await.unwrap();
            let books = shop.walk(&ListBooksRequest { order_by: order_by.into(), ..request.clone() }).await;
            let ids: Vec<i64> = books.iter().map(|book| book.id).collect();
            assert_eq!(ids, expected, "{condition} by {order_by}");
        }
    }

    let books = shop.walk(&ListBooksRequest::default()).await;
    let known = books.iter().take_while(|book| book.print_time_seconds.is_some()).count();
    assert_eq!((books.len(), known), (1_000, 750));
    assert!(books.iter().skip(known).all(|book| book.print_time_seconds.is_none()));
}

#[tokio::test]
async fn a_book_is_the_same_alone_and_in_the_list() {
    let shop = Shop::open().await;
    shop.stock(0..4).await;
    for listed in shop.walk(&ListBooksRequest::default()).await {
        let got = shop.client.clone().get_book(GetBookRequest { id: listed.id }).await.unwrap().into_inner();
        assert_eq!(got, listed);
        assert_eq!(got.binding(), if got.id == 0 { Binding::Hardcover } else { Binding::Paperback });
        let publisher = Publisher { name: format!("Publisher {}", got.id), city: String::new() };
        assert_eq!(got.publisher, (got.id % 3 == 0).then_some(publisher));
        assert!(got.create_time.unwrap().seconds > 0);
    }
    let missing = shop.client.clone().get_book(GetBookRequest { id: 4 }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn a_forged_token_and_a_token_of_another_query_are_refused() {
    let shop = Shop::open().await;
    shop.stock(0..1_000).await;
    let first = shop.list(ListBooksRequest::default()).await.unwrap();
    let token = first.page.unwrap().next_page_token;
    let next = |page_token: &str| {
        let page = PageRequest { page_token: page_token.to_owned(), ..Default::default() };
        ListBooksRequest { page: Some(page), ..Default::default() }
    };
    assert_eq!(shop.list(next(&token)).await.unwrap().books.len(), 50);

    let (last_bytes_of_box, replacement) = (token.len() - 8..token.len() - 4, "AAAA");
    let mut forged = token.clone();
    forged.replace_range(last_bytes_of_box, replacement);
    let moved = ListBooksRequest { shelf: Some("poetry".into()), ..next(&token) };
    for (request, message) in [
        (next(&forged), "was not issued by this service"),
        (next("second page please"), "is not a page token"),
        (moved, "was issued for another query"),
    ] {
        let refused = shop.list(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(message), "{refused}");
    }
}

#[tokio::test]
async fn the_list_passes_the_conformance_kit() {
    let shop = Shop::open().await;
    Conformance::of(&shop.list)
        .value("shelf", "vitrine")
        .value("shelf", "poetry")
        .value("title_prefix", "Rare")
        .value("title_prefix", "Title 2")
        .value("signed", true)
        .value("signed", false)
        .value("binding", "hardcover")
        .check(async |ids| shop.stock(ids).await)
        .await;
}
