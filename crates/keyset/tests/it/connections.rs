//! Pages on a pool, another pool, one connection, and in a transaction; and under tables that change.
use std::{
    task::{Context, Poll},
    time::Duration,
};

use keyset::{Error, Filter, List, Listing, Order, Query, ScopeBy, asc, desc};
use pagination::{
    InvalidArgument, PageTokenErrorKind,
    proto::{PageRequest, TotalCount, TotalCountPrecision},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Row, postgres::PgPoolOptions};

use crate::support::{Id, database, eventually, everything, ids, leak, open, paging, request, run};

const BOOKS: Listing = Listing {
    name: "books",
    from: "books",
    columns: "id",
    filters: &[Filter::equal("shelf", "shelf")],
    orders: &[Order { name: "rank", keys: &[asc("rank"), asc("id")], indexed: &[] }],
    ..Listing::DEFAULT
};

async fn books(pool: &PgPool) {
    run(
        pool,
        "create table books (id int8 primary key, rank int4 not null, shelf text not null); create index on books (rank, id);
        insert into books select n, n % 3, 's' from generate_series(0, 8) as n",
    )
    .await;
}

fn page<'a>(list: &'a List, request: PageRequest) -> Query<'a> {
    list.page(Some(request), "").filter::<String>("shelf", None)
}

fn counted(kind: TotalCount, request: PageRequest) -> PageRequest {
    PageRequest { total_count: kind.into(), ..request }
}

async fn walk_on(list: &List, connection: &mut PgConnection) -> Vec<i64> {
    let (mut token, mut found) = (String::new(), Vec::new());
    loop {
        let query = page(list, counted(TotalCount::Exact, request(4, &token))).on(&mut *connection);
        let page = query.fetch_rows::<Id>().await.unwrap();
        assert_eq!(page.response.total_count, Some(9));
        found.extend(ids(&page));
        token = page.response.next_page_token;
        if token.is_empty() {
            return found;
        }
    }
}

#[tokio::test]
async fn a_page_runs_on_any_connection() {
    let (pool, replica) = (database().await, database().await);
    books(&pool).await;
    books(&replica).await;
    run(&replica, "delete from books where id > 0").await;
    let list = open(&pool, BOOKS).await;
    assert_eq!(ids(&page(&list, request(9, "")).fetch_rows::<Id>().await.unwrap()).len(), 9);
    assert_eq!(ids(&page(&list, request(9, "")).on(&replica).fetch_rows::<Id>().await.unwrap()), [0]);

    let expected = [0, 3, 6, 1, 4, 7, 2, 5, 8];
    let mut connection = pool.acquire().await.unwrap();
    assert_eq!(walk_on(&list, &mut connection).await, expected);
    let mut transaction = pool.begin().await.unwrap();
    assert_eq!(walk_on(&list, &mut transaction).await, expected);
    sqlx::query("insert into books values (9, 9, 's')").execute(&mut *transaction).await.unwrap();
    let query = page(&list, counted(TotalCount::Exact, request(20, ""))).on(&mut transaction);
    let page = query.fetch_rows::<Id>().await.unwrap();
    assert_eq!((page.rows.len(), page.response.total_count), (10, Some(10)));
    transaction.rollback().await.unwrap();
    // A transaction that sqlx does not know of.
    connection.execute("begin").await.unwrap();
    assert_eq!(walk_on(&list, &mut connection).await, expected);
    let time = "select now() = statement_timestamp()";
    assert!(!sqlx::query_scalar::<_, bool>(time).fetch_one(&mut *connection).await.unwrap(), "it is still open");
    connection.execute("rollback").await.unwrap();
}

