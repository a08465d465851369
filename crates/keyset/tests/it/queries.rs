//! Lists that are not a plain table: ordered by a search rank, over a GROUP BY, filtered by the clock.
use crate::support::{Id, database, ids, open, request, run};
use keyset::{Filter, Listing, Order, asc, conformance::Conformance, desc};
use sqlx::PgPool;

async fn pool() -> PgPool {
    let pool = database().await;
    run(
        &pool,
        "create table memories (tenant text collate \"C\" not null, id int8 not null, content text not null,
            team text collate \"C\" not null check (octet_length(team) <= 40), expire_time timestamptz not null,
            primary key (tenant, id));",
    )
    .await;
    pool
}

async fn seed(pool: &PgPool, numbers: std::ops::Range<u32>) {
    let (first, last) = (numbers.start, numbers.end - 1);
    run(
        pool,
        &format!(
            "insert into memories
            select 'a', n, repeat('keyset ', n % 4) || 'paging of lists', case when n % 10000 = 0 then 'rare' else 'team' || n % 9 end,
                case when n % 10000 = 0 then timestamptz '2000-01-01' else '2999-01-01' end
            from generate_series({first}, {last}) as n"
        ),
    )
    .await;
}

#[tokio::test]
async fn a_list_ordered_by_a_search_rank_conforms() {
    const RECALLED: Listing = Listing {
        name: "recalled",
        from: "(select id, team, ts_rank(to_tsvector('english', content), words) as rank
            from memories, websearch_to_tsquery('english', {words}) as words
            where {where} and to_tsvector('english', content) @@ words
            order by rank desc, id limit 200) as recalled",
        columns: "id",
        scope: &["tenant"],
        parameters: &["words"],
        filters: &[Filter::equal("team", "team")],
        orders: &[Order { name: "rank desc", keys: &[desc("rank"), asc("id")], indexed: &[] }],
        ..Listing::DEFAULT
    };
    let pool = pool().await;
    let list = open(&pool, RECALLED).await;
    Conformance::of(&list)
        .scope("a")
        .parameter("keyset or paging")
        .value("team", "team3")
        .value("team", "rare")
        .check(async |numbers| seed(&pool, numbers.start + 1..numbers.end + 1).await)
        .await;
}

#[tokio::test]
async fn a_list_over_a_group_by_conforms() {
    const USAGE: Listing = Listing {
        name: "usage",
        from: "(select team, count(*) as memories, max(id) as last from memories where {where} group by team) as usage",
        columns: "team, memories, last as id",
        scope: &["tenant"],
        filters: &[Filter::at_least("first_id", "id")],
        orders: &[Order { name: "memories desc", keys: &[desc("memories"), asc("team")], indexed: &[] }],
        ..Listing::DEFAULT
    };
    let pool = pool().await;
    seed(&pool, 0..500).await;
    let list = open(&pool, USAGE).await;
    let page = async |page_size, token: &str, first_id| {
        let query = list.page(Some(request(page_size, token)), "").scope("a").filter("first_id", first_id);
        query.fetch_rows::<Id>().await.unwrap()
    };
    // Nine teams of 55 or 56 memories, and the rare one, ordered by their number of memories and then by name.
    let first = page(4, "", None::<i64>).await;
    let rest = page(100, &first.response.next_page_token, None).await;
    assert_eq!([ids(&first), ids(&rest)], [vec![496, 497, 498, 499], vec![495, 491, 492, 493, 494, 0]]);
    // The filter applies inside the query: each team has one of the last nine rows.
    assert_eq!(ids(&page(100, "", Some(491)).await), [495, 496, 497, 498, 499, 491, 492, 493, 494]);
}

#[tokio::test]
async fn a_filter_that_depends_on_the_clock_binds_the_choice() {
    const SESSIONS: Listing = Listing {
        name: "sessions",
        from: "memories",
        columns: "id",
        scope: &["tenant"],
        filters: &[Filter::condition("active", "(expire_time > now()) = {active}")],
        orders: &[Order { name: "id", keys: &[asc("id")], indexed: &[] }],
        ..Listing::DEFAULT
    };
    let pool = pool().await;
    let list = open(&pool, SESSIONS).await;
    Conformance::of(&list)
        .scope("a")
        .value("active", true)
        .value("active", false)
        .check(async |numbers| seed(&pool, numbers).await)
        .await;
}
