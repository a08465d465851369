//! Exact totals that are read from counters, and the statements that maintain counters.
use std::time::Duration;

use crate::support::{Id, database, eventually, open, paging, request, run, within};
use futures_util::future::join_all;
use keyset::{COUNTER_SLOTS, Counter, CounterSlots, Filter, List, Listing, Order, asc};
use pagination::proto::{PageRequest, TotalCount, TotalCountPrecision};
use sqlx::{Connection, PgConnection, PgPool};

const TABLES: &str = "
    create table books (library_id int8 not null, id int8 not null, shelf text collate \"C\" not null, genre int2 not null,
        primary key (library_id, id));
    create table shelf_counts (library_id int8 not null, shelf text collate \"C\" not null,
        slot int4 not null, row_count int8 not null, primary key (library_id, shelf, slot));
    create table genre_counts (library_id int8 not null, genre int2 not null, shelf text collate \"C\" not null,
        slot int4 not null, row_count int8 not null, primary key (library_id, genre, shelf, slot));
    create function waits() returns bool language sql volatile as 'select pg_advisory_xact_lock_shared(1) is null'
";

const BOOKS: Listing = Listing {
    name: "books",
    from: "books",
    columns: "id",
    scope: &["library_id"],
    filters: &[
        Filter::equal("shelf", "shelf"),
        Filter::any_of("shelves", "shelf"),
        Filter::any_of("genres", "genre"),
        Filter::condition("waits", "(id < 2 or waits()) = {waits}"),
    ],
    orders: &[Order { name: "id", keys: &[asc("id")], indexed: &[] }],
    counters: &[
        Counter { table: "shelf_counts", filters: &["shelf", "shelves"] },
        Counter { table: "genre_counts", filters: &["genres", "shelves"] },
    ],
    examined_rows: 1,
    ..Listing::DEFAULT
};

#[derive(Default)]
struct Filters {
    shelf: Option<&'static str>,
    shelves: Option<Vec<&'static str>>,
    genres: Option<Vec<i16>>,
    waits: Option<bool>,
}

async fn total(list: &List, library: i64, kind: TotalCount, filters: Filters) -> (i64, TotalCountPrecision) {
    let request = PageRequest { total_count: kind.into(), ..request(1, "") };
    let query = list.page(Some(request), "").scope(library).filter("shelf", filters.shelf);
    let query = query.filter("shelves", filters.shelves).filter("genres", filters.genres);
    let response = query.filter("waits", filters.waits).fetch_rows::<Id>().await.unwrap().response;
    (response.total_count.unwrap(), response.total_count_precision())
}

async fn exact(list: &List, library: i64, filters: Filters) -> i64 {
    let (total, precision) = total(list, library, TotalCount::Exact, filters).await;
    assert_eq!(precision, TotalCountPrecision::Exact);
    total
}

/// Three books in the library 1, and counters with other numbers, so that each total shows where it was read.
async fn miscounted() -> (PgPool, List) {
    let pool = database().await;
    run(&pool, TABLES).await;
    run(
        &pool,
        "insert into books values (1, 1, 'new', 1), (1, 2, 'new', 2), (1, 3, 'old', 1);
        insert into shelf_counts values (1, 'new', 0, 1000), (1, 'new', 15, -1), (1, 'old', 0, 500), (2, 'new', 0, 7);
        insert into genre_counts values (1, 1, 'new', 0, 80), (1, 1, 'old', 0, 40), (1, 2, 'new', 3, 20);",
    )
    .await;
    let list = open(&pool, BOOKS).await;
    (pool, list)
}

#[tokio::test]
async fn an_exact_total_is_read_from_the_first_counter_that_has_the_filters() {
    let (_pool, list) = miscounted().await;
    let in_1 = async |filters| exact(&list, 1, filters).await;
    assert_eq!(in_1(Filters::default()).await, 1499, "the sum over all slots, one of which is negative");
    assert_eq!(in_1(Filters { shelf: Some("new"), ..Default::default() }).await, 999);
    assert_eq!(in_1(Filters { shelf: Some("none"), ..Default::default() }).await, 0);
    assert_eq!(in_1(Filters { shelves: Some(vec!["old"]), ..Default::default() }).await, 500);
    assert_eq!(in_1(Filters { shelves: Some(vec!["new", "old", "new"]), ..Default::default() }).await, 1499);
    assert_eq!(in_1(Filters { shelves: Some(vec![]), ..Default::default() }).await, 1499);
    let both = Filters { shelf: Some("new"), shelves: Some(vec!["new", "old"]), ..Default::default() };
    assert_eq!(in_1(both).await, 999);

    let genres = Some(vec![1]);
    assert_eq!(in_1(Filters { genres: genres.clone(), ..Default::default() }).await, 120, "the second counter");
    let both = Filters { genres: Some(vec![1, 2]), shelves: Some(vec!["new"]), ..Default::default() };
    assert_eq!(in_1(both).await, 100);
    let neither = Filters { genres, shelf: Some("new"), ..Default::default() };
    assert_eq!(in_1(neither).await, 1, "no counter has both filters, so the books are counted");
    assert_eq!(in_1(Filters { waits: Some(true), ..Default::default() }).await, 1, "no counter has this filter");

    assert_eq!(exact(&list, 2, Filters::default()).await, 7, "another library");
    assert_eq!(exact(&list, 3, Filters::default()).await, 0);
}

