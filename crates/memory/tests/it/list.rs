//! ListMemories: its orders and filters, the sizes of its pages, and whose memories a caller sees.
use crate::support::{
    ORDERS, by, full, get_in, list_in, make, page, start, start_ticking, text, there_and_back, told, walk, walk_in,
};
use quire_proto::{
    memory::v1::{ListMemoriesRequest, Memory, MemoryScope},
    pagination::v1::{PageRequest, TotalCount},
};

/// What a request filters by, and the same in Rust.
type Case = (ListMemoriesRequest, fn(&Memory) -> bool);

/// Memories of which each field has this value or another by turns.
fn mixed(count: usize) -> Vec<Memory> {
    const VALUES: [&str; 3] = ["", "a", "A"];
    let memory = |place: usize| {
        let value = |divisor: usize| VALUES[place / divisor % 3].to_owned();
        Memory {
            scope: 1 + (place % 5) as i32,
            r#type: value(1),
            user_id: value(2),
            project_id: value(3),
            repository: value(4),
            agent: value(5),
            tags: (2..6)
                .filter(|divisor| place.is_multiple_of(*divisor))
                .map(|divisor| format!("by {divisor}"))
                .collect(),
            pinned: place.is_multiple_of(2),
            policy: place % 7 < 3,
            ..text(format!("content {place}"))
        }
    };
    (0..count).map(memory).collect()
}

