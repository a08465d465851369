//! ListPrompts: its orders, the sizes of its pages, the way there and back, and skips.
use crate::support::{
    Client, ORDERS, at, by, expected, ids, list, list_in, make, make_by, make_mixed, named, paged, pages, pages_back,
    rows, start, told, with,
};
use platform::testing;
use quire_proto::{
    pagination::v1::PageRequest,
    prompts::v1::{GetPromptRequest, ListPromptsRequest, Prompt},
};

/// Walks to the end and back, and holds every page and both of its tokens to what they must be.
async fn assert_pages(client: &Client, workspace: &str, order_by: &str, page_size: i32, expected: &[String]) {
    let size = match page_size {
        0 => 50,
        1..200 => page_size as usize,
        _ => 200,
    };
    let chunks: Vec<_> = expected.chunks(size).collect();
    let (mut token, mut back) = (String::new(), String::new());
    for (place, chunk) in chunks.iter().enumerate() {
        let page = list_in(client, workspace, &at(&by(order_by), page_size, &token)).await.unwrap();
        assert_eq!(page.ids(), *chunk, "page {place} of {page_size} by {order_by}");
        assert_eq!(page.next().is_empty(), place + 1 == chunks.len(), "next of page {place} of {page_size}");
        assert_eq!(page.previous().is_empty(), place == 0, "previous of page {place} of {page_size}");
        page.next().clone_into(&mut token);
        page.previous().clone_into(&mut back);
    }
    for (place, chunk) in chunks.iter().enumerate().rev().skip(1) {
        let page = list_in(client, workspace, &at(&by(order_by), page_size, &back)).await.unwrap();
        assert_eq!(page.ids(), *chunk, "page {place} of {page_size} by {order_by}, from behind");
        assert_eq!(page.previous().is_empty(), place == 0, "previous of page {place} of {page_size}, from behind");
        let next = list_in(client, workspace, &at(&by(order_by), page_size, page.next())).await.unwrap();
        assert_eq!(next.ids(), chunks[place + 1], "the page after {place} of {page_size}, from behind");
        page.previous().clone_into(&mut back);
    }
    assert_eq!(back, "");
}

#[tokio::test]
async fn every_order_forward_and_backward_at_every_page_size() {
    let (platform, client) = start().await;
    // The size 3 divides 24, and no size divides 403.
    for (workspace, count, page_sizes) in [("few", 24, &[0, 1, 3][..]), ("many", 403, &[0, 200, 201, i32::MAX])] {
        make_mixed(&platform, &client, workspace, count).await;
        let rows = rows(&testing::pool(&platform), workspace).await;
        for order_by in ORDERS {
            let expected = expected(&rows, order_by, |_| true);
            assert_eq!(expected.len(), count);
            for page_size in page_sizes {
                assert_pages(&client, workspace, order_by, *page_size, &expected).await;
            }
        }
        // The orders are told apart by these rows.
        let mut orders = ORDERS.map(|order_by| expected(&rows, order_by, |_| true));
        orders.sort();
        assert!(orders.windows(2).all(|two| two[0] != two[1]));
    }
}

#[tokio::test]
async fn the_latest_come_first_unless_told_otherwise() {
    let (platform, client) = start().await;
    make_mixed(&platform, &client, "default", 60).await;
    let expected = expected(&rows(&testing::pool(&platform), "default").await, "create_time desc", |_| true);
    for order_by in ["", "create_time desc", "  create_time   desc "] {
        // Without `page` as with an empty one: the first 50.
        assert_eq!(list(&client, &by(order_by)).await.unwrap().ids(), expected[..50], "{order_by:?}");
        assert_eq!(ids(&pages(&client, &by(order_by), 7).await), expected, "{order_by:?}");
    }
}

