//! Page tokens: what one opens for, why another is refused, and that a refusal costs no statement.
use std::time::Duration;

use crate::support::{
    Client, ORDERS, at, by, expected, list, list_in, make, named, paged, rows, start, start_on, told, with,
};
use pagination::PageTokens;
use platform::{
    Platform,
    testing::{self, Hands},
};
use quire_proto::{
    pagination::v1::{PageRequest, TotalCount},
    prompts::v1::{DeletePromptRequest, ListPromptsRequest, Prompt},
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why the page is refused; every refusal of a token says it in the same way.
async fn reason(client: &Client, workspace: &str, request: &ListPromptsRequest) -> String {
    let status = list_in(client, workspace, request).await.unwrap_err();
    refusal(&status)
}

fn refusal(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    assert_eq!((violations.len(), violations[0].field.as_str()), (1, "page.page_token"));
    assert_eq!(status.message(), format!("page.page_token: {}", violations[0].description));
    let info = details.error_info().unwrap();
    assert_eq!((info.domain.as_str(), info.metadata.len()), ("quire", 0));
    info.reason.clone()
}

/// Five prompts of the surface `chat` that carry the tag `a`.
async fn make_five(client: &Client, workspace: &str) -> Vec<Prompt> {
    let prompt = |name: &str| Prompt {
        name: name.into(),
        surface: "chat".into(),
        tags: vec!["a".into(), "chat".into()],
        ..Default::default()
    };
    make(client, workspace, &["a1", "a2", "a3", "a4", "a5"].map(|name| with(prompt(name)))).await
}

/// The token of the second page of two.
async fn token(client: &Client, request: &ListPromptsRequest) -> String {
    list(client, &at(request, 2, "")).await.unwrap().page.next_page_token
}

fn filtered(surface: Option<&str>, name_prefix: Option<&str>, tag: Option<&str>) -> ListPromptsRequest {
    ListPromptsRequest {
        surface: surface.map(str::to_owned),
        name_prefix: name_prefix.map(str::to_owned),
        tag: tag.map(str::to_owned),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_token_opens_for_the_query_that_it_was_given_out_for() {
    let (_platform, client) = start().await;
    make_five(&client, "default").await;
    make_five(&client, "other").await;
    // All of these give the same rows, so that the rows are no reason to tell the queries apart.
    let mut queries = vec![
        filtered(None, None, None),
        filtered(Some("chat"), None, None),
        filtered(None, Some("a"), None),
        filtered(None, Some(""), None),
        filtered(None, None, Some("a")),
        filtered(None, None, Some("chat")),
        filtered(Some("chat"), Some("a"), None),
        filtered(Some("chat"), None, Some("a")),
        filtered(None, Some("a"), Some("a")),
        filtered(Some("chat"), Some("a"), Some("a")),
    ];
    for order_by in &ORDERS[1..] {
        queries.push(by(order_by));
        queries
            .push(ListPromptsRequest { order_by: (*order_by).into(), ..filtered(Some("chat"), Some("a"), Some("a")) });
    }
    for given_for in &queries {
        let first = list(&client, &at(given_for, 2, "")).await.unwrap();
        let second = list(&client, &at(given_for, 2, first.next())).await.unwrap();
        for token in [first.next(), second.next(), second.previous()] {
            for query in &queries {
                let request = at(query, 2, token);
                if query == given_for {
                    assert_eq!(
                        list(&client, &request).await.unwrap().prompts.len(),
                        if token == second.next() { 1 } else { 2 }
                    );
                } else {
                    assert_eq!(reason(&client, "default", &request).await, "PAGE_TOKEN_QUERY_CHANGED", "{request:?}");
                }
                assert_eq!(reason(&client, "other", &request).await, "PAGE_TOKEN_QUERY_CHANGED", "{request:?}");
            }
            // A filter that nothing passes, and one where there was an empty one.
            for query in
                [filtered(Some("cha"), None, None), filtered(Some(""), None, None), filtered(None, None, Some(""))]
            {
                let reason = reason(&client, "default", &at(&query, 2, token)).await;
                assert_eq!(reason, "PAGE_TOKEN_QUERY_CHANGED", "{query:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_no_server_gave_out_is_refused() {
    let (_platform, client) = start().await;
    make_five(&client, "default").await;
    let token = token(&client, &by("")).await;
    // The version byte and the length of the key's id, in base64url.
    let body = token.strip_prefix("Ag").unwrap();
    let (begin, end) = token.split_at(token.len() / 2);
    let flip = |(place, char)| match char {
        _ if place != token.len() / 2 => char,
        'A' => 'B',
        _ => 'A',
    };
    let flipped = token.chars().enumerate().map(flip).collect();
    let cases = [
        ("PAGE_TOKEN_UNTRUSTED", format!("AQ{body}")),
        ("PAGE_TOKEN_UNTRUSTED", format!("Aw{body}")),
        ("PAGE_TOKEN_UNSUPPORTED_VERSION", format!("BA{body}")),
        ("PAGE_TOKEN_UNSUPPORTED_VERSION", format!("_w{body}")),
        ("PAGE_TOKEN_MALFORMED", format!("AA{body}")),
        ("PAGE_TOKEN_UNTRUSTED", flipped),
        ("PAGE_TOKEN_UNTRUSTED", format!("{token}AAAA")),
        ("PAGE_TOKEN_UNTRUSTED", token[..token.len() / 4 * 3 / 4 * 4].to_owned()),
        ("PAGE_TOKEN_MALFORMED", token[..8].to_owned()),
        ("PAGE_TOKEN_MALFORMED", "A".to_owned()),
        ("PAGE_TOKEN_MALFORMED", "x".to_owned()),
        ("PAGE_TOKEN_MALFORMED", " ".to_owned()),
        ("PAGE_TOKEN_MALFORMED", format!(" {token}")),
        ("PAGE_TOKEN_MALFORMED", format!("{token}\n")),
        ("PAGE_TOKEN_MALFORMED", format!("{token}=")),
        ("PAGE_TOKEN_MALFORMED", format!("{token}+")),
        ("PAGE_TOKEN_MALFORMED", format!("{begin}/{end}")),
        ("PAGE_TOKEN_MALFORMED", format!("{begin}\0{end}")),
        ("PAGE_TOKEN_MALFORMED", format!("{begin}é{end}")),
        ("PAGE_TOKEN_MALFORMED", "A".repeat(4_097)),
        ("PAGE_TOKEN_MALFORMED", "A".repeat(1 << 20)),
        ("PAGE_TOKEN_MALFORMED", "2".to_owned()),
    ];
    for (expected, changed) in cases {
        assert_eq!(reason(&client, "default", &at(&by(""), 2, &changed)).await, expected, "{changed:.200}");
    }
    assert_eq!(list(&client, &at(&by(""), 2, &token)).await.unwrap().prompts.len(), 2);
}

#[tokio::test]
async fn a_token_changed_or_cut_anywhere_is_refused() {
    let (_platform, client) = start().await;
    make_five(&client, "default").await;
    let token = token(&client, &by("name")).await;
    for place in 0..token.len() {
        let other = if &token[place..=place] == "z" { "y" } else { "z" };
        let changed = format!("{}{other}{}", &token[..place], &token[place + 1..]);
        reason(&client, "default", &at(&by("name"), 2, &changed)).await;
        if place > 0 {
            reason(&client, "default", &at(&by("name"), 2, &token[..place])).await;
        }
    }
}

/// The service on the same database, with these token keys.
async fn with_keys(platform: &Platform, keys: &str) -> Client {
    let tokens = PageTokens::new(keys.parse().unwrap());
    start_on(&Platform::new(platform.database.clone(), tokens, platform.clock.clone(), None)).await
}

#[tokio::test]
async fn any_server_with_the_key_opens_a_token_and_no_other() {
    const OTHER: &str = "other:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
    let (platform, client) = start().await;
    make_five(&client, "default").await;
    let request = at(&by("name"), 2, &token(&client, &by("name")).await);
    let second = list(&client, &request).await.unwrap();

    let replica = with_keys(&platform, testing::TOKEN_KEYS).await;
    assert_eq!(list(&replica, &request).await.unwrap().prompts, second.prompts);
    let other = with_keys(&platform, OTHER).await;
    assert_eq!(reason(&other, "default", &request).await, "PAGE_TOKEN_UNTRUSTED");
    let same_id = with_keys(&platform, &OTHER.replace("other", "test")).await;
    assert_eq!(reason(&same_id, "default", &request).await, "PAGE_TOKEN_UNTRUSTED");

    // After a rotation: what the old key sealed still opens, and what the new one seals is news to the old server.
    let rotated = with_keys(&platform, &format!("{OTHER},{}", testing::TOKEN_KEYS)).await;
    let second = list(&rotated, &request).await.unwrap();
    let request = at(&by("name"), 2, second.next());
    assert_eq!(reason(&client, "default", &request).await, "PAGE_TOKEN_UNTRUSTED");
    assert_eq!(list(&other, &request).await.unwrap().prompts[0].name, "a5");
}

#[tokio::test]
async fn a_token_expires() {
    let hands = Hands::at(1_700_000_000);
    let mut platform = testing::platform().await;
    assert_eq!(platform.paging.tokens.time_to_live, Duration::from_secs(72 * 60 * 60));
    platform.paging.tokens.time_to_live = Duration::from_secs(60);
    platform.paging.tokens.now = hands.clock().into();
    let client = start_on(&platform).await;
    make_five(&client, "default").await;

    let request = at(&by("name"), 2, &token(&client, &by("name")).await);
    hands.pass(60);
    let second = list(&client, &request).await.unwrap();
    hands.pass(1);
    insta::assert_snapshot!(told(&list(&client, &request).await.unwrap_err()), @"
    InvalidArgument: page.page_token: has expired; begin again without one
      page.page_token: has expired; begin again without one
      PAGE_TOKEN_EXPIRED of quire {}
    ");
    assert_eq!(reason(&client, "default", &request).await, "PAGE_TOKEN_EXPIRED");
    // Each page gives out a token that lives from then on.
    assert_eq!(list(&client, &at(&by("name"), 2, second.next())).await.unwrap().prompts.len(), 1);
    // A server whose clock is behind that of the one which gave the token out.
    hands.go_back(1_061);
    list(&client, &request).await.unwrap();
}

#[tokio::test]
async fn a_token_can_be_used_again_and_with_another_size_count_or_skip() {
    let (_platform, client) = start().await;
    let names: Vec<_> = (0..30).map(|place| format!("{place:02}")).collect();
    make(&client, "default", &names.iter().map(named).collect::<Vec<_>>()).await;
    let token = list(&client, &at(&by("name"), 10, "")).await.unwrap().page.next_page_token;
    for page_size in [1, 3, 10, 200] {
        for skip in [0, 2, 20] {
            for total_count in [TotalCount::Unspecified, TotalCount::Exact, TotalCount::Capped, TotalCount::Estimated] {
                let total_count = total_count.into();
                let page = PageRequest { page_size, page_token: token.clone(), total_count, skip };
                let page = list(&client, &paged(&by("name"), page)).await.unwrap();
                let from = 10 + skip as usize;
                let found: Vec<_> = page.prompts.iter().map(|prompt| &prompt.name).collect();
                assert_eq!(found, names[from..].iter().take(page_size as usize).collect::<Vec<_>>());
            }
        }
    }
    // The same page again gives tokens that are not alike, and lead to the same place.
    let again = list(&client, &at(&by("name"), 10, "")).await.unwrap().page.next_page_token;
    assert_ne!(again, token);
    let third = async |token: &str| list(&client, &at(&by("name"), 10, token)).await.unwrap().prompts;
    assert_eq!(third(&again).await, third(&token).await);
}

async fn delete(client: &Client, id: &str) {
    client.clone().delete_prompt(DeletePromptRequest { id: id.into() }).await.unwrap();
}

#[tokio::test]
async fn a_token_outlives_the_row_that_it_stands_on() {
    let (platform, client) = start().await;
    for order_by in ORDERS {
        sqlx::query("truncate prompts cascade").execute(&testing::pool(&platform)).await.unwrap();
        make(&client, "default", &(0..9).map(|place| named(place.to_string())).collect::<Vec<_>>()).await;
        let expected = expected(&rows(&testing::pool(&platform), "default").await, order_by, |_| true);
        let get = async |token: &str| list(&client, &at(&by(order_by), 3, token)).await.unwrap();
        let first = get("").await;
        let second = get(first.next()).await;

        // The rows that the two tokens stand on: the last of the first page and the first of the second.
        delete(&client, &expected[2]).await;
        delete(&client, &expected[3]).await;
        assert_eq!(get(first.next()).await.ids(), expected[4..7], "{order_by}");
        assert_eq!(get(second.previous()).await.ids(), expected[..2], "{order_by}");
        assert_eq!(get(second.next()).await.ids(), expected[6..], "{order_by}");

        for id in expected[..2].iter().chain(&expected[4..]) {
            delete(&client, id).await;
        }
        let next = get(second.next()).await;
        assert_eq!((next.prompts.len(), next.next()), (0, ""), "{order_by}");
        let previous = get(second.previous()).await;
        assert_eq!((previous.prompts.len(), previous.previous()), (0, ""), "{order_by}");
        // From either end of nothing, the way back is open, and finds what is made since.
        assert_eq!(get(next.previous()).await.prompts, [], "{order_by}");
        assert_eq!(get(previous.next()).await.prompts, [], "{order_by}");
        let made = make(&client, "default", &[named("5")]).await;
        let around = [get(next.previous()).await.prompts, get(next.next()).await.prompts].concat();
        assert!(around.contains(&made[0]), "{order_by}");
    }
}

#[tokio::test]
async fn the_way_back_from_an_empty_page_begins_with_the_row_that_its_token_stood_on() {
    let (platform, client) = start().await;
    for order_by in ORDERS {
        let get = async |token: &str| list(&client, &at(&by(order_by), 3, token)).await.unwrap();
        for is_end in [true, false] {
            sqlx::query("truncate prompts cascade").execute(&testing::pool(&platform)).await.unwrap();
            make(&client, "default", &(0..6).map(|place| named(place.to_string())).collect::<Vec<_>>()).await;
            let expected = expected(&rows(&testing::pool(&platform), "default").await, order_by, |_| true);
            let first = get("").await;
            let second = get(first.next()).await;
            let (gone, left) = if is_end { (&expected[3..], &expected[..3]) } else { expected.split_at(3) };
            for id in gone {
                delete(&client, id).await;
            }
            let empty = get(if is_end { first.next() } else { second.previous() }).await;
            assert_eq!(empty.ids(), [""; 0], "{order_by}");
            let back = get(if is_end { empty.previous() } else { empty.next() }).await;
            assert_eq!(back.ids(), left, "{order_by}");
        }
    }
}

#[tokio::test]
async fn no_statement_is_run_for_a_request_that_is_wrong() {
    let (platform, client) = start().await;
    make_five(&client, "default").await;
    let token = token(&client, &by("name")).await;
    let count = |request: &ListPromptsRequest, page_token: &str| {
        let page_token = page_token.to_owned();
        paged(request, PageRequest { page_token, total_count: TotalCount::Exact.into(), ..Default::default() })
    };
    let good = count(&by("name"), &token);
    list(&client, &good).await.unwrap();

    // From here on, whatever needs the database fails for want of it.
    platform.database.close();
    let unavailable = told(&list(&client, &good).await.unwrap_err());
    insta::assert_snapshot!(unavailable, @"Unavailable: the database is unavailable; try again");
    assert_eq!(told(&list(&client, &by("name")).await.unwrap_err()), unavailable);

    assert_eq!(reason(&client, "default", &count(&by(""), &token)).await, "PAGE_TOKEN_QUERY_CHANGED");
    assert_eq!(reason(&client, "other", &good).await, "PAGE_TOKEN_QUERY_CHANGED");
    let untrusted = count(&by("name"), &format!("{token}AAAA"));
    assert_eq!(reason(&client, "default", &untrusted).await, "PAGE_TOKEN_UNTRUSTED");
    assert_eq!(reason(&client, "default", &count(&by("name"), "x")).await, "PAGE_TOKEN_MALFORMED");
    let skip = PageRequest { skip: 10_001, ..Default::default() };
    for request in [paged(&by(""), skip), at(&by(""), -1, ""), by("size"), filtered(None, None, Some("\0"))] {
        assert_eq!(list(&client, &request).await.unwrap_err().code(), Code::InvalidArgument, "{request:?}");
    }
}

#[tokio::test]
async fn each_reason_says_how_to_go_on() {
    let (_platform, client) = start().await;
    make_five(&client, "default").await;
    let token = token(&client, &by("")).await;
    let (_, body) = token.split_at(2);
    let refused = async |request, token: &str| told(&list(&client, &at(&request, 2, token)).await.unwrap_err());
    let answers = [
        refused(by("name"), &token).await,
        refused(by(""), &format!("{token}AAAA")).await,
        refused(by(""), &format!("{token}=")).await,
        refused(by(""), &format!("BA{body}")).await,
    ];
    insta::assert_snapshot!(answers.join("\n"), @"
    InvalidArgument: page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      PAGE_TOKEN_QUERY_CHANGED of quire {}
    InvalidArgument: page.page_token: was not given out by this service, or was changed; begin again without one
      page.page_token: was not given out by this service, or was changed; begin again without one
      PAGE_TOKEN_UNTRUSTED of quire {}
    InvalidArgument: page.page_token: is not a page token; begin again without one
      page.page_token: is not a page token; begin again without one
      PAGE_TOKEN_MALFORMED of quire {}
    InvalidArgument: page.page_token: is of a version that this server does not read; begin again without one
      page.page_token: is of a version that this server does not read; begin again without one
      PAGE_TOKEN_UNSUPPORTED_VERSION of quire {}
    ");
}