#[tokio::test]
async fn every_filter_in_every_order() {
    let (_platform, client) = start().await;
    // Made at several times, of which some have many.
    for memories in mixed(210).chunks(30) {
        make(&client, "default", memories).await;
        make(&client, "other", memories).await;
    }
    let text = |text: &str| Some(text.to_owned());
    let request = ListMemoriesRequest::default;
    let scope = |scope: MemoryScope| ListMemoriesRequest { scope: scope.into(), ..request() };
    let cases: [Case; 19] = [
        (request(), |_| true),
        (ListMemoriesRequest { agent: text("a"), ..request() }, |memory| memory.agent == "a"),
        // Empty asks for those of which nothing is said, which is not the same as not asking.
        (ListMemoriesRequest { agent: text(""), ..request() }, |memory| memory.agent.is_empty()),
        (ListMemoriesRequest { user_id: text("a"), ..request() }, |memory| memory.user_id == "a"),
        (ListMemoriesRequest { user_id: text(""), ..request() }, |memory| memory.user_id.is_empty()),
        (ListMemoriesRequest { project_id: text("a"), ..request() }, |memory| memory.project_id == "a"),
        (ListMemoriesRequest { project_id: text(""), ..request() }, |memory| memory.project_id.is_empty()),
        (ListMemoriesRequest { repository: text("A"), ..request() }, |memory| memory.repository == "A"),
        (ListMemoriesRequest { r#type: text("A"), ..request() }, |memory| memory.r#type == "A"),
        (ListMemoriesRequest { r#type: text(""), ..request() }, |memory| memory.r#type.is_empty()),
        (ListMemoriesRequest { tag: text("by 3"), ..request() }, |memory| memory.tags.contains(&"by 3".to_owned())),
        (ListMemoriesRequest { tag: text("by"), ..request() }, |_| false),
        (ListMemoriesRequest { pinned: Some(true), ..request() }, |memory| memory.pinned),
        (ListMemoriesRequest { pinned: Some(false), ..request() }, |memory| !memory.pinned),
        (ListMemoriesRequest { policy: Some(true), ..request() }, |memory| memory.policy),
        (ListMemoriesRequest { policy: Some(false), ..request() }, |memory| !memory.policy),
        (scope(MemoryScope::Team), |memory| memory.scope() == MemoryScope::Team),
        (scope(MemoryScope::Project), |memory| memory.scope() == MemoryScope::Project),
        (
            ListMemoriesRequest {
                agent: text("a"),
                user_id: text("a"),
                pinned: Some(true),
                ..scope(MemoryScope::User)
            },
            |memory| {
                let is_about = memory.agent == "a" && memory.user_id == "a";
                is_about && memory.pinned && memory.scope() == MemoryScope::User
            },
        ),
    ];
    for order_by in ORDERS {
        let everything = walk(&client, &by(order_by)).await;
        assert_eq!(everything.len(), 210);
        for (request, passes) in &cases {
            let request = ListMemoriesRequest { order_by: order_by.into(), ..request.clone() };
            let expected: Vec<_> = everything.iter().filter(|memory| passes(memory)).cloned().collect();
            assert_eq!(expected.is_empty(), request.tag.as_deref() == Some("by"), "{request:?}");
            assert_eq!(walk_in(&client, "default", &request, 7).await, expected, "{request:?}");
            let total_count = TotalCount::Exact.into();
            let counted = Some(PageRequest { total_count, ..Default::default() });
            let (_, page) =
                list_in(&client, "default", &ListMemoriesRequest { page: counted, ..request.clone() }).await.unwrap();
            assert_eq!(page.total_count, Some(expected.len() as i64), "{request:?}");
        }
    }
}

#[tokio::test]
async fn the_latest_come_first_unless_told_otherwise() {
    let (_platform, client) = start_ticking().await;
    for content in ["a", "b", "c"] {
        make(&client, "default", &[text(content)]).await;
    }
    for (order_by, expected) in
        [("", "cba"), ("create_time desc", "cba"), ("create_time", "abc"), ("update_time desc", "cba")]
    {
        let found: String = walk(&client, &by(order_by)).await.into_iter().map(|memory| memory.content).collect();
        assert_eq!(found, expected, "{order_by}");
    }
}

#[tokio::test]
async fn workspaces_do_not_see_each_other() {
    let (_platform, client) = start().await;
    for place in 0..5 {
        make(&client, "ours", &[text(format!("ours {place}"))]).await;
        make(&client, "theirs", &[text(format!("theirs {place}")), text(format!("theirs too {place}"))]).await;
    }
    for (workspace, count) in [("ours", 5), ("theirs", 10), ("nobody", 0)] {
        let found = walk_in(&client, workspace, &by(""), 200).await;
        assert!(found.iter().all(|memory| memory.content.starts_with(workspace)), "{found:?}");
        for kind in [TotalCount::Exact, TotalCount::Capped] {
            let page = Some(PageRequest { total_count: kind.into(), ..Default::default() });
            let (_, page) = list_in(&client, workspace, &ListMemoriesRequest { page, ..by("") }).await.unwrap();
            assert_eq!(page.total_count, Some(count), "{workspace}");
        }
        assert_eq!(found.len() as i64, count);
        for memory in found {
            assert_eq!(get_in(&client, workspace, &memory.id).await.unwrap(), memory);
        }
    }
}

#[tokio::test]
async fn a_token_opens_for_the_query_that_it_was_given_out_for() {
    let (_platform, client) = start().await;
    let memories: Vec<_> = (0..5).map(|place| full("", &place.to_string())).collect();
    make(&client, "default", &memories).await;
    make(&client, "other", &memories).await;
    let text = |text: &str| Some(text.to_owned());
    // All of these give the same rows, so that the rows are no reason to tell the queries apart.
    let queries = [
        by("create_time desc"),
        by("create_time"),
        by("update_time desc"),
        ListMemoriesRequest { agent: text("scribe"), ..by("") },
        ListMemoriesRequest { user_id: text("ada"), ..by("") },
        ListMemoriesRequest { project_id: text("quire"), ..by("") },
        ListMemoriesRequest { scope: MemoryScope::Project.into(), ..by("") },
        ListMemoriesRequest { repository: text("quire/quire"), ..by("") },
        ListMemoriesRequest { r#type: text("fact"), ..by("") },
        ListMemoriesRequest { tag: text("a"), ..by("") },
        ListMemoriesRequest { tag: text("z"), ..by("") },
        ListMemoriesRequest { pinned: Some(true), ..by("") },
        ListMemoriesRequest { policy: Some(true), ..by("") },
    ];
    for given_for in &queries {
        let at =
            |query: &ListMemoriesRequest, token: &str| ListMemoriesRequest { page: page(2, token), ..query.clone() };
        let (_, first) = list_in(&client, "default", &at(given_for, "")).await.unwrap();
        let token = first.next_page_token;
        for query in &queries {
            let found = list_in(&client, "default", &at(query, &token)).await;
            assert_eq!(found.is_ok(), query == given_for, "{query:?}");
            let refused = told(&list_in(&client, "other", &at(query, &token)).await.unwrap_err());
            assert!(refused.contains("PAGE_TOKEN_QUERY_CHANGED"), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_page_ends_before_it_outgrows_what_a_client_reads() {
    let (_platform, client) = start().await;
    // As large as memories can be in all else.
    let large = |bytes: usize| Memory {
        r#type: "x".repeat(64),
        source: "x".repeat(256),
        user_id: "x".repeat(128),
        team_id: "x".repeat(128),
        project_id: "x".repeat(128),
        repository: "x".repeat(256),
        agent: "x".repeat(256),
        tags: (0..32).map(|tag| format!("{tag:064}")).collect(),
        metadata: (0..64).map(|key| (format!("{key:064}"), "x".repeat(64))).collect(),
        ..full("", &"x".repeat(bytes))
    };
    for (workspace, bytes, lengths) in
        [("small", 1, [200, 10]), ("middling", 17_000, [125, 85]), ("large", 256 << 10, [13, 7])]
    {
        let memories = vec![large(bytes); lengths.iter().sum()];
        for memories in memories.chunks(50) {
            make(&client, workspace, memories).await;
        }
        for order_by in ORDERS {
            let fetch = async |page: PageRequest| {
                list_in(&client, workspace, &ListMemoriesRequest { page: Some(page), ..by(order_by) }).await.unwrap()
            };
            let pages = there_and_back(200, fetch).await;
            assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), lengths, "{workspace} by {order_by}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (_platform, client) = start().await;
    let text = |text: &str| Some(text.to_owned());
    let skip = || Some(PageRequest { skip: 1, ..Default::default() });
    let requests = [
        ("a negative size", ListMemoriesRequest { page: page(-1, ""), ..by("") }),
        ("a token that is none", ListMemoriesRequest { page: page(0, "x"), ..by("") }),
        ("an order that is none", by("content")),
        ("a scope that is none", ListMemoriesRequest { scope: 6, ..by("") }),
        ("a skip with what is scanned", ListMemoriesRequest { page: skip(), policy: Some(true), ..by("") }),
        ("a skip with two", ListMemoriesRequest { page: skip(), agent: text("a"), user_id: text("a"), ..by("") }),
        (
            "a skip by the time of change",
            ListMemoriesRequest { page: skip(), agent: text("a"), ..by("update_time desc") },
        ),
        ("NUL in an agent", ListMemoriesRequest { agent: text("\0"), ..by("") }),
        ("NUL in a tag", ListMemoriesRequest { tag: text("a\0"), ..by("") }),
    ];
    let mut answers = String::new();
    for (what, request) in requests {
        let answer = told(&list_in(&client, "default", &request).await.unwrap_err());
        answers += &format!("{what}\n{answer}\n");
    }
    insta::assert_snapshot!(answers, @r#"
    a negative size
    InvalidArgument: page.page_size: must not be negative; 0 means 50
      page.page_size: must not be negative; 0 means 50
    a token that is none
    InvalidArgument: page.page_token: is not a page token; begin again without one
      page.page_token: is not a page token; begin again without one
      PAGE_TOKEN_MALFORMED of quire {}
    an order that is none
    InvalidArgument: order_by: must be one of "create_time desc", "create_time", "update_time desc"
      order_by: must be one of "create_time desc", "create_time", "update_time desc"
    a scope that is none
    InvalidArgument: scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT
      scope: must be one of MEMORY_SCOPE_USER, MEMORY_SCOPE_TEAM, MEMORY_SCOPE_ORGANIZATION, MEMORY_SCOPE_AGENT, MEMORY_SCOPE_PROJECT
    a skip with what is scanned
    InvalidArgument: page.skip: must be 0 with policy, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with policy, which no index serves in this order; follow the page tokens
    a skip with two
    InvalidArgument: page.skip: must be 0 with agent, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with agent, which no index serves in this order; follow the page tokens
    a skip by the time of change
    InvalidArgument: page.skip: must be 0 with agent, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with agent, which no index serves in this order; follow the page tokens
    NUL in an agent
    InvalidArgument: agent: must not contain NUL
      agent: must not contain NUL
    NUL in a tag
    InvalidArgument: tag: must not contain NUL
      tag: must not contain NUL
    "#);

    // With a filter that an index serves, a skip is as good as without.
    for order_by in &ORDERS[..2] {
        for request in [
            ListMemoriesRequest { page: skip(), agent: text("a"), ..by(order_by) },
            ListMemoriesRequest { page: skip(), user_id: text("a"), ..by(order_by) },
            ListMemoriesRequest { page: skip(), project_id: text("a"), ..by(order_by) },
        ] {
            list_in(&client, "default", &request).await.unwrap();
        }
    }
}
