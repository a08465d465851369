//! ListAgents: its orders, its filters, and the tokens of its pages.
use std::cmp::Reverse;

use crate::support::{Client, ORDERS, by, list_in, make, named, page, start, start_ticking, told, walk, walk_in, with};
use quire_proto::{
    pagination::v1::{PageRequest, TotalCount},
    registry::v1::{Agent, AgentStatus, ListAgentsRequest},
};
use uuid::Uuid;

/// What a request filters by, and the same in Rust.
type Case<'a> = (ListAgentsRequest, &'a dyn Fn(&Agent) -> bool);

/// Agents that no two orders bring in the same sequence: names that a language, or UTF-16, would sort otherwise than bytes
/// do, ids that do not follow the time, and times that several agents have in common.
async fn make_mixed(client: &Client, workspace: &str, count: usize) -> Vec<Agent> {
    const NAMES: [&str; 10] = ["a", "B", "é", "z", "\u{ffff}", "\u{1f600}", "a b", "A", "_", "a%"];
    const SURFACES: [&str; 4] = ["", "chat", "ci", "Chat"];
    let requests: Vec<_> = (0..count)
        .map(|place| {
            let number = (place as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            with(Agent {
                id: Uuid::from_u128(number).to_string(),
                name: format!("{}{:04}", NAMES[place % NAMES.len()], place * 7_919 % 10_007),
                surface: SURFACES[place % 7 % SURFACES.len()].to_owned(),
                status: place as i32 % 5 + 1,
                capabilities: (2..6).filter(|divisor| place % divisor == 0).map(|by| format!("by {by}")).collect(),
                ..Default::default()
            })
        })
        .collect();
    let mut made = Vec::new();
    for requests in requests.chunks(10) {
        made.extend(make(client, workspace, requests).await);
    }
    made
}

/// The agents that pass, in an order.
fn expected(agents: &[Agent], order_by: &str, passes: impl Fn(&Agent) -> bool) -> Vec<Agent> {
    let mut agents: Vec<_> = agents.iter().filter(|agent| passes(agent)).cloned().collect();
    match order_by {
        "register_time desc" => {
            let time = |agent: &Agent| agent.register_time.map(|time| (time.seconds, time.nanos));
            agents.sort_by_key(|agent| Reverse((time(agent), agent.id.clone())));
        }
        "name" => agents.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes())),
        _ => panic!("{order_by} is not an order"),
    }
    agents
}

/// Walks to the end and back, at several page sizes.
async fn assert_walks(client: &Client, request: &ListAgentsRequest, expected: &[Agent]) {
    for page_size in [1, 4, 200] {
        assert_eq!(walk_in(client, "default", request, page_size).await, expected, "{page_size} of {request:?}");
    }
}

fn of_status(status: AgentStatus) -> ListAgentsRequest {
    ListAgentsRequest { status: status.into(), ..Default::default() }
}

fn of_surface(surface: &str) -> ListAgentsRequest {
    ListAgentsRequest { surface: Some(surface.into()), ..Default::default() }
}

fn able(capability: &str) -> ListAgentsRequest {
    ListAgentsRequest { capability: Some(capability.into()), ..Default::default() }
}

#[tokio::test]
async fn every_filter_and_every_combination_in_every_order() {
    let (_platform, client) = start_ticking().await;
    let agents = make_mixed(&client, "default", 70).await;
    make_mixed(&client, "other", 70).await;
    let can = |agent: &Agent, capability: &str| agent.capabilities.iter().any(|other| other == capability);
    let busy = |agent: &Agent| agent.status() == AgentStatus::Busy;
    let cases: [Case<'_>; 12] = [
        (ListAgentsRequest::default(), &|_| true),
        (of_status(AgentStatus::Busy), &busy),
        (of_status(AgentStatus::Offline), &|_| false),
        (of_surface("chat"), &|agent| agent.surface == "chat"),
        // Empty asks for those that have none, which is not the same as not asking.
        (of_surface(""), &|agent| agent.surface.is_empty()),
        (of_surface("cha"), &|_| false),
        (able("by 3"), &|agent| can(agent, "by 3")),
        (able("by"), &|_| false),
        (able(""), &|_| false),
        (ListAgentsRequest { status: AgentStatus::Busy.into(), ..of_surface("") }, &|agent| {
            busy(agent) && agent.surface.is_empty()
        }),
        (ListAgentsRequest { status: AgentStatus::Busy.into(), ..able("by 2") }, &|agent| {
            busy(agent) && can(agent, "by 2")
        }),
        (
            ListAgentsRequest { status: AgentStatus::Busy.into(), surface: Some("chat".into()), ..able("by 2") },
            &|agent| busy(agent) && agent.surface == "chat" && can(agent, "by 2"),
        ),
    ];
    // Filters that nothing passes are few; those that some agents pass find some.
    assert_eq!(cases.iter().filter(|(_, passes)| !agents.iter().any(passes)).count(), 4);
    for (filter, passes) in &cases {
        for order_by in ORDERS {
            let request = ListAgentsRequest { order_by: order_by.into(), ..filter.clone() };
            assert_walks(&client, &request, &expected(&agents, order_by, passes)).await;
        }
    }
}

