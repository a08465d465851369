//! Single pages, as the contract describes them: skips, totals, ends and tokens.
use std::time::Duration;

use crate::support::{Id, database, ids, open, request, run};
use keyset::{Error, Filter, List, Listing, Order, Page, asc, desc};
use pagination::{
    DEFAULT_ERROR_DOMAIN, InvalidArgument, PageTokenError, PageTokenErrorKind,
    proto::{PageRequest, TotalCount, TotalCountPrecision},
};
use sqlx::PgPool;

const THINGS: Listing = Listing {
    name: "things",
    from: "things",
    columns: "id",
    scope: &["tenant"],
    filters: &[
        Filter::equal("color", "color"),
        Filter::any_of("sizes", "size"),
        Filter::condition("odd", "(id % 2 = 1) = {odd}"),
    ],
    orders: &[
        Order { name: "id", keys: &[asc("id")], indexed: &[&["color"], &["color", "sizes"]] },
        Order { name: "color desc", keys: &[desc("color"), asc("id")], indexed: &[] },
    ],
    examined_rows: 50,
    ..Listing::DEFAULT
};

/// Things whose weight is the length of their content.
const HEAVY: Listing = Listing {
    columns: "id, content",
    weight: Some("octet_length(content)"),
    filters: &[],
    orders: &[Order { name: "id", keys: &[asc("id")], indexed: &[] }],
    ..THINGS
};

async fn things(count: u32) -> (PgPool, List) {
    let pool = database().await;
    run(
        &pool,
        &format!(
            "create table things (tenant int4 not null, id int8 not null, color text collate \"C\" not null,
                size int2 not null, content text, primary key (tenant, id), check (octet_length(color) <= 20));
            alter table things alter column color set (n_distinct = 1000), alter column size set (n_distinct = 1000);
            create index on things (tenant, color, id);
            create index on things (tenant, color, size, id);
            create index on things (tenant, color desc, id);
            insert into things select tenant, n, case n % 3 when 0 then 'red' when 1 then 'green' else 'blue' end, n % 5
            from generate_series(1, {count}) as n, generate_series(1, 2) as tenant"
        ),
    )
    .await;
    let list = open(&pool, THINGS).await;
    (pool, list)
}

#[derive(Default, Clone)]
struct Filters<'a> {
    color: Option<&'a str>,
    sizes: Option<Vec<i16>>,
    odd: Option<bool>,
}

async fn try_fetch(list: &List, request: PageRequest, order_by: &str, filters: Filters<'_>) -> Result<Page<Id>, Error> {
    list.page(Some(request), order_by)
        .scope(1)
        .filter("color", filters.color)
        .filter("sizes", filters.sizes)
        .filter("odd", filters.odd)
        .fetch_rows()
        .await
}

async fn fetch(list: &List, request: PageRequest, filters: Filters<'_>) -> Page<Id> {
    try_fetch(list, request, "", filters).await.unwrap()
}

fn violation(result: Result<Page<Id>, Error>) -> String {
    match result {
        Err(Error::Request(error)) => error.to_string(),
        Err(error) => error.to_string(),
        Ok(page) => format!("{:?}", ids(&page)),
    }
}

fn range(ids: std::ops::RangeInclusive<i64>) -> Vec<i64> {
    ids.collect()
}

#[tokio::test]
async fn skip_skips_rows_in_the_direction_of_the_token() {
    let (_, list) = things(30).await;
    let skip = |skip, page_token: &str| PageRequest { skip, ..request(5, page_token) };
    let page = fetch(&list, skip(10, ""), Filters::default()).await;
    assert_eq!(ids(&page), range(11..=15));
    let after = fetch(&list, skip(3, &page.response.next_page_token), Filters::default()).await;
    assert_eq!(ids(&after), range(19..=23));
    let before = fetch(&list, skip(3, &page.response.previous_page_token), Filters::default()).await;
    assert_eq!(ids(&before), range(3..=7));
    let beginning = fetch(&list, skip(8, &page.response.previous_page_token), Filters::default()).await;
    assert_eq!((ids(&beginning), beginning.response.previous_page_token.as_str()), (range(1..=2), ""));
    let exact = fetch(&list, skip(25, ""), Filters::default()).await;
    assert_eq!((ids(&exact), exact.response.next_page_token.as_str()), (range(26..=30), ""));
}