#[tokio::test]
async fn a_total_on_the_connection_of_a_page_leaves_nothing_behind() {
    const NUMBERS: Listing = Listing {
        name: "numbers",
        from: "(select n::int8 as id from generate_series(1, 5000000) as n limit 5000000) as numbers",
        columns: "id",
        orders: &[Order { name: "id", keys: &[asc("id")], indexed: &[] }],
        ..Listing::DEFAULT
    };
    let pool = database().await;
    let mut paging = paging(&pool);
    paging.count_timeout = Duration::from_millis(1);
    let list = paging.open(leak(NUMBERS)).await.unwrap();
    let timeout = "select current_setting('statement_timeout')";
    let check = async |connection: &mut PgConnection| {
        let query = list.page(Some(counted(TotalCount::Exact, request(1, ""))), "").on(&mut *connection);
        let page = query.fetch_rows::<Id>().await.unwrap();
        assert_eq!(page.response.total_count_precision(), TotalCountPrecision::Estimate);
        let after: String = sqlx::query_scalar(timeout).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(after, "7s");
    };
    let mut connection = pool.acquire().await.unwrap();
    connection.execute("set statement_timeout = '7s'").await.unwrap();
    check(&mut connection).await;
    let mut transaction = connection.begin().await.unwrap();
    check(&mut transaction).await;
    transaction.commit().await.unwrap();
    connection.execute("begin").await.unwrap();
    check(&mut connection).await;
    connection.execute("commit").await.unwrap();
}

const TENANTS: &str = "
    create table secured (tenant text not null, id int8 not null, title text collate \"C\" not null check (octet_length(title) < 99),
        time timestamptz not null, primary key (tenant, id));
    create index on secured (tenant, title, id); create index on secured (tenant, time, id);
    alter table secured enable row level security; alter table secured force row level security;
    create policy own on secured using (tenant = current_setting('app.tenant'));
    insert into secured select t, n, 'title ' || n % 100, timestamptz '2026-01-01' + n * interval '1 s'
        from generate_series(1, 10000) as n, unnest(array['a', 'b', 'c']) as t;
    analyze secured";

const SECURED: Listing = Listing {
    name: "secured",
    from: "secured",
    columns: "id",
    scope: &["tenant"],
    scope_by: ScopeBy::Policy,
    orders: &[
        Order { name: "title", keys: &[asc("title"), asc("id")], indexed: &[] },
        Order { name: "time desc", keys: &[desc("time"), desc("id")], indexed: &[] },
        Order { name: "id", keys: &[asc("id")], indexed: &[] },
    ],
    ..Listing::DEFAULT
};

#[tokio::test]
async fn row_level_security_can_be_the_only_scope() {
    let pool = database().await;
    run(&pool, TENANTS).await;
    let role = format!("reader_{}", std::process::id());
    run(&pool, &format!("create role {role}; grant select on secured to {role}")).await;
    let begin = async |tenant: &str| {
        let mut transaction = pool.begin().await.unwrap();
        let set = format!("set local role {role}; set local app.tenant = '{tenant}'");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut *transaction).await.unwrap();
        transaction
    };
    let mut transaction = begin("").await;
    let list = paging(&pool).open_on(&mut transaction, leak(SECURED)).await.unwrap();
    transaction.commit().await.unwrap();
    for order in ["title", "time desc", "id"] {
        let (mut token, mut found) = (String::new(), Vec::new());
        for _ in 0..60 {
            let mut transaction = begin("a").await;
            let query = list.page(Some(counted(TotalCount::Exact, request(200, &token))), order).scope("a");
            let page = query.on(&mut transaction).fetch_rows::<Id>().await.unwrap();
            assert_eq!(page.response.total_count, Some(10_000));
            found.extend(ids(&page));
            token = page.response.next_page_token;
            transaction.commit().await.unwrap();
            if token.is_empty() {
                break;
            }
        }
        let expected = format!("select id from secured where tenant = 'a' order by {order}, id");
        let expected: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(expected)).fetch_all(&pool).await.unwrap();
        assert_eq!(found, expected, "{order}");
    }
    let mut transaction = begin("a").await;
    let first = list.page(Some(request(2, "")), "").scope("a").on(&mut transaction).fetch_rows::<Id>().await.unwrap();
    transaction.commit().await.unwrap();
    let mut transaction = begin("b").await;
    let stolen = list.page(Some(request(2, &first.response.next_page_token)), "").scope("b").on(&mut transaction);
    let refused = stolen.fetch_rows::<Id>().await.unwrap_err();
    assert!(
        matches!(&refused, Error::Request(InvalidArgument::PageToken(error)) if error.kind == PageTokenErrorKind::QueryChanged),
        "{refused}"
    );
    drop(transaction);
    run(&pool, &format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test]