#[tokio::test]
async fn a_listed_prompt_is_the_one_that_get_gives() {
    let (_platform, client) = start().await;
    let prompt = |name: &str| Prompt {
        name: name.into(),
        surface: "chat".into(),
        tags: vec!["b".into(), "a".into()],
        metadata: [("key".into(), "value".into())].into(),
        ..Default::default()
    };
    let made = make(&client, "default", &[with(prompt("a")), with(prompt("b"))]).await;
    assert_eq!(list(&client, &by("name")).await.unwrap().prompts, made);
    for prompt in made {
        let got = client.clone().get_prompt(GetPromptRequest { id: prompt.id.clone() }).await.unwrap();
        assert_eq!(got.into_inner().prompt, Some(prompt));
    }
}

#[tokio::test]
async fn nothing_is_one_empty_page() {
    let (_platform, client) = start().await;
    for order_by in ORDERS {
        let page = list(&client, &at(&by(order_by), 0, "")).await.unwrap();
        assert_eq!((page.prompts.len(), page.next(), page.previous()), (0, "", ""));
    }
}

#[tokio::test]
async fn an_exact_multiple_of_the_page_size_has_no_empty_page_behind() {
    let (_platform, client) = start().await;
    make(&client, "default", &(0..6).map(|place| named(place.to_string())).collect::<Vec<_>>()).await;
    for order_by in ORDERS {
        for (page_size, lengths) in [(1, &[1; 6][..]), (2, &[2; 3]), (3, &[3; 2]), (6, &[6])] {
            let pages = pages(&client, &by(order_by), page_size).await;
            assert_eq!(pages.iter().map(|page| page.prompts.len()).collect::<Vec<_>>(), lengths, "{order_by}");
        }
    }
}

#[tokio::test]
async fn the_heaviest_page_is_one_that_any_client_reads() {
    let (_platform, client) = start().await;
    let prompt = |place: usize| Prompt {
        name: format!("{place:0256}"),
        surface: "x".repeat(64),
        tags: (0..32).map(|tag| format!("{tag:064}")).collect(),
        metadata: (0..64).map(|key| (format!("{key:064}"), "x".repeat(64))).collect(),
        ..Default::default()
    };
    // In batches whose answers the client can read.
    make_by(&client, "default", 200, &(0..201).map(|place| with(prompt(place))).collect::<Vec<_>>()).await;
    assert_eq!(list(&client, &at(&by("name"), 200, "")).await.unwrap().prompts.len(), 200);
}

#[tokio::test]
async fn a_skip_passes_over_rows_in_the_direction_of_the_page() {
    let (platform, client) = start().await;
    make_mixed(&platform, &client, "default", 24).await;
    let rows = rows(&testing::pool(&platform), "default").await;
    let page =
        |page_size, skip, token: &str| PageRequest { page_size, skip, page_token: token.into(), ..Default::default() };
    for order_by in ORDERS {
        let expected = expected(&rows, order_by, |_| true);
        let get = async |page| list(&client, &paged(&by(order_by), page)).await.unwrap();
        for skip in [0, 1, 5, 21, 23] {
            let from = skip as usize;
            let found = get(page(3, skip, "")).await;
            assert_eq!(found.ids(), expected[from..(from + 3).min(24)], "{order_by}, {skip}");
            assert_eq!(found.next().is_empty(), from + 3 >= 24, "{order_by}, {skip}");
            assert_eq!(found.previous().is_empty(), skip == 0, "{order_by}, {skip}");
            if skip > 0 {
                // All that was passed over, and no row of the page.
                assert_eq!(get(page(200, 0, found.previous())).await.ids(), expected[..from], "{order_by}, {skip}");
            }
        }
        for skip in [24, 25, 10_000] {
            let found = get(page(3, skip, "")).await;
            assert_eq!((found.prompts.len(), found.next()), (0, ""), "{order_by}, {skip}");
            let back = get(page(3, 0, found.previous())).await;
            assert_eq!(back.ids(), expected[21..], "{order_by}, {skip}");
            assert!(!back.next().is_empty() && !back.previous().is_empty());
            assert_eq!(get(page(200, 0, back.previous())).await.ids(), expected[..21], "{order_by}, {skip}");
        }

        let second = get(page(3, 0, get(page(3, 0, "")).await.next())).await;
        assert_eq!(get(page(3, 4, second.next())).await.ids(), expected[10..13], "{order_by}");
        let later = get(page(3, 12, "")).await;
        let back = get(page(3, 4, later.previous())).await;
        assert_eq!(back.ids(), expected[5..8], "{order_by}");
        assert_eq!(get(page(3, 0, back.next())).await.ids(), expected[8..11], "{order_by}");
        assert_eq!(get(page(3, 0, back.previous())).await.ids(), expected[2..5], "{order_by}");
        let beyond = get(page(3, 12, later.previous())).await;
        assert_eq!((beyond.prompts.len(), beyond.previous()), (0, ""), "{order_by}");
        assert_eq!(get(page(3, 0, beyond.next())).await.ids(), expected[..3], "{order_by}");
    }
}