#[tokio::test]
async fn skip_past_the_end_returns_an_empty_page_with_a_previous_page() {
    let (_, list) = things(30).await;
    let request_past = PageRequest { skip: 10_000, total_count: TotalCount::Exact.into(), ..request(5, "") };
    let past = fetch(&list, request_past, Filters::default()).await;
    assert_eq!((ids(&past), past.response.next_page_token.as_str()), (vec![], ""));
    assert_eq!(past.response.total_count, Some(30));
    let last = fetch(&list, request(5, &past.response.previous_page_token), Filters::default()).await;
    assert_eq!(ids(&last), range(26..=30));
}

#[tokio::test]
async fn skip_is_refused_with_a_filter_that_no_index_serves() {
    let (_, list) = things(30).await;
    let skip = || PageRequest { skip: 1, ..request(5, "") };
    let indexed = Filters { color: Some("red"), sizes: Some(vec![0, 3]), odd: None };
    assert_eq!(ids(&fetch(&list, skip(), indexed).await), [15, 18, 30]);
    let scanned = Filters { odd: Some(true), ..Filters::default() };
    insta::assert_snapshot!(violation(try_fetch(&list, skip(), "", scanned).await), @"page.skip: must be 0 with odd, which no index serves in this order; follow the page tokens");
    let scanned = Filters { color: Some("red"), ..Filters::default() };
    insta::assert_snapshot!(violation(try_fetch(&list, skip(), "color desc", scanned).await), @"page.skip: must be 0 with color, which no index serves in this order; follow the page tokens");
}

#[tokio::test]
async fn a_filter_of_several_values_keeps_the_order() {
    let (_, list) = things(60).await;
    let filters = || Filters { color: Some("red"), sizes: Some(vec![4, 0, 4, 7]), odd: None };
    let expected: Vec<i64> = (1..=60).filter(|n| n % 3 == 0 && (n % 5 == 0 || n % 5 == 4)).collect();
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = fetch(&list, request(3, &token), filters()).await;
        seen.extend(ids(&page));
        token = page.response.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected);
    let empty = Filters { sizes: Some(vec![]), ..Filters::default() };
    assert_eq!(ids(&fetch(&list, request(3, ""), empty).await), [1, 2, 3], "no values mean no filter");
    let many = Filters { sizes: Some((0..101).collect()), ..Filters::default() };
    insta::assert_snapshot!(violation(try_fetch(&list, request(3, ""), "", many).await), @"sizes: must have at most 32 values");
}

#[tokio::test]
async fn a_scanned_filter_examines_a_limited_number_of_rows_per_page() {
    let (pool, list) = things(220).await;
    run(&pool, "update things set id = -2 * id; update things set id = -id; update things set id = 301 where id = 300")
        .await;
    let odd = || Filters { odd: Some(true), ..Filters::default() };
    let (mut pages, mut token) = (Vec::new(), String::new());
    let last = loop {
        let page = fetch(&list, request(10, &token), odd()).await;
        pages.push(ids(&page));
        if page.response.next_page_token.is_empty() {
            break page;
        }
        token.clone_from(&page.response.next_page_token);
    };
    assert_eq!(pages, [vec![], vec![], vec![301], vec![], vec![]], "each page examines 50 rows");
    let back = fetch(&list, request(10, &last.response.previous_page_token), odd()).await;
    assert_eq!(ids(&back), [0; 0], "from 400 back to 302");
    let back = fetch(&list, request(10, &back.response.previous_page_token), odd()).await;
    assert_eq!(ids(&back), [301]);
    let forth = fetch(&list, request(10, &back.response.next_page_token), odd()).await;
    assert_eq!(ids(&forth), [0; 0], "301 is not returned twice");
}

#[tokio::test]
async fn deleted_rows_do_not_change_the_rest_of_a_walk() {
    let (pool, list) = things(30).await;
    let page = fetch(&list, request(5, ""), Filters::default()).await;
    let second = fetch(&list, request(5, &page.response.next_page_token), Filters::default()).await;
    run(&pool, "delete from things where id in (5, 6, 10)").await;
    let again = fetch(&list, request(5, &page.response.next_page_token), Filters::default()).await;
    assert_eq!(ids(&again), [7, 8, 9, 11, 12]);
    run(&pool, "delete from things").await;
    let empty = fetch(&list, request(5, &second.response.next_page_token), Filters::default()).await;
    assert_eq!((ids(&empty), empty.response.next_page_token.as_str()), (vec![], ""));
    assert_ne!(empty.response.previous_page_token, "");
    run(&pool, "insert into things values (1, 10, 'red', 1), (1, 11, 'red', 1)").await;
    let back = fetch(&list, request(5, &empty.response.previous_page_token), Filters::default()).await;
    assert_eq!(ids(&back), [10], "up to and including the row after which the empty page began");
    assert_eq!(ids(&fetch(&list, request(5, &back.response.next_page_token), Filters::default()).await), [11]);
}