async fn a_key_that_row_level_security_hides_from_the_index_is_refused() {
    let pool = database().await;
    let role = format!("looker_{}", std::process::id());
    run(
        &pool,
        &format!(
            "create type mood as enum ('calm', 'glad');
            create table secured (tenant text not null, id int8 not null, n numeric(9) not null, mood mood not null,
                u uuid not null, primary key (tenant, id));
            create index on secured (tenant, n, id); create index on secured (tenant, mood, id);
            create index on secured (tenant, u, id);
            alter table secured enable row level security;
            create policy own on secured using (tenant = current_setting('app.tenant'));
            create role {role}; grant select on secured to {role}"
        ),
    )
    .await;
    let mut transaction = pool.begin().await.unwrap();
    let set = format!("set local role {role}; set local app.tenant = 'a'");
    sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut *transaction).await.unwrap();
    let mut open = async |key| {
        let orders = leak([Order { name: "it", keys: leak([asc(key), asc("id")]), indexed: &[] }]);
        paging(&pool).open_on(&mut transaction, leak(Listing { orders, ..SECURED })).await.map(drop)
    };
    open("u").await.unwrap();
    for key in ["n", "mood"] {
        let refused = open(key).await.unwrap_err().to_string();
        assert!(refused.contains("leakproof"), "{refused}");
    }
    drop(transaction);
    run(&pool, &format!("drop owned by {role}; drop role {role}")).await;
}

const ROWS: &str = "create table rows (int64 int4 primary key, text text not null, int32 int4 not null);
    insert into rows select n, 'x', n from generate_series(1, 9) as n";

#[tokio::test]
async fn a_list_continues_when_its_table_is_changed() {
    let pool = database().await;
    run(&pool, ROWS).await;
    let named = "int64 as int64, text as text, n as int32";
    const BY_ID: &[Order] = &[Order { name: "int64", keys: &[asc("int64")], indexed: &[] }];
    let listing = everything::listing(named, &[]);
    let listing = Listing { name: "rows", from: "rows", columns: "int64, text, int32", orders: BY_ID, ..listing };
    let list = everything::paging(&pool).open(leak(listing)).await.unwrap();
    let page = async |token: &str| list.page(Some(request(2, token)), "").fetch().await;
    // Every connection of the pool has prepared the statement.
    let warm = async || {
        for result in futures_util::future::join_all((0..16).map(|_| page(""))).await {
            result.unwrap();
        }
    };
    warm().await;
    let token = page("").await.unwrap().page.next_page_token;
    for change in [
        "alter table rows add column more int4",
        "alter table rows alter column text type varchar(9)",
        "alter table rows alter column int32 type int2",
        "alter table rows alter column text type text collate \"C\"",
    ] {
        run(&pool, change).await;
        warm().await;
        page(&token).await.unwrap_or_else(|error| panic!("{change}: {error}"));
    }
    // The type of a key changes: a token with a value of the old type is refused.
    run(&pool, "alter table rows alter column int64 type int8").await;
    warm().await;
    let refused = page(&token).await.unwrap_err();
    assert!(matches!(refused, Error::Request(InvalidArgument::PageToken(_))), "{refused}");
    let next = page("").await.unwrap().page.next_page_token;
    page(&next).await.unwrap();

    // A list that no longer fits fails until it fits again.
    run(&pool, "alter table rows rename column int32 to other").await;
    assert!(page("").await.is_err());
    run(&pool, "alter table rows rename column other to int32").await;
    eventually("the list is open again", async || page("").await.ok()).await;
    run(&pool, "alter table rows alter column int32 type text using int32::text").await;
    assert!(page("").await.is_err());
}