#[tokio::test]
async fn the_largest_skip_reaches_row_10001() {
    let (platform, client) = start().await;
    make(&client, "default", &(0..10_001).map(|place| named(format!("{place:05}"))).collect::<Vec<_>>()).await;
    let rows = rows(&testing::pool(&platform), "default").await;
    for order_by in ORDERS {
        let page = PageRequest { skip: 10_000, ..Default::default() };
        let page = list(&client, &paged(&by(order_by), page)).await.unwrap();
        assert_eq!(page.ids(), expected(&rows, order_by, |_| true)[10_000..], "{order_by}");
        assert_eq!(page.next(), "");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (_platform, client) = start().await;
    let page = |page: PageRequest| paged(&by(""), page);
    let skip = |skip| PageRequest { skip, ..Default::default() };
    let skipping = |request: ListPromptsRequest| ListPromptsRequest { page: Some(skip(1)), ..request };
    let text = |text: &str| Some(text.to_owned());
    let requests = [
        ("a negative size", page(PageRequest { page_size: -1, ..Default::default() })),
        ("the most negative size", page(PageRequest { page_size: i32::MIN, ..Default::default() })),
        ("a negative skip", page(skip(-1))),
        ("a skip of 10,001", page(skip(10_001))),
        ("a count that is none", page(PageRequest { total_count: 4, ..Default::default() })),
        ("all of these", page(PageRequest { page_size: -1, skip: -1, total_count: -1, ..Default::default() })),
        ("an order that is none", by("name desc")),
        ("an order of two keys", by("create_time desc, id")),
        ("an order in capitals", by("NAME")),
        ("a skip with a tag", skipping(ListPromptsRequest { tag: text("a"), ..by("name") })),
        ("a skip with a surface by name", skipping(ListPromptsRequest { surface: text("a"), ..by("name") })),
        ("a skip with a prefix by time", skipping(ListPromptsRequest { name_prefix: text("a"), ..by("") })),
        (
            "a skip with everything",
            skipping(ListPromptsRequest { surface: text(""), name_prefix: text(""), tag: text(""), ..by("") }),
        ),
        ("NUL in a surface", ListPromptsRequest { surface: text("\0"), ..by("") }),
        ("NUL in a prefix", ListPromptsRequest { name_prefix: text("a\0"), ..by("") }),
        ("NUL in a tag", ListPromptsRequest { tag: text("a\0b"), ..by("") }),
    ];
    let mut answers = String::new();
    for (what, request) in requests {
        let answer = told(&list(&client, &request).await.unwrap_err());
        answers += &format!("{what}\n{answer}\n");
    }
    insta::assert_snapshot!(answers, @r#"
    a negative size
    InvalidArgument: page.page_size: must not be negative; 0 means 50
      page.page_size: must not be negative; 0 means 50
    the most negative size
    InvalidArgument: page.page_size: must not be negative; 0 means 50
      page.page_size: must not be negative; 0 means 50
    a negative skip
    InvalidArgument: page.skip: must be 0 to 10000; to go further, follow the page tokens
      page.skip: must be 0 to 10000; to go further, follow the page tokens
    a skip of 10,001
    InvalidArgument: page.skip: must be 0 to 10000; to go further, follow the page tokens
      page.skip: must be 0 to 10000; to go further, follow the page tokens
    a count that is none
    InvalidArgument: page.total_count: must be one of TOTAL_COUNT_UNSPECIFIED, TOTAL_COUNT_EXACT, TOTAL_COUNT_CAPPED, TOTAL_COUNT_ESTIMATED
      page.total_count: must be one of TOTAL_COUNT_UNSPECIFIED, TOTAL_COUNT_EXACT, TOTAL_COUNT_CAPPED, TOTAL_COUNT_ESTIMATED
    all of these
    InvalidArgument: page.page_size: must not be negative; 0 means 50; page.total_count: must be one of TOTAL_COUNT_UNSPECIFIED, TOTAL_COUNT_EXACT, TOTAL_COUNT_CAPPED, TOTAL_COUNT_ESTIMATED; page.skip: must be 0 to 10000; to go further, follow the page tokens
      page.page_size: must not be negative; 0 means 50
      page.total_count: must be one of TOTAL_COUNT_UNSPECIFIED, TOTAL_COUNT_EXACT, TOTAL_COUNT_CAPPED, TOTAL_COUNT_ESTIMATED
      page.skip: must be 0 to 10000; to go further, follow the page tokens
    an order that is none
    InvalidArgument: order_by: must be one of "create_time desc", "create_time", "update_time desc", "name"
      order_by: must be one of "create_time desc", "create_time", "update_time desc", "name"
    an order of two keys
    InvalidArgument: order_by: must be one of "create_time desc", "create_time", "update_time desc", "name"
      order_by: must be one of "create_time desc", "create_time", "update_time desc", "name"
    an order in capitals
    InvalidArgument: order_by: must be one of "create_time desc", "create_time", "update_time desc", "name"
      order_by: must be one of "create_time desc", "create_time", "update_time desc", "name"
    a skip with a tag
    InvalidArgument: page.skip: must be 0 with tag, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with tag, which no index serves in this order; follow the page tokens
    a skip with a surface by name
    InvalidArgument: page.skip: must be 0 with surface, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with surface, which no index serves in this order; follow the page tokens
    a skip with a prefix by time
    InvalidArgument: page.skip: must be 0 with name_prefix, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with name_prefix, which no index serves in this order; follow the page tokens
    a skip with everything
    InvalidArgument: page.skip: must be 0 with tag, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with tag, which no index serves in this order; follow the page tokens
    NUL in a surface
    InvalidArgument: surface: must not contain NUL
      surface: must not contain NUL
    NUL in a prefix
    InvalidArgument: name_prefix: must not contain NUL
      name_prefix: must not contain NUL
    NUL in a tag
    InvalidArgument: tag: must not contain NUL
      tag: must not contain NUL
    "#);
    // The channel that brought the refusals still works.
    list(&client, &by("")).await.unwrap();

    // With a filter that an index serves, a skip is as good as without.
    for request in [
        ListPromptsRequest { surface: text("a"), ..by("create_time desc") },
        ListPromptsRequest { surface: text("a"), ..by("create_time") },
        ListPromptsRequest { name_prefix: text("a"), ..by("name") },
    ] {
        list(&client, &skipping(request)).await.unwrap();
    }
}

#[tokio::test]
async fn pages_back_from_the_end_hold_every_row_once() {
    let (platform, client) = start().await;
    make_mixed(&platform, &client, "default", 50).await;
    let rows = rows(&testing::pool(&platform), "default").await;
    for order_by in ORDERS {
        let past = PageRequest { skip: 10_000, ..Default::default() };
        let end = list(&client, &paged(&by(order_by), past)).await.unwrap();
        for page_size in [7, 10] {
            let mut back = pages_back(&client, &by(order_by), page_size, end.previous()).await;
            assert_eq!(back.len(), 50_usize.div_ceil(page_size as usize), "{order_by}");
            back.reverse();
            assert_eq!(ids(&back), expected(&rows, order_by, |_| true), "{order_by}");
        }
    }
}
