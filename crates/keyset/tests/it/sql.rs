//! The statements of each kind, in readable files: `tests/sql/*.sql`. Each was sent to Postgres exactly as in its file.
//!
//! `UPDATE_SQL=1 cargo test -p quire-keyset --test it sql` rewrites the files.
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use crate::support::{Id, database, leak, request, run};
use futures_util::future::BoxFuture;
use keyset::{Connections, Counter, Filter, HeldConnection, List, Listing, Order, Paging, Query, Statement, asc, desc};
use pagination::{
    PageTokens,
    proto::{PageRequest, TotalCount},
};
use sqlx::{PgPool, postgres::PgRow};

const TABLE: &str = "
    create table books (
        library text collate \"C\" not null, id int8 not null, shelf text collate \"C\" not null,
        title text collate \"C\" not null check (octet_length(title) <= 200), rank int4 not null, print_time timestamptz,
        content text not null, primary key (library, id));
    create index on books (library, rank, id);
    create index on books (library, shelf, rank, id);
    create index on books (library, title, id);
    create index on books (library, print_time desc nulls last, id);
    create index on books (library, rank desc, id);
    create index on books using gin (to_tsvector('simple', content));
    alter table books alter column shelf set (n_distinct = 1000), alter column rank set (n_distinct = 1000),
        alter column print_time set (n_distinct = 1000);
    create table shelf_counts (library text collate \"C\" not null, shelf text collate \"C\" not null, slot int4 not null,
        row_count int8 not null, primary key (library, shelf, slot));
    insert into books select 'a', n, 's' || n % 2, 't' || n, n % 3,
        case when n > 3 then timestamptz '2026-01-01' + n * interval '1 s' end, 'c' from generate_series(1, 9) as n";

const BOOKS: Listing = Listing {
    name: "books",
    from: "books",
    columns: "id, title",
    scope: &["library"],
    filters: &[
        Filter::any_of("shelves", "shelf"),
        Filter::equal("shelf", "shelf"),
        Filter::prefix("title_prefix", "title"),
        Filter::condition("long", "(length(content) > 100) = {long}"),
        Filter::search("word", "to_tsvector('simple', content) @@ to_tsquery('simple', {word})"),
    ],
    orders: &[
        Order { name: "rank", keys: &[asc("rank"), asc("id")], indexed: &[&["shelf"], &["shelves"]] },
        Order { name: "rank desc, id", keys: &[desc("rank"), asc("id")], indexed: &[] },
        Order { name: "title", keys: &[asc("title"), asc("id")], indexed: &[] },
        Order { name: "print_time desc", keys: &[desc("print_time").nulls_last(), asc("id")], indexed: &[] },
    ],
    ..Listing::DEFAULT
};

/// Connections that record the SQL of each statement.
#[derive(Debug, Clone)]
struct Recording {
    pool: PgPool,
    sql: Arc<Mutex<Vec<String>>>,
}

impl Connections for Recording {
    fn rows(&self, statement: Statement) -> BoxFuture<'_, sqlx::Result<Vec<PgRow>>> {
        self.sql.lock().unwrap().push(statement.sql().to_owned());
        self.pool.rows(statement)
    }

    fn connection(&self) -> BoxFuture<'_, sqlx::Result<HeldConnection>> {
        self.pool.connection()
    }

    fn max_connections(&self) -> usize {
        self.pool.max_connections()
    }
}

/// The filters of a request.
#[derive(Debug, Clone, Default)]
struct Filters {
    shelves: Option<Vec<&'static str>>,
    shelf: Option<&'static str>,
    title_prefix: Option<&'static str>,
    long: Option<bool>,
    word: Option<&'static str>,
}

impl Filters {
    fn of<'a>(&self, list: &'a List, request: PageRequest, order_by: &str) -> Query<'a> {
        list.page(Some(request), order_by)
            .scope("a")
            .filter("shelves", self.shelves.clone())
            .filter("shelf", self.shelf)
            .filter("title_prefix", self.title_prefix)
            .filter("long", self.long)
            .filter("word", self.word)
    }
}

struct Shown {
    recording: Recording,
    list: List,
}

impl Shown {
    async fn open(pool: &PgPool, listing: Listing) -> Self {
        let recording = Recording { pool: pool.clone(), sql: Arc::default() };
        let keys = "test:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".parse().unwrap();
        let paging = Paging::new(recording.clone(), PageTokens::new(keys), &[]);
        let list = paging.open(leak(listing)).await.unwrap();
        Self { recording, list }
    }