#[tokio::test]
async fn an_empty_backward_page_has_a_next_page() {
    let (pool, list) = things(30).await;
    let first = fetch(&list, request(5, ""), Filters::default()).await;
    let second = fetch(&list, request(5, &first.response.next_page_token), Filters::default()).await;
    run(&pool, "delete from things where id < 6").await;
    let empty = fetch(&list, request(5, &second.response.previous_page_token), Filters::default()).await;
    assert_eq!((ids(&empty), empty.response.previous_page_token.as_str()), (vec![], ""));
    assert_eq!(
        ids(&fetch(&list, request(5, &empty.response.next_page_token), Filters::default()).await),
        range(6..=10)
    );
}

#[tokio::test]
async fn totals_have_the_right_precision() {
    let (pool, list) = things(12_000).await;
    run(&pool, "analyze things").await;
    let total = async |kind: TotalCount, filters: Filters<'static>| {
        let response = fetch(&list, PageRequest { total_count: kind.into(), ..request(1, "") }, filters).await.response;
        (response.total_count, response.total_count_precision())
    };
    use TotalCountPrecision::{AtLeast, Estimate, Exact, Unspecified};
    let red = || Filters { color: Some("red"), ..Filters::default() };
    let odd = || Filters { odd: Some(true), ..Filters::default() };
    assert_eq!(total(TotalCount::Unspecified, Filters::default()).await, (None, Unspecified));
    assert_eq!(total(TotalCount::Exact, Filters::default()).await, (Some(12_000), Exact));
    assert_eq!(total(TotalCount::Exact, odd()).await, (Some(6_000), Exact));
    assert_eq!(total(TotalCount::Capped, Filters::default()).await, (Some(10_000), AtLeast));
    assert_eq!(total(TotalCount::Capped, red()).await, (Some(4_000), Exact));
    assert_eq!(total(TotalCount::Capped, odd()).await, (Some(5_001), AtLeast), "10,001 rows are examined");
    let (estimate, precision) = total(TotalCount::Estimated, red()).await;
    assert_eq!(precision, Estimate);
    assert!((1..24_000).contains(&estimate.unwrap()), "{estimate:?}");
}

#[tokio::test]
async fn a_count_that_times_out_becomes_an_estimate() {
    const SLOW: Listing = Listing {
        filters: &[Filter::condition("slow", "(id < 2 or slow()) = {slow}")],
        orders: &[Order { name: "id", keys: &[asc("id")], indexed: &[] }],
        examined_rows: 1,
        ..THINGS
    };
    let (pool, _) = things(30).await;
    run(&pool, "create function slow() returns bool language sql as 'select pg_sleep(60) is null' volatile;").await;
    let mut paging = crate::support::paging(&pool);
    // The count takes a minute. The estimate has as long as this.
    paging.count_timeout = Duration::from_secs(1);
    let list = paging.open(crate::support::leak(SLOW)).await.unwrap();
    for kind in [TotalCount::Exact, TotalCount::Capped] {
        let request = PageRequest { total_count: kind.into(), ..request(1, "") };
        let page = list.page(Some(request), "").scope(1).filter("slow", Some(true)).fetch_rows::<Id>().await.unwrap();
        assert_eq!(ids(&page), [1]);
        assert_eq!(page.response.total_count_precision(), TotalCountPrecision::Estimate);
    }
}

#[tokio::test]
async fn a_page_of_large_rows_ends_early_in_both_directions() {
    let (pool, _) = things(12).await;
    run(&pool, "update things set content = repeat('x', 1000000); update things set content = repeat('x', 9000000) where id = 8").await;
    let list = open(&pool, HEAVY).await;
    let (mut pages, mut token) = (Vec::new(), String::new());
    let last = loop {
        let page = list.page(Some(request(100, &token)), "").scope(1).fetch_rows::<Id>().await.unwrap();
        pages.push(ids(&page));
        if page.response.next_page_token.is_empty() {
            break page.response;
        }
        token = page.response.next_page_token;
    };
    assert_eq!(pages, [vec![1, 2, 3], vec![4, 5, 6], vec![7], vec![8], vec![9, 10, 11], vec![12]]);
    let back = list.page(Some(request(100, &last.previous_page_token)), "").scope(1).fetch_rows::<Id>().await.unwrap();
    assert_eq!(ids(&back), [9, 10, 11]);
}