#[tokio::test]
async fn only_an_exact_total_is_read_from_a_counter() {
    let (pool, list) = miscounted().await;
    let total = async |kind| total(&list, 1, kind, Filters::default()).await;
    assert_eq!(total(TotalCount::Capped).await, (3, TotalCountPrecision::Exact));
    assert_eq!(total(TotalCount::Estimated).await.1, TotalCountPrecision::Estimate);
    run(&pool, "drop table shelf_counts").await;
    assert_eq!(total(TotalCount::Exact).await.1, TotalCountPrecision::Estimate, "the counter cannot be read");
}

#[tokio::test]
async fn a_total_reads_only_the_counter_rows_that_it_sums() {
    let (pool, _) = miscounted().await;
    run(&pool, "insert into shelf_counts select 1, 'shelf' || n, 0, n from generate_series(1, 20000) as n; analyze")
        .await;
    let own = PgPool::connect_lazy_with(pool.connect_options().as_ref().clone().application_name("own"));
    let list = paging(&own).open(&BOOKS).await.unwrap();
    assert_eq!(exact(&list, 1, Filters { shelf: Some("shelf9000"), ..Default::default() }).await, 9000);
    // The statistics of a connection are certain to be complete only after it has ended.
    own.close().await;
    let ended = "select count(*) = 0 from pg_stat_activity
        where datname = current_database() and application_name = 'own'";
    eventually("the list's connections ended", async || {
        sqlx::query_scalar::<_, bool>(ended).fetch_one(&pool).await.unwrap().then_some(())
    })
    .await;
    let read = "select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relname = 'shelf_counts'";
    assert_eq!(sqlx::query_scalar::<_, i64>(read).fetch_one(&pool).await.unwrap(), 1);
}

/// Counts that wait for a lock hold the turns of their tenant, and all others wait for them.
#[tokio::test]
async fn slow_counts_delay_neither_counters_nor_other_tenants_nor_pages() {
    let (pool, _) = miscounted().await;
    let mut paging = paging(&pool);
    paging.count_timeout = Duration::from_secs(3_600);
    let list = paging.open(&BOOKS).await.unwrap();
    paging.count_timeout = Duration::from_millis(20);
    let impatient = paging.open(&BOOKS).await.unwrap();
    let mut lock = PgConnection::connect_with(&pool.connect_options()).await.unwrap();
    sqlx::query("select pg_advisory_lock(1)").execute(&mut lock).await.unwrap();
    let slow = || Filters { waits: Some(true), ..Default::default() };
    let counts = join_all((0..3).map(|_| exact(&list, 1, slow())));
    let in_the_meantime = async {
        let waiting = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        eventually("a count waits", async || {
            let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&pool).await.unwrap();
            (waiting > 0).then_some(())
        })
        .await;
        assert_eq!(within("a counter was read", exact(&list, 1, Filters::default())).await, 1499);
        for kind in [TotalCount::Exact, TotalCount::Capped] {
            let other = within("another tenant had a turn", total(&list, 3, kind, slow())).await;
            assert_eq!(other, (0, TotalCountPrecision::Exact));
        }
        // A total that gets no turn in time is estimated; an estimate is left out.
        let page = async |kind: TotalCount| {
            let request = PageRequest { total_count: kind.into(), ..request(1, "") };
            let query = impatient.page(Some(request), "").scope(1_i64).filter::<&str>("shelf", None);
            let query = query.filter::<Vec<&str>>("shelves", None).filter::<Vec<i16>>("genres", None);
            let page = query.filter("waits", Some(true)).fetch_rows::<Id>().await.unwrap();
            assert_eq!(page.rows.len(), 1);
            page.response.total_count_precision()
        };
        assert_eq!(page(TotalCount::Capped).await, TotalCountPrecision::Estimate);
        assert_eq!(page(TotalCount::Estimated).await, TotalCountPrecision::Unspecified);
        lock.close().await.unwrap();
    };
    let (counts, ()) = tokio::join!(counts, in_the_meantime);
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn slots_are_given_out_in_turn() {
    let slots = CounterSlots::default();
    let clone = slots.clone();
    let given: Vec<_> = (0..COUNTER_SLOTS).flat_map(|_| [slots.next_slot(), clone.next_slot()]).collect();
    assert_eq!(given, (0..COUNTER_SLOTS).chain(0..COUNTER_SLOTS).collect::<Vec<_>>());
}