    /// Compares the statement of this page with the file of this name. Returns the tokens of the previous and next
    /// pages.
    async fn page(&self, name: &str, request: PageRequest, order_by: &str, filters: &Filters) -> [String; 2] {
        let page = filters.of(&self.list, request, order_by).fetch_rows::<Id>().await.unwrap();
        same(name, self.recording.sql.lock().unwrap().last().unwrap());
        [page.response.previous_page_token, page.response.next_page_token]
    }

    /// Compares the statement that counts with the file of this name.
    async fn total(&self, name: &str, kind: TotalCount, filters: &Filters) {
        let before = self.recording.sql.lock().unwrap().len();
        let request = PageRequest { total_count: kind.into(), ..request(1, "") };
        filters.of(&self.list, request, "").fetch_rows::<Id>().await.unwrap();
        let sql = self.recording.sql.lock().unwrap();
        let counts =
            sql.iter().skip(before).find(|sql| !sql.contains("keyset_key_1") || sql.contains("count(")).unwrap();
        same(name, counts);
    }
}

fn same(name: &str, sql: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql").join(name).with_extension("sql");
    let found = format!("{sql}\n");
    if std::env::var_os("UPDATE_SQL").is_some() {
        return fs::write(file, found).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, expected, "{name}: see the top of this test");
}

#[tokio::test]
async fn pages() {
    let pool = database().await;
    run(&pool, TABLE).await;
    let shown = Shown::open(&pool, BOOKS).await;
    let none = Filters::default();

    let [_, next] = shown.page("first_page", request(2, ""), "", &none).await;
    let [previous, _] = shown.page("next_page", request(2, &next), "", &none).await;
    shown.page("previous_page", request(2, &previous), "", &none).await;
    shown.page("skip", PageRequest { skip: 3, ..request(2, "") }, "", &none).await;

    let [_, next] = shown.page("mixed_directions_first", request(2, ""), "rank desc, id", &none).await;
    shown.page("mixed_directions_next", request(2, &next), "rank desc, id", &none).await;

    let [_, next] = shown.page("nulls_first_page", request(2, ""), "print_time desc", &none).await;
    shown.page("nulls_after_a_value", request(2, &next), "print_time desc", &none).await;
    let [_, next] = shown.page("nulls_after_a_value", request(6, &next), "print_time desc", &none).await;
    shown.page("nulls_after_a_null", request(2, &next), "print_time desc", &none).await;

    let indexed = Filters { shelf: Some("s1"), ..none.clone() };
    let [_, next] = shown.page("indexed_filter_first", request(2, ""), "", &indexed).await;
    shown.page("indexed_filter_next", request(2, &next), "", &indexed).await;
    let prefix = Filters { title_prefix: Some("t"), ..none.clone() };
    let [_, next] = shown.page("prefix_first", request(2, ""), "title", &prefix).await;
    shown.page("prefix_next", request(2, &next), "title", &prefix).await;
    let sets = Filters { shelves: Some(vec!["s0", "s1"]), ..none.clone() };
    shown.page("any_of", request(2, ""), "", &sets).await;
    let scanned = Filters { shelf: Some("s1"), long: Some(false), ..none.clone() };
    shown.page("scanned_filter", request(2, ""), "", &scanned).await;
    let search = Filters { word: Some("c"), ..none.clone() };
    shown.page("search_filter", request(2, ""), "", &search).await;

    let heavy = Shown::open(&pool, Listing { weight: Some("octet_length(content)"), ..BOOKS }).await;
    heavy.page("weight", request(2, ""), "", &none).await;
}

#[tokio::test]
async fn totals() {
    let pool = database().await;
    run(&pool, TABLE).await;
    const COUNTED: Listing = Listing { counters: &[Counter { table: "shelf_counts", filters: &["shelf"] }], ..BOOKS };
    let shown = Shown::open(&pool, COUNTED).await;
    let scanned = Filters { shelf: Some("s1"), long: Some(false), ..Default::default() };
    shown.total("exact_total", TotalCount::Exact, &scanned).await;
    shown.total("capped_total", TotalCount::Capped, &scanned).await;
    shown.total("estimated_total", TotalCount::Estimated, &scanned).await;
    shown.total("counter", TotalCount::Exact, &Filters { shelf: Some("s1"), ..Default::default() }).await;
}
