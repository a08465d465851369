//! The filters of ListPrompts, with an index and without, and the totals under them.
use crate::support::{
    Client, ORDERS, Page, Row, at, by, expected, ids, list, make, make_mixed, named, paged, pages, pages_back, rows,
    start, with,
};
use platform::testing;
use quire_proto::{
    pagination::v1::{PageRequest, TotalCount, TotalCountPrecision},
    prompts::v1::{ListPromptsRequest, Prompt},
};

/// What a request filters by, and the same in Rust.
type Case<'a> = (ListPromptsRequest, &'a dyn Fn(&Row) -> bool);

/// Walks to the end and back under each filter in each order. Every row that passes comes once, in order.
async fn assert_filters(client: &Client, rows: &[Row], page_sizes: &[i32], cases: &[Case<'_>]) {
    for (filter, passes) in cases {
        for order_by in ORDERS {
            let expected = expected(rows, order_by, passes);
            let request = ListPromptsRequest { order_by: order_by.into(), ..filter.clone() };
            for &page_size in page_sizes {
                let pages = pages(client, &request, page_size).await;
                assert_eq!(ids(&pages), expected, "{request:?}");
                assert!(pages[0].previous().is_empty() && pages.iter().all(|page| page.prompts.len() <= 200));
                let last = pages.last().unwrap();
                let mut back = pages_back(client, &request, page_size, last.previous()).await;
                back.reverse();
                assert_eq!(ids(&back), expected[..expected.len() - last.prompts.len()], "{request:?}, backwards");
            }
        }
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn surface(surface: &str) -> ListPromptsRequest {
    ListPromptsRequest { surface: text(surface), ..Default::default() }
}

fn prefix(prefix: &str) -> ListPromptsRequest {
    ListPromptsRequest { name_prefix: text(prefix), ..Default::default() }
}

fn tag(tag: &str) -> ListPromptsRequest {
    ListPromptsRequest { tag: text(tag), ..Default::default() }
}

#[tokio::test]
async fn every_filter_and_every_combination_in_every_order() {
    let (platform, client) = start().await;
    make_mixed(&platform, &client, "default", 210).await;
    make_mixed(&platform, &client, "other", 210).await;
    let rows = rows(&testing::pool(&platform), "default").await;
    let is_tagged = |row: &Row, tag: &str| row.tags.iter().any(|other| other == tag);
    let cases: [Case<'_>; 13] = [
        (by(""), &|_| true),
        (surface("chat"), &|row| row.surface == "chat"),
        // Empty asks for those that have none, which is not the same as not asking.
        (surface(""), &|row| row.surface.is_empty()),
        (surface("cha"), &|_| false),
        (prefix("a"), &|row| row.name.starts_with('a')),
        (prefix(""), &|_| true),
        (tag("by 3"), &|row| is_tagged(row, "by 3")),
        (tag("by"), &|_| false),
        (tag(""), &|_| false),
        (ListPromptsRequest { name_prefix: text("a"), ..surface("cli") }, &|row| {
            row.surface == "cli" && row.name.starts_with('a')
        }),
        (ListPromptsRequest { tag: text("by 2"), ..surface("") }, &|row| {
            row.surface.is_empty() && is_tagged(row, "by 2")
        }),
        (ListPromptsRequest { tag: text("by 5"), ..prefix("a") }, &|row| {
            row.name.starts_with('a') && is_tagged(row, "by 5")
        }),
        (ListPromptsRequest { surface: text("chat"), tag: text("by 2"), ..prefix("a") }, &|row| {
            row.surface == "chat" && row.name.starts_with('a') && is_tagged(row, "by 2")
        }),
    ];
    // Filters that nothing passes are few; those that some rows pass find some.
    assert_eq!(cases.iter().filter(|(_, passes)| !rows.iter().any(passes)).count(), 3);
    assert_filters(&client, &rows, &[4, 200], &cases).await;
}

#[tokio::test]
async fn a_prefix_is_one_of_bytes() {
    let (platform, client) = start().await;
    let names = [
        "a",
        "a%",
        "a_b",
        "ab",
        "aé",
        "b",
        "e\u{301}",
        "é",
        "éa",
        "ê",
        "\u{d7ff}x",
        "\u{e000}",
        "\u{ffff}",
        "\u{10000}",
        "\u{10fffe}x",
        "\u{10ffff}",
        "\u{10ffff}a",
        "\u{10ffff}\u{10ffff}",
        "\u{10ffff}\u{10ffff}a",
        " a",
        "A",
    ];
    make(&client, "default", &names.map(named)).await;
    let rows = rows(&testing::pool(&platform), "default").await;
    for wanted in [
        "a",
        "a%",
        "_",
        "%",
        "ab",
        "abc",
        "e",
        "é",
        "\u{301}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{ffff}",
        "\u{10fffe}",
        "\u{10ffff}",
        "\u{10ffff}\u{10ffff}",
        "\u{10ffff}\u{10ffff}\u{10ffff}",
        "A",
        " ",
    ] {
        let passes = |row: &Row| row.name.starts_with(wanted);
        assert_filters(&client, &rows, &[1, 2], &[(prefix(wanted), &passes)]).await;
    }
    let long = "a".repeat(100_000);
    assert_filters(&client, &rows, &[2], &[(prefix(&long), &|_| false)]).await;
}

#[tokio::test]
async fn a_rare_tag_is_found_behind_pages_that_are_empty() {
    let (platform, client) = start().await;
    let tagged = |place: usize| {
        // At the ends of the stretches of 2,000 rows that a page examines, by time and by name alike.
        let is_rare = [0, 1, 999, 1_999, 2_000, 2_001, 3_000, 3_999, 4_000, 5_000].contains(&place);
        let tags = if is_rare { vec!["rare".to_owned()] } else { vec![] };
        let once = if place == 4_500 { vec!["once".to_owned()] } else { vec![] };
        with(Prompt { name: format!("{place:04}"), tags: [tags, once].concat(), ..Default::default() })
    };
    make(&client, "default", &(0..5_001).map(tagged).collect::<Vec<_>>()).await;
    let rows = rows(&testing::pool(&platform), "default").await;
    let is_tagged = |row: &Row, tag: &str| row.tags.iter().any(|other| other == tag);
    let cases: [Case<'_>; 3] = [
        (tag("rare"), &|row| is_tagged(row, "rare")),
        (tag("once"), &|row| is_tagged(row, "once")),
        (tag("none"), &|_| false),
    ];
    assert_filters(&client, &rows, &[1, 3, 200], &cases).await;

    let lengths = async |filter: ListPromptsRequest, order_by: &str| {
        let request = ListPromptsRequest { order_by: order_by.into(), ..filter };
        pages(&client, &request, 200).await.iter().map(|page| page.prompts.len()).collect::<Vec<_>>()
    };
    assert_eq!(lengths(tag("none"), "name").await, [0, 0, 0]);
    assert_eq!(lengths(tag("once"), "name").await, [0, 0, 1]);
    assert_eq!(lengths(tag("once"), "create_time desc").await, [1, 0, 0]);
    assert_eq!(lengths(tag("rare"), "create_time").await, [4, 4, 2]);
}

#[tokio::test]
async fn no_walk_ends_at_the_last_row_examined() {
    let (_platform, client) = start().await;
    // One stretch of 2,000 rows, and nothing behind it.
    make(&client, "default", &(0..2_000).map(|place| named(format!("{place:04}"))).collect::<Vec<_>>()).await;
    let pages = pages(&client, &ListPromptsRequest { tag: text("none"), ..by("name") }, 200).await;
    assert!(ids(&pages).is_empty());
    // What is made behind it while a caller stands there is found.
    let before = list(&client, &at(&ListPromptsRequest { tag: text("new"), ..by("name") }, 200, "")).await.unwrap();
    let new = with(Prompt { name: "2000".into(), tags: vec!["new".into()], ..Default::default() });
    let made = make(&client, "default", &[new]).await;
    let request = at(&ListPromptsRequest { tag: text("new"), ..by("name") }, 200, before.next());
    assert_eq!(list(&client, &request).await.unwrap().prompts, made);
}

/// The total of a kind, and what kind it turned out to be.
async fn total(client: &Client, request: &ListPromptsRequest, kind: TotalCount, token: &str) -> (Page, i64, i32) {
    let page_token = token.to_owned();
    let page = PageRequest { page_size: 2, total_count: kind.into(), page_token, ..Default::default() };
    let page = list(client, &paged(request, page)).await.unwrap();
    let (count, precision) = (page.page.total_count.unwrap(), page.page.total_count_precision);
    (page, count, precision)
}

const EXACT: i32 = TotalCountPrecision::Exact as i32;
const AT_LEAST: i32 = TotalCountPrecision::AtLeast as i32;
const ESTIMATE: i32 = TotalCountPrecision::Estimate as i32;

#[tokio::test]
async fn nothing_is_counted_unless_asked_for() {
    let (_platform, client) = start().await;
    make(&client, "default", &["a", "b", "c"].map(named)).await;
    let first = list(&client, &at(&by(""), 2, "")).await.unwrap();
    let second = list(&client, &at(&by(""), 2, first.next())).await.unwrap();
    for page in [first.page, second.page, list(&client, &by("")).await.unwrap().page] {
        assert_eq!((page.total_count, page.total_count_precision), (None, 0));
    }
}

#[tokio::test]
async fn a_count_is_of_what_the_filters_match_on_every_page() {
    let (platform, client) = start().await;
    make_mixed(&platform, &client, "default", 210).await;
    make_mixed(&platform, &client, "other", 30).await;
    let rows = rows(&testing::pool(&platform), "default").await;
    let cases: [Case<'_>; 6] = [
        (by(""), &|_| true),
        (surface(""), &|row| row.surface.is_empty()),
        (prefix("a"), &|row| row.name.starts_with('a')),
        (tag("by 5"), &|row| row.tags.iter().any(|tag| tag == "by 5")),
        (ListPromptsRequest { tag: text("by 5"), ..surface("chat") }, &|row| {
            row.surface == "chat" && row.tags.iter().any(|tag| tag == "by 5")
        }),
        (tag("none"), &|_| false),
    ];
    for (filter, passes) in cases {
        let matching = rows.iter().filter(|row| passes(row)).count() as i64;
        for order_by in ORDERS {
            let request = ListPromptsRequest { order_by: order_by.into(), ..filter.clone() };
            for kind in [TotalCount::Exact, TotalCount::Capped] {
                let (mut page, count, precision) = total(&client, &request, kind, "").await;
                assert_eq!((count, precision), (matching, EXACT), "{request:?}");
                // Wherever the page stands, and whichever way it was reached.
                for _ in 0..2 {
                    let token = if page.next().is_empty() { page.previous() } else { page.next() }.to_owned();
                    let (next, count, precision) = total(&client, &request, kind, &token).await;
                    assert_eq!((count, precision), (matching, EXACT), "{request:?}");
                    page = next;
                }
                if !page.previous().is_empty() {
                    let (_, count, precision) = total(&client, &request, kind, page.previous()).await;
                    assert_eq!((count, precision), (matching, EXACT), "{request:?}");
                }
            }
            assert_eq!(total(&client, &request, TotalCount::Estimated, "").await.2, ESTIMATE, "{request:?}");
        }
    }
}

#[tokio::test]
async fn a_capped_count_stops_at_ten_thousand() {
    let (platform, client) = start().await;
    let prompt = |place: usize| Prompt {
        name: format!("{place:05}"),
        surface: if place < 30 { "rare".into() } else { String::new() },
        tags: if place < 3 { vec!["rare".into()] } else { vec![] },
        ..Default::default()
    };
    let requests: Vec<_> = (0..10_001).map(|place| with(prompt(place))).collect();
    make(&client, "default", &requests[..10_000]).await;
    make(&client, "other", &requests[..10]).await;
    let capped = async |request: ListPromptsRequest| {
        let (_, count, precision) = total(&client, &request, TotalCount::Capped, "").await;
        (count, precision)
    };
    assert_eq!(capped(by("")).await, (10_000, EXACT));
    assert_eq!(capped(ListPromptsRequest { tag: text("rare"), ..by("name") }).await, (3, EXACT));

    make(&client, "default", &requests[10_000..]).await;
    for order_by in ORDERS {
        assert_eq!(capped(by(order_by)).await, (10_000, AT_LEAST), "{order_by}");
    }
    let (first, ..) = total(&client, &by("name"), TotalCount::Capped, "").await;
    let (_, count, precision) = total(&client, &by("name"), TotalCount::Capped, first.next()).await;
    assert_eq!((count, precision), (10_000, AT_LEAST));
    // An index leads to the few rows of a surface; for a tag the cap is one of rows looked at.
    assert_eq!(capped(surface("rare")).await, (30, EXACT));
    assert_eq!(capped(surface("")).await, (9_971, EXACT));
    assert_eq!(capped(ListPromptsRequest { name_prefix: text("000"), ..by("name") }).await, (100, EXACT));
    let (count, precision) = capped(tag("rare")).await;
    assert!(count <= 3 && precision == AT_LEAST, "{count} {precision}");

    // Exact is exact beyond the cap, and the estimate is the planner's once it knows the table.
    let exact = total(&client, &by(""), TotalCount::Exact, "").await;
    assert_eq!((exact.1, exact.2), (10_001, EXACT));
    sqlx::query("analyze prompts").execute(&testing::pool(&platform)).await.unwrap();
    let (_, count, precision) = total(&client, &by(""), TotalCount::Estimated, "").await;
    assert!((9_000..=11_000).contains(&count) && precision == ESTIMATE, "{count} {precision}");
    let (_, count, precision) = total(&client, &surface("rare"), TotalCount::Estimated, "").await;
    assert!((1..=1_000).contains(&count) && precision == ESTIMATE, "{count} {precision}");
}
