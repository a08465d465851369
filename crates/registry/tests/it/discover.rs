//! DiscoverAgents: those that can do something, live, and have room.
use crate::support::{
    Client, able, alive, beat, discover_in, from, make, names, page, start, start_ticking, there_and_back, told, with,
};
use platform::testing;
use quire_proto::{
    pagination::v1::{PageRequest, TotalCount},
    registry::v1::{Agent, AgentStatus, DiscoverAgentsRequest, HeartbeatRequest},
};

/// The names of those that can code.
async fn found(client: &Client) -> Vec<String> {
    let (agents, _) = discover_in(client, "default", &able("code")).await.unwrap();
    agents.into_iter().map(|agent| agent.name).collect()
}

fn coder(name: &str) -> Agent {
    Agent { name: name.into(), capabilities: vec!["review".into(), "code".into()], ..Default::default() }
}

#[tokio::test]
async fn only_those_are_found_that_can_live_and_have_room() {
    let (platform, client) = start().await;
    let statuses =
        (1..=6).map(|status| Agent { status, ..coder(&AgentStatus::try_from(status).unwrap().as_str_name()[13..]) });
    let others = [
        Agent { capabilities: vec!["Code".into(), "codes".into()], ..coder("other") },
        Agent { capabilities: vec![], ..coder("nothing") },
        Agent { load: 1, ..coder("full") },
        Agent { load: 3, capacity: Some(2), ..coder("more than full") },
        Agent { capacity: Some(0), ..coder("none") },
        Agent { load: 1, capacity: Some(2), ..coder("half full") },
        coder("silent"),
    ];
    make(&client, "default", &statuses.chain(others).map(with).collect::<Vec<_>>()).await;
    make(&client, "other", &[with(coder("theirs"))]).await;
    // Its status shows nothing of it yet.
    let silence = "update agents set heartbeat_time = now() - interval '61 s' where name = 'silent'";
    sqlx::query(silence).execute(&testing::pool(&platform)).await.unwrap();
    let mut found = found(&client).await;
    found.sort();
    assert_eq!(found, ["ACTIVE", "DEGRADED", "IDLE", "half full"]);
}

#[tokio::test]
async fn a_heartbeat_makes_and_unmakes_room() {
    let (platform, client) = start().await;
    let agent = make(&client, "default", &[with(Agent { capacity: Some(2), ..coder("x") })]).await.remove(0);
    let said = async |heartbeat| {
        beat(&client, heartbeat).await.unwrap();
        found(&client).await.len()
    };
    let loaded = |load| HeartbeatRequest { load: Some(load), ..alive(&agent) };
    assert_eq!(said(loaded(2)).await, 0);
    assert_eq!(said(loaded(1)).await, 1);
    assert_eq!(said(HeartbeatRequest { status: AgentStatus::Busy.into(), ..alive(&agent) }).await, 0);
    assert_eq!(said(HeartbeatRequest { status: AgentStatus::Idle.into(), ..alive(&agent) }).await, 1);
    let silence = "update agents set heartbeat_time = now() - interval '61 s'";
    sqlx::query(silence).execute(&testing::pool(&platform)).await.unwrap();
    assert_eq!(found(&client).await.len(), 0);
    assert_eq!(said(alive(&agent)).await, 1);
}

/// Agents of which every third has room, each a second later than the one before; the names of those that have, the latest
/// first.
async fn make_mixed(client: &Client, workspace: &str, count: usize) -> Vec<String> {
    for place in 0..count {
        let status = [AgentStatus::Active, AgentStatus::Busy, AgentStatus::Degraded, AgentStatus::Idle][place % 4];
        let load = i32::from(!place.is_multiple_of(3));
        let agent = Agent { status: status.into(), load, ..coder(&place.to_string()) };
        client.clone().register_agent(from(workspace, with(agent))).await.unwrap();
    }
    let has_room = |place: &usize| place.is_multiple_of(3) && place % 4 != 1;
    (0..count).rev().filter(has_room).map(|place| place.to_string()).collect()
}