#[tokio::test]
async fn a_row_with_a_null_weight_weighs_nothing() {
    let (pool, _) = things(5).await;
    run(&pool, "update things set content = 'x' where id in (3, 5)").await;
    let list = open(&pool, HEAVY).await;
    let first = list.page(Some(request(2, "")), "").scope(1).fetch_rows::<Id>().await.unwrap();
    let next = request(9, &first.response.next_page_token);
    let second = list.page(Some(next), "").scope(1).fetch_rows::<Id>().await.unwrap();
    assert_eq!([ids(&first), ids(&second)], [vec![1, 2], vec![3, 4, 5]]);
}

#[tokio::test]
async fn a_token_of_another_query_is_refused_before_any_statement_runs() {
    let (pool, _) = things(30).await;
    let paging = crate::support::paging(&pool);
    let list = paging.open(&THINGS).await.unwrap();
    let token = fetch(&list, request(5, ""), Filters::default()).await.response.next_page_token;
    pool.close().await;
    let refused = |result: Result<Page<Id>, Error>| match result {
        Err(Error::Request(InvalidArgument::PageToken(error))) => Some(error),
        _ => None,
    };
    let kind = PageTokenErrorKind::QueryChanged;
    let changed = Some(PageTokenError { kind, domain: DEFAULT_ERROR_DOMAIN, field: "page.page_token" });
    let red = Filters { color: Some("red"), ..Filters::default() };
    assert_eq!(refused(try_fetch(&list, request(5, &token), "", red).await), changed);
    assert_eq!(refused(try_fetch(&list, request(5, &token), "color desc", Filters::default()).await), changed);
    let other = list.page(Some(request(5, &token)), "").scope(2).filter::<&str>("color", None);
    let other = other.filter::<Vec<i16>>("sizes", None).filter::<bool>("odd", None).fetch_rows().await;
    assert_eq!(refused(other), changed);
    // The right query reaches the database, whose pool is closed.
    let right = try_fetch(&list, request(5, &token), "id", Filters::default()).await;
    assert!(matches!(right, Err(Error::Database(sqlx::Error::PoolClosed))), "{right:?}");
}

#[tokio::test]
async fn a_missing_or_unknown_value_fails_every_call() {
    let (_, list) = things(1).await;
    let query = || list.page(None, "");
    insta::assert_snapshot!(violation(query().fetch_rows().await), @r#"the list things: its scope is ["tenant"], and 0 values were given"#);
    insta::assert_snapshot!(violation(query().scope(1).filter("color", Some("red")).fetch_rows().await), @"the list things: the filter sizes was not given");
    insta::assert_snapshot!(violation(query().scope(1).filter("colour", Some("red")).fetch_rows().await), @"the list things: it has no filter colour");
    insta::assert_snapshot!(violation(query().parameter("words", "red").fetch_rows().await), @"the list things: it has no parameter words");
    let nul = Filters { color: Some("a\0b"), ..Filters::default() };
    insta::assert_snapshot!(violation(try_fetch(&list, request(1, ""), "", nul).await), @"color: must not contain NUL");
}

/// Also where the next text is beyond the surrogates, or there is none.
#[tokio::test]
async fn a_prefix_filter_finds_the_texts_with_the_prefix() {
    let last = "\u{10ffff}";
    let ends = ["", "b", "\u{d7ff}", "\u{d7ff}b", "\u{e000}", last, "\u{10ffff}b", "\u{10ffff}\u{10ffff}"];
    let mut texts =
        ["", "a", last].iter().flat_map(|begin| ends.map(|end| format!("{begin}{end}"))).collect::<Vec<_>>();
    texts.sort();
    texts.dedup();
    let pool = database().await;
    run(
        &pool,
        "create table texts (id int8 primary key, text text collate \"C\" not null check (octet_length(text) <= 20)); create index on texts (text, id)",
    )
    .await;
    let sql = "insert into texts select place, text from unnest($1::text[]) with ordinality as given (text, place)";
    sqlx::query(sql).bind(&texts).execute(&pool).await.unwrap();
    const TEXTS: Listing = Listing {
        name: "texts",
        from: "texts",
        columns: "id",
        filters: &[Filter::prefix("prefix", "text")],
        orders: &[Order { name: "text", keys: &[asc("text"), asc("id")], indexed: &[] }],
        ..Listing::DEFAULT
    };
    let list = open(&pool, TEXTS).await;
    for prefix in &texts {
        let found =
            list.page(Some(request(200, "")), "").filter("prefix", Some(prefix)).fetch_rows::<Id>().await.unwrap();
        let texts = (1..).zip(&texts).filter(|(_, text)| text.starts_with(prefix.as_str()));
        assert_eq!(ids(&found), texts.map(|(id, _)| id).collect::<Vec<i64>>(), "{prefix:?}");
    }
}