const ADD: &str = "
    with inserted as (
        insert into books (library_id, id, shelf, genre)
        select $1, id, shelf, 0 from unnest($2::int8[], $3::text[]) as added (id, shelf) order by id
        on conflict do nothing
        returning shelf
    )
    insert into shelf_counts as counts (library_id, shelf, slot, row_count)
    select $1, shelf, $4, count(*) from inserted group by shelf order by shelf
    on conflict (library_id, shelf, slot) do update set row_count = counts.row_count + excluded.row_count";

const MOVE: &str = "
    with before as (
        select id, shelf from books where library_id = $1 and id = any($2) order by id for update
    ), moved as (
        update books set shelf = $3 from before where library_id = $1 and books.id = before.id
        returning before.shelf as old_shelf, books.shelf as new_shelf
    ), changes as (
        select old_shelf as shelf, -1 as change from moved union all select new_shelf, 1 from moved
    )
    insert into shelf_counts as counts (library_id, shelf, slot, row_count)
    select $1, shelf, $4, sum(change) from changes group by shelf having sum(change) <> 0 order by shelf
    on conflict (library_id, shelf, slot) do update set row_count = counts.row_count + excluded.row_count";

const REMOVE: &str = "
    with locked as (
        select id from books where library_id = $1 and id = any($2) order by id for update
    ), deleted as (
        delete from books using locked where library_id = $1 and books.id = locked.id returning shelf
    )
    insert into shelf_counts as counts (library_id, shelf, slot, row_count)
    select $1, shelf, $3, -count(*) from deleted group by shelf order by shelf
    on conflict (library_id, shelf, slot) do update set row_count = counts.row_count + excluded.row_count";

const SHELVES: [&str; 4] = ["new", "old", "rare", "sold"];

/// One writer. It adds, moves and removes books that other writers change too, several in one statement.
async fn write(pool: &PgPool, slots: &CounterSlots, writer: i64) {
    for round in 0..61 {
        let ids: Vec<i64> = (0..5).map(|n| (writer * 7 + round * 11 + n * 13) % 10).collect();
        let shelves: Vec<_> = SHELVES.iter().cycle().skip((writer + round) as usize).take(5).collect();
        let slot = slots.next_slot();
        let query = match round % 3 {
            0 => sqlx::query(ADD).bind(1_i64).bind(ids).bind(shelves).bind(slot),
            1 => sqlx::query(MOVE).bind(1_i64).bind(ids).bind(shelves.first().copied()).bind(slot),
            _ => sqlx::query(REMOVE).bind(1_i64).bind(ids).bind(slot),
        };
        query.execute(pool).await.unwrap();
    }
}

/// How many shelves have a count that differs from the number of their books, and how many books there are, in one
/// snapshot.
async fn compare(pool: &PgPool) -> (i64, i64) {
    let compare = "
        select count(*) filter (where coalesce(counted, 0) <> coalesce(books, 0)), coalesce(sum(books), 0)::int8
        from (select shelf, sum(row_count) as counted from shelf_counts group by shelf) as counts
        full join (select shelf, count(*) as books from books group by shelf) as shelves using (shelf)";
    sqlx::query_as(compare).fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_right_at_any_time_under_concurrent_writers() {
    let pool = database().await;
    run(&pool, TABLES).await;
    let list = open(&pool, BOOKS).await;
    let (writing, slots) = (pool.clone(), CounterSlots::default());
    let writers = tokio::spawn(async move {
        join_all((0..8).map(|writer| write(&writing, &slots, writer))).await;
    });
    while !writers.is_finished() {
        assert_eq!(compare(&pool).await.0, 0);
    }
    writers.await.unwrap();
    let (wrong, books) = compare(&pool).await;
    assert_eq!((wrong, exact(&list, 1, Filters::default()).await), (0, books));
    assert!(books > 0);
}