#[tokio::test]
async fn a_walk_finds_each_once_the_latest_first() {
    let (_platform, client) = start_ticking().await;
    let expected = make_mixed(&client, "default", 80).await;
    make_mixed(&client, "other", 20).await;
    for order_by in ["", "register_time desc", " register_time  desc "] {
        for page_size in [1, 3, 200] {
            let fetch = async |page: PageRequest| {
                let request = DiscoverAgentsRequest { page: Some(page), order_by: order_by.into(), ..able("code") };
                discover_in(&client, "default", &request).await.unwrap()
            };
            let pages = there_and_back(page_size, fetch).await;
            assert_eq!(names(&pages.concat()), expected, "{page_size} by {order_by:?}");
        }
    }
    let exact = PageRequest { total_count: TotalCount::Exact.into(), ..Default::default() };
    let request = DiscoverAgentsRequest { page: Some(exact), ..able("code") };
    let (_, stands) = discover_in(&client, "default", &request).await.unwrap();
    assert_eq!(stands.total_count, Some(expected.len() as i64));
}

#[tokio::test]
async fn what_is_rare_is_found_behind_pages_that_are_empty() {
    let (platform, client) = start().await;
    let sql = "
        insert into agents (workspace_id, id, name, surface, endpoint, capabilities, status, load, capacity, time_to_live,
            metadata, etag, register_time, heartbeat_time, update_time)
        select 'default', gen_random_uuid(), n, '', '', array['code'], 'active', case n % 1500 when 7 then 0 else 1 end, 1,
            86400000, '{}', gen_random_uuid(), now() - n * interval '1 s', now(), now()
        from generate_series(1, 5000) as n";
    sqlx::query(sql).execute(&testing::pool(&platform)).await.unwrap();
    let fetch = async |page| {
        discover_in(&client, "default", &DiscoverAgentsRequest { page: Some(page), ..able("code") }).await.unwrap()
    };
    let pages = there_and_back(10, fetch).await;
    assert_eq!(names(&pages.concat()), ["7", "1507", "3007", "4507"]);
    assert!(pages.iter().any(Vec::is_empty));
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let (_platform, client) = start_ticking().await;
    for workspace in ["default", "other"] {
        make_mixed(&client, workspace, 12).await;
    }
    let (_, stands) =
        discover_in(&client, "default", &DiscoverAgentsRequest { page: page(1, ""), ..able("code") }).await.unwrap();
    let token = stands.next_page_token;
    let at = |token: &str, capability: &str| DiscoverAgentsRequest { page: page(1, token), ..able(capability) };
    let skip = PageRequest { skip: 1, ..Default::default() };
    let requests = [
        ("no capability", "default", able("")),
        ("65 bytes of capability", "default", able(&"x".repeat(65))),
        ("NUL in the capability", "default", able("\0")),
        ("another order", "default", DiscoverAgentsRequest { order_by: "name".into(), ..able("code") }),
        ("a skip", "default", DiscoverAgentsRequest { page: Some(skip), ..able("code") }),
        ("a token of another capability", "default", at(&token, "review")),
        ("a token of another workspace", "other", at(&token, "code")),
    ];
    let mut answers = String::new();
    for (what, workspace, request) in requests {
        let answer = told(&discover_in(&client, workspace, &request).await.unwrap_err());
        answers += &format!("{what}\n{answer}\n");
    }
    insta::assert_snapshot!(answers, @r#"
    no capability
    InvalidArgument: capability: must have 1 to 64 bytes; it has 0
      capability: must have 1 to 64 bytes; it has 0
    65 bytes of capability
    InvalidArgument: capability: must have 1 to 64 bytes; it has 65
      capability: must have 1 to 64 bytes; it has 65
    NUL in the capability
    InvalidArgument: capability: must not contain NUL
      capability: must not contain NUL
    another order
    InvalidArgument: order_by: must be one of "register_time desc"
      order_by: must be one of "register_time desc"
    a skip
    InvalidArgument: page.skip: must be 0 with capability, which no index serves in this order; follow the page tokens
      page.skip: must be 0 with capability, which no index serves in this order; follow the page tokens
    a token of another capability
    InvalidArgument: page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      PAGE_TOKEN_QUERY_CHANGED of quire {}
    a token of another workspace
    InvalidArgument: page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      page.page_token: was given out for another query; send the same filters and order_by with it, or begin again without one
      PAGE_TOKEN_QUERY_CHANGED of quire {}
    "#);
    discover_in(&client, "default", &at(&token, "code")).await.unwrap();
}
