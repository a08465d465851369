//! ListUsage: its orders, its filters, and what is refused.
use crate::support::{Client, ORDERS, at, by, list_in, named, page, record_in, start, told, walk, walk_in};
use prost_types::Timestamp;
use quire_proto::{
    meter::v1::{ListUsageRequest, UsageRecord},
    pagination::v1::PageRequest,
};

/// What a request filters by, and the same in Rust.
type Case<'a> = (ListUsageRequest, &'a dyn Fn(&UsageRecord) -> bool);

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Uses whose values and times meet in many ways, several of them at the same time.
async fn record_mixed(client: &Client, workspace: &str) {
    let names = ["", "a", "A", "é"];
    let records = (0..120).map(|place: usize| UsageRecord {
        agent_id: names[place % 4].into(),
        team_id: names[place / 2 % 4].into(),
        model: names[place / 3 % 4].into(),
        event_type: names[place / 5 % 4].into(),
        provider: names[place / 7 % 4].into(),
        occur_time: at(place as i64 * 7_919 % 40),
        ..named(place.to_string())
    });
    record_in(client, workspace, &records.collect::<Vec<_>>()).await.unwrap();
}

async fn refusal(client: &Client, request: ListUsageRequest) -> String {
    told(&list_in(client, "default", &request).await.unwrap_err())
}