#[tokio::test]
async fn the_latest_come_first_unless_told_otherwise() {
    let (_platform, client) = start_ticking().await;
    let agents = make_mixed(&client, "default", 60).await;
    let expected = expected(&agents, "register_time desc", |_| true);
    for order_by in ["", "register_time desc", "  register_time   desc "] {
        let request = ListAgentsRequest { order_by: order_by.into(), ..Default::default() };
        // Without `page` as with an empty one: the first 50.
        assert_eq!(list_in(&client, "default", &request).await.unwrap().0, expected[..50], "{order_by:?}");
        assert_eq!(walk(&client, &request).await, expected, "{order_by:?}");
    }
}

#[tokio::test]
async fn the_heaviest_page_is_one_that_any_client_reads() {
    let (_platform, client) = start().await;
    let agent = |place: usize| Agent {
        name: format!("{place:0256}"),
        surface: "x".repeat(64),
        endpoint: "x".repeat(1_024),
        capabilities: (0..32).map(|word| format!("{word:064}")).collect(),
        metadata: (0..64).map(|key| (format!("{key:064}"), "x".repeat(64))).collect(),
        ..Default::default()
    };
    make(&client, "default", &(0..200).map(|place| with(agent(place))).collect::<Vec<_>>()).await;
    let request = ListAgentsRequest { page: page(200, ""), ..by("") };
    assert_eq!(list_in(&client, "default", &request).await.unwrap().0.len(), 200);
}

#[tokio::test]
async fn a_count_is_of_what_the_filters_match() {
    let (_platform, client) = start_ticking().await;
    let agents = make_mixed(&client, "default", 70).await;
    for request in [ListAgentsRequest::default(), of_status(AgentStatus::Busy), of_surface(""), able("by 3")] {
        let matching = walk(&client, &request).await.len() as i64;
        assert!(matching == agents.len() as i64 || matching < 40);
        let exact = PageRequest { page_size: 1, total_count: TotalCount::Exact.into(), ..Default::default() };
        let request = ListAgentsRequest { page: Some(exact), ..request };
        let (_, stands) = list_in(&client, "default", &request).await.unwrap();
        assert_eq!(stands.total_count, Some(matching), "{request:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (_platform, client) = start().await;
    for workspace in ["default", "other"] {
        make(&client, workspace, &["a", "b", "c"].map(named)).await;
    }
    let first = ListAgentsRequest { page: page(1, ""), ..Default::default() };
    let token = list_in(&client, "default", &first).await.unwrap().1.next_page_token;
    let at = |request: ListAgentsRequest| ListAgentsRequest { page: page(1, &token), ..request };
    let skip = PageRequest { skip: 1, ..Default::default() };
    let requests = [
        ("another order", "default", ListAgentsRequest { order_by: "update_time desc".into(), ..Default::default() }),
        ("a status that is none", "default", ListAgentsRequest { status: 7, ..Default::default() }),
        ("NUL in the surface", "default", of_surface("\0")),
        ("NUL in the capability", "default", able("\0")),
        ("a negative size", "default", ListAgentsRequest { page: page(-1, ""), ..Default::default() }),
        ("a skip with a capability", "default", ListAgentsRequest { page: Some(skip), ..able("x") }),
        ("a token of no filter", "default", at(of_status(AgentStatus::Active))),
        (
            "a token of another order",
            "default",
            at(ListAgentsRequest { order_by: "name".into(), ..Default::default() }),
        ),
        ("a token of another workspace", "other", at(ListAgentsRequest::default())),
    ];
    let mut answers = String::new();
    for (what, workspace, request) in requests {
        let answer = told(&list_in(&client, workspace, &request).await.unwrap_err());
        answers += &format!("{what}\n{answer}\n");
    }
    insta::assert_snapshot!(answers, @r#"
    another order
    InvalidArgument: order_by: must be one of "register_time desc", "name"
      order_by: must be one of "register_time desc", "name"
    a status that is none
    InvalidArgument: status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
      status: must be one of AGENT_STATUS_ACTIVE, AGENT_STATUS_IDLE, AGENT_STATUS_BUSY, AGENT_STATUS_DEGRADED, AGENT_STATUS_SUSPENDED, AGENT_STATUS_OFFLINE
    NUL in the surface
    InvalidArgument: surface: must not contain NUL
      surface: must not contain NUL
    NUL in the capability
    InvalidArgument: capability: must not contain NUL
      capability: must not contain NUL
    a negative size
    InvalidArgument: page.page_size: must not be negative; 0 means 50
      page.page_size: must not be negative; 0 means 50
    a skip with a capability
    InvalidArgument: page.skip: must be 0 with capability, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with capability, which no index serves in this order; follow the page tokens
    a token of no filter
    InvalidArgument: page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      PAGE_TOKEN_QUERY_CHANGED of quire {}
    a token of another order
    InvalidArgument: page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      PAGE_TOKEN_QUERY_CHANGED of quire {}
    a token of another workspace
    InvalidArgument: page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      PAGE_TOKEN_QUERY_CHANGED of quire {}
    "#);
    assert_eq!(list_in(&client, "default", &at(ListAgentsRequest::default())).await.unwrap().0.len(), 1);
}