#[tokio::test]
async fn a_changed_table_fails_a_transaction_once() {
    let pool = database().await;
    books(&pool).await;
    let list = open(&pool, Listing { columns: "id, rank", ..BOOKS }).await;
    let mut connection = pool.acquire().await.unwrap();
    let page =
        async |connection: &mut PgConnection| page(&list, request(2, "")).on(connection).fetch_rows::<Id>().await;
    page(&mut connection).await.unwrap();
    run(&pool, "alter table books alter column rank type int8").await;
    let mut transaction = connection.begin().await.unwrap();
    let failed = page(&mut transaction).await.unwrap_err();
    assert!(matches!(failed, Error::Database(_)), "{failed}");
    transaction.rollback().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    page(&mut transaction).await.unwrap();
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn an_open_list_notices_what_it_has_lost() {
    let pool = database().await;
    books(&pool).await;
    let list = open(&pool, BOOKS).await;
    list.check().await.unwrap();
    run(&pool, "drop index books_rank_id_idx").await;
    let problems = list.check().await.unwrap_err().to_string();
    assert!(problems.contains("create index"), "{problems}");
    page(&list, request(2, "")).fetch_rows::<Id>().await.unwrap();
    run(&pool, "create index on books (rank, id)").await;
    list.check().await.unwrap();
}

/// Polls a future until it has waited this many times; `None` if it is dropped then.
async fn wait_times<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut waited = 0;
    let poll = |context: &mut Context<'_>| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if waited == times => Poll::Ready(None),
        Poll::Pending => {
            waited += 1;
            Poll::Pending
        }
    };
    std::future::poll_fn(poll).await
}

/// Drops a page wherever it waits, and runs `check` each time. How often it waits depends on how fast the server answers.
async fn drop_anywhere(list: &List, connection: &mut PgConnection, check: impl AsyncFn(&mut PgConnection)) {
    for times in (0..10).cycle().take(200) {
        let query = page(list, counted(TotalCount::Exact, request(2, ""))).on(&mut *connection);
        if let Some(page) = wait_times(query.fetch_rows::<Id>(), times).await {
            assert_eq!(page.unwrap().response.total_count, Some(9));
        }
        check(connection).await;
    }
}

#[tokio::test]
async fn a_dropped_page_leaves_its_connection_usable() {
    let pool = database().await;
    books(&pool).await;
    let list = open(&pool, BOOKS).await;
    let state = "select now() = statement_timestamp() as is_idle, current_setting('statement_timeout') as timeout";
    let mut connection = pool.acquire().await.unwrap();
    drop_anywhere(&list, &mut connection, async |connection| {
        let row = sqlx::raw_sql(state).fetch_one(connection).await.unwrap();
        assert_eq!((row.get("is_idle"), row.get("timeout")), (true, "0"));
    })
    .await;
    assert_eq!(walk_on(&list, &mut connection).await.len(), 9);
}

#[tokio::test]
async fn a_dropped_page_leaves_its_transaction_open() {
    let pool = database().await;
    books(&pool).await;
    run(&pool, "create table written (id int8 primary key)").await;
    let list = open(&pool, BOOKS).await;
    let check = async |connection: &mut PgConnection| {
        let state = "select count(*), current_setting('statement_timeout') from written";
        let state: (i64, String) = sqlx::query_as(state).fetch_one(connection).await.unwrap();
        assert_eq!(state, (1, "0".to_owned()));
    };
    let mut transaction = pool.begin().await.unwrap();
    transaction.execute("insert into written values (1)").await.unwrap();
    drop_anywhere(&list, &mut transaction, check).await;
    let mut savepoint = transaction.begin().await.unwrap();
    drop_anywhere(&list, &mut savepoint, check).await;
    savepoint.execute("insert into written values (2)").await.unwrap();
    savepoint.commit().await.unwrap();
    transaction.commit().await.unwrap();
    let written: Vec<i64> = sqlx::query_scalar("select id from written order by id").fetch_all(&pool).await.unwrap();
    assert_eq!(written, [1, 2]);
}