#[tokio::test]
async fn every_filter_and_every_combination_in_every_order() {
    let (_platform, client) = start().await;
    record_mixed(&client, "default").await;
    record_mixed(&client, "other").await;
    let all = walk(&client, &by("")).await;
    assert_eq!(all.len(), 120);
    let seconds = |record: &UsageRecord| record.occur_time.unwrap().seconds - at(0).unwrap().seconds;
    let none = || by("");
    let cases: [Case<'_>; 16] = [
        (none(), &|_| true),
        (ListUsageRequest { agent_id: text("a"), ..none() }, &|record| record.agent_id == "a"),
        (ListUsageRequest { agent_id: text(""), ..none() }, &|record| record.agent_id.is_empty()),
        (ListUsageRequest { agent_id: text("x"), ..none() }, &|_| false),
        (ListUsageRequest { team_id: text("é"), ..none() }, &|record| record.team_id == "é"),
        (ListUsageRequest { team_id: text(""), ..none() }, &|record| record.team_id.is_empty()),
        (ListUsageRequest { model: text("A"), ..none() }, &|record| record.model == "A"),
        (ListUsageRequest { event_type: text("a"), ..none() }, &|record| record.event_type == "a"),
        (ListUsageRequest { provider: text(""), ..none() }, &|record| record.provider.is_empty()),
        (ListUsageRequest { start_time: at(7), ..none() }, &|record| seconds(record) >= 7),
        (ListUsageRequest { end_time: at(7), ..none() }, &|record| seconds(record) < 7),
        (ListUsageRequest { start_time: at(7), end_time: at(8), ..none() }, &|record| seconds(record) == 7),
        (ListUsageRequest { start_time: at(7), end_time: at(7), ..none() }, &|_| false),
        (ListUsageRequest { agent_id: text("a"), start_time: at(7), end_time: at(30), ..none() }, &|record| {
            record.agent_id == "a" && (7..30).contains(&seconds(record))
        }),
        (ListUsageRequest { team_id: text("A"), model: text("a"), agent_id: text("a"), ..none() }, &|record| {
            record.team_id == "A" && record.model == "a" && record.agent_id == "a"
        }),
        (ListUsageRequest { model: text(""), provider: text("a"), event_type: text("A"), ..none() }, &|record| {
            record.model.is_empty() && record.provider == "a" && record.event_type == "A"
        }),
    ];
    // Filters that nothing passes are few; those that some records pass find some.
    assert_eq!(cases.iter().filter(|(_, passes)| !all.iter().any(passes)).count(), 2);
    for (filter, passes) in cases {
        for order_by in ORDERS {
            let mut expected: Vec<_> = all.iter().filter(|record| passes(record)).cloned().collect();
            expected.sort_by_key(|record| (seconds(record), record.id.clone()));
            if order_by == "occur_time desc" {
                expected.reverse();
            }
            let request = ListUsageRequest { order_by: order_by.to_owned(), ..filter.clone() };
            for page_size in [7, 200] {
                assert_eq!(walk_in(&client, "default", &request, page_size).await, expected, "{request:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (_platform, client) = start().await;
    record_mixed(&client, "default").await;
    insta::assert_snapshot!(refusal(&client, ListUsageRequest { start_time: at(1), end_time: at(0), ..by("") }).await, @"
    InvalidArgument: end_time: must not be before start_time
      end_time: must not be before start_time
    ");
    let no_time = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
    insta::assert_snapshot!(refusal(&client, ListUsageRequest { start_time: no_time, end_time: no_time, ..by("") }).await, @"
    InvalidArgument: start_time: must be a time of the years 1 to 9999; end_time: must be a time of the years 1 to 9999
      start_time: must be a time of the years 1 to 9999
      end_time: must be a time of the years 1 to 9999
    ");
    insta::assert_snapshot!(refusal(&client, by("cost_usd")).await, @r#"
    InvalidArgument: order_by: must be one of "occur_time desc", "occur_time"
      order_by: must be one of "occur_time desc", "occur_time"
    "#);
    insta::assert_snapshot!(refusal(&client, ListUsageRequest { model: text("\0"), ..by("") }).await, @"
    InvalidArgument: model: must not contain NUL
      model: must not contain NUL
    ");
    let page = PageRequest { page_size: -1, ..Default::default() };
    insta::assert_snapshot!(refusal(&client, ListUsageRequest { page: Some(page), ..by("") }).await, @"
    InvalidArgument: page.page_size: must not be negative; 0 means 50
      page.page_size: must not be negative; 0 means 50
    ");
    // What no index serves cannot be skipped in.
    let page = PageRequest { skip: 1, ..Default::default() };
    let skipping = ListUsageRequest { page: Some(page), provider: text(""), ..by("") };
    insta::assert_snapshot!(refusal(&client, skipping).await, @"
    InvalidArgument: page.skip: must be 0 with provider, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with provider, which no index serves in this order; follow the page tokens
    ");
}

#[tokio::test]
async fn a_token_opens_for_the_query_that_it_was_given_out_for() {
    let (_platform, client) = start().await;
    record_mixed(&client, "default").await;
    record_mixed(&client, "other").await;
    let request = ListUsageRequest { agent_id: text("a"), start_time: at(0), ..by("") };
    let paged = |request: &ListUsageRequest, token: &str| ListUsageRequest { page: page(5, token), ..request.clone() };
    let (_, first) = list_in(&client, "default", &paged(&request, "")).await.unwrap();
    let token = first.next_page_token;
    list_in(&client, "default", &paged(&request, &token)).await.unwrap();
    let others = [
        ("other", request.clone()),
        ("default", ListUsageRequest { agent_id: text("A"), ..request.clone() }),
        ("default", ListUsageRequest { agent_id: None, team_id: text("a"), ..request.clone() }),
        ("default", ListUsageRequest { start_time: at(1), ..request.clone() }),
        ("default", ListUsageRequest { start_time: None, end_time: at(0), ..request.clone() }),
        ("default", ListUsageRequest { order_by: "occur_time".into(), ..request.clone() }),
    ];
    let mut answers = Vec::new();
    for (workspace, request) in others {
        answers.push(told(&list_in(&client, workspace, &paged(&request, &token)).await.unwrap_err()));
    }
    answers.dedup();
    insta::assert_snapshot!(answers.join("\n"), @"
    InvalidArgument: page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      PAGE_TOKEN_QUERY_CHANGED of quire {}
    ");
}
