//! A walk returns each row that exists throughout, and whose keys do not change, exactly once, whatever happens to
//! other rows.
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Id, database, ids, open, request, run};
use keyset::{List, Listing, Order, asc, desc};
use pagination::proto::PageRequest;
use sqlx::PgPool;

const THINGS: Listing = Listing {
    name: "things",
    from: "things",
    columns: "id",
    orders: &[
        Order { name: "rank desc", keys: &[desc("rank").nulls_last(), asc("id")], indexed: &[] },
        Order { name: "word", keys: &[asc("word"), desc("id")], indexed: &[] },
    ],
    ..Listing::DEFAULT
};

/// Rows with these ids do not change. All others are inserted, deleted and moved.
fn stays(id: i64) -> bool {
    id % 3 == 0
}

/// Each writer has its own rows, so that none waits for another.
async fn write(pool: &PgPool, writer: u64, done: &AtomicBool) -> u64 {
    let mut rounds = 0;
    while !done.load(Ordering::Relaxed) {
        rounds += 1;
        let seed = writer * 1_000_003 + rounds;
        run(
            pool,
            &format!(
                "insert into things select n * 3 + 1, n % 7, 'w' || n % 11
                    from generate_series({seed} % 200, {seed} % 200 + 11) as n where n % 2 = {writer} on conflict do nothing;
                delete from things where id % 3 = 2 and id % 2 = {writer} and id % 100 / 2 = {seed} % 50;
                insert into things select n * 3 + 2, null, 'w' || n % 11
                    from generate_series({seed} % 300, {seed} % 300 + 11) as n where n % 2 = {writer} on conflict do nothing;
                update things set rank = case when {seed} % 5 = 0 then null else {seed} % 9 end, word = 'w' || {seed} % 13
                    where id % 3 = 1 and id % 2 = 1 - {writer} and id % 40 / 2 = {seed} % 20"
            ),
        )
        .await;
    }
    rounds
}

/// Walks the list forward and back. Unchanged rows are returned exactly once and in order.
async fn walk(list: &List, order_by: &str, expected: &[i64], sizes: [i32; 3]) {
    let mut sizes = sizes.into_iter().cycle();
    let (mut token, mut seen) = (String::new(), Vec::new());
    loop {
        let page = list.page(Some(request(sizes.next().unwrap(), &token)), order_by).fetch_rows::<Id>().await.unwrap();
        seen.extend(ids(&page).into_iter().filter(|id| stays(*id)));
        token = page.response.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected, "forward in order {order_by}");

    seen.clear();
    let past_the_end = PageRequest { skip: 10_000, ..request(1, "") };
    let mut page = list.page(Some(past_the_end), order_by).fetch_rows::<Id>().await.unwrap();
    while !page.response.previous_page_token.is_empty() {
        let back = request(sizes.next().unwrap(), &page.response.previous_page_token);
        page = list.page(Some(back), order_by).fetch_rows::<Id>().await.unwrap();
        seen.splice(0..0, ids(&page).into_iter().filter(|id| stays(*id)));
    }
    assert_eq!(seen, expected, "backward in order {order_by}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanged_rows_are_returned_exactly_once() {
    let pool = database().await;
    run(
        &pool,
        "create table things (id int8 primary key, rank int4, word text collate \"C\" not null check (octet_length(word) < 9));
        create index on things (rank desc nulls last, id);
        create index on things (word, id desc);
        insert into things select n, case when n % 4 > 0 then n % 9 end, 'w' || n % 13 from generate_series(1, 900) as n",
    )
    .await;
    let list = open(&pool, THINGS).await;
    let expected = async |order: &str| -> Vec<i64> {
        let sql = format!("select id from things where id % 3 = 0 order by {order}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap()
    };
    let by_rank = expected("rank desc nulls last, id").await;
    let by_word = expected("word, id desc").await;

    let done = AtomicBool::new(false);
    let walks = async {
        for sizes in [[1, 2, 3], [7, 50, 1], [13, 13, 13], [200, 1, 9]] {
            let by_rank = walk(&list, "rank desc", &by_rank, sizes);
            let by_word = walk(&list, "word", &by_word, sizes);
            futures_util::future::join(by_rank, by_word).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let (rounds, other_rounds, ()) =
        futures_util::future::join3(write(&pool, 0, &done), write(&pool, 1, &done), walks).await;
    assert!(rounds + other_rounds > 10, "the writers wrote while the walkers walked");
}