#[tokio::test]
async fn an_error_tells_that_a_pooler_loses_prepared_statements() {
    let pool = database().await;
    books(&pool).await;
    let list = open(&pool, BOOKS).await;
    let mut connection = pool.acquire().await.unwrap();
    walk_on(&list, &mut connection).await;
    // The server connection of another client.
    connection.execute(sqlx::raw_sql("deallocate all")).await.unwrap();
    let error = page(&list, request(2, "")).on(&mut connection).fetch_rows::<Id>().await.unwrap_err().to_string();
    assert!(error.contains("max_prepared_statements"), "{error}");

    // The names that another client has given.
    let mut connection = PgConnection::connect_with(&pool.connect_options()).await.unwrap();
    let prepare: String = (1..100).map(|n| format!("prepare sqlx_s_{n} as select 1;")).collect();
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await.unwrap();
    let error = paging(&pool).open_on(&mut connection, leak(BOOKS)).await.unwrap_err().to_string();
    assert!(error.contains("max_prepared_statements"), "{error}");
}

#[tokio::test]
async fn a_dropped_page_leaves_its_transaction_as_it_was() {
    let pool = database().await;
    books(&pool).await;
    let list = open(&pool, BOOKS).await;
    let mut connection = pool.acquire().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let begin = "create table written (id int8); set local statement_timeout = '7s'; set local app.tenant = 'a'";
    sqlx::raw_sql(begin).execute(&mut *transaction).await.unwrap();
    // Prepares the statements, so that each attempt waits at the same places. It is dropped at one place later than the
    // attempt before it.
    walk_on(&list, &mut transaction).await;
    for waits in 0.. {
        let query = page(&list, counted(TotalCount::Exact, request(2, ""))).on(&mut transaction);
        let is_dropped = drop_after(waits, query.fetch_rows::<Id>()).await;
        let settings = "select current_setting('statement_timeout'), current_setting('app.tenant', true), \
            to_regclass('written') is not null";
        let found: (String, Option<String>, bool) =
            sqlx::query_as(settings).fetch_one(&mut *transaction).await.unwrap();
        assert_eq!(found, ("7s".to_owned(), Some("a".to_owned()), true), "dropped after {waits} waits");
        if !is_dropped {
            break;
        }
    }
    transaction.commit().await.unwrap();
    assert_eq!(sqlx::query("insert into written values (1)").execute(&pool).await.unwrap().rows_affected(), 1);
}

/// Drops the future when it has waited this many times more than once. Returns whether it was not finished.
async fn drop_after<T>(waits: usize, future: impl Future<Output = T>) -> bool {
    let (mut future, mut waited) = (Box::pin(future), 0);
    std::future::poll_fn(|context| {
        waited += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending if waited > waits => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn a_dropped_check_leaves_no_transaction_open() {
    let pool = database().await;
    books(&pool).await;
    let options = pool.connect_options().as_ref().clone();
    let single = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let list = open(&single, BOOKS).await;
    for waits in 0..30 {
        // Leaves prepared statements, so that each attempt waits at the same places.
        list.check().await.unwrap();
        drop_after(waits, list.check()).await;
        let is_idle = "select now() = statement_timestamp()";
        let mut connection = single.acquire().await.unwrap();
        let is_idle: bool = sqlx::raw_sql(is_idle).fetch_one(&mut *connection).await.unwrap().get(0);
        assert!(is_idle, "dropped after {waits} waits");
    }
}
