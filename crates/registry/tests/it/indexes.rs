//! Every statement of the service finds its rows by an index, however many rows there are.
use std::time::Duration;

use crate::support::{able, by, discover_in, from, list_in, named, page, start_on, with};
use platform::{
    Clock, Platform,
    testing::{Many, id},
};
use quire_proto::registry::v1::{
    Agent, AgentStatus, BatchRegisterAgentsRequest, DeregisterAgentRequest, DiscoverAgentsRequest, GetAgentRequest,
    HeartbeatRequest, ListAgentsRequest, UpdateAgentRequest,
};
use registry::Registry;

/// 20,000 agents in five workspaces, of which every tenth is offline and one in a thousand is full.
const SEED: [&str; 3] = [
    // What vacuum reads would be taken for what the calls read.
    "alter table agents set (autovacuum_enabled = off)",
    "insert into agents (workspace_id, id, name, surface, endpoint, capabilities, status, load, capacity, time_to_live,
        metadata, etag, register_time, heartbeat_time, update_time)
    select 'w' || n % 5, lpad(to_hex(n / 5 + 1), 32, '0')::uuid, 'name ' || n / 5 + 1, 'surface ' || n % 7, '',
        case n / 5 when 2000 then array['rare'] else array['code'] end,
        case n % 10 when 0 then 'offline' when 1 then 'active' else 'busy' end, case n % 1000 when 0 then 1 else 0 end, 1,
        86400000, '{}', gen_random_uuid(), timestamptz '2026-01-01' + n * interval '1 s', now(), now()
    from generate_series(0, 19999) as n",
    "analyze",
];

#[tokio::test]
async fn no_call_about_one_agent_scans_a_table() {
    let many = Many::new(&SEED).await;
    many.assert_reads("RegisterAgent", 4, async |platform| {
        let mut client = start_on(platform).await;
        client.register_agent(from("w1", named("new"))).await.unwrap();
        // One that exists is looked for by its id and by its name.
        client.register_agent(from("w1", named("name 2000"))).await.unwrap_err();
    })
    .await;
    many.assert_reads("GetAgent", 1, async |platform| {
        let mut client = start_on(platform).await;
        client.get_agent(from("w1", GetAgentRequest { id: id(2_000) })).await.unwrap();
    })
    .await;
    many.assert_reads("Heartbeat", 2, async |platform| {
        let mut client = start_on(platform).await;
        let heartbeat = |id, status: AgentStatus| HeartbeatRequest { id, status: status.into(), load: Some(1) };
        client.heartbeat(from("w1", heartbeat(id(2_000), AgentStatus::Unspecified))).await.unwrap();
        client.heartbeat(from("w1", heartbeat(id(2_001), AgentStatus::Degraded))).await.unwrap();
        client.heartbeat(from("w1", heartbeat(id(9_999), AgentStatus::Active))).await.unwrap_err();
    })
    .await;
    many.assert_reads("UpdateAgent", 4, async |platform| {
        let mut client = start_on(platform).await;
        let change = |id, name: &str| UpdateAgentRequest {
            agent: Some(Agent { id, name: name.into(), ..Default::default() }),
            update_mask: None,
        };
        client.update_agent(from("w1", change(id(2_001), "changed"))).await.unwrap();
        client.update_agent(from("w1", change(id(2_001), "name 7"))).await.unwrap_err();
        client.update_agent(from("w1", change(id(9_999), "x"))).await.unwrap_err();
    })
    .await;
    many.assert_reads("DeregisterAgent", 1, async |platform| {
        let mut client = start_on(platform).await;
        client.deregister_agent(from("w1", DeregisterAgentRequest { id: id(2_002) })).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn no_batch_scans_a_table() {
    let many = Many::new(&SEED).await;
    let batch = |names: std::ops::Range<u32>, pass_over_existing| {
        let requests = names.map(|number| {
            let surface = format!("surface {}", ((number - 1) * 5 + 1) % 7);
            let time_to_live = Some(prost_types::Duration { seconds: 86_400, nanos: 0 });
            let capabilities = vec!["code".into()];
            with(Agent { name: format!("name {number}"), surface, capabilities, time_to_live, ..Default::default() })
        });
        from("w1", BatchRegisterAgentsRequest { requests: requests.collect(), pass_over_existing })
    };
    many.assert_reads("BatchRegisterAgents", 400, async |platform| {
        let mut client = start_on(platform).await;
        client.batch_register_agents(batch(5_001..5_101, false)).await.unwrap();
        client.batch_register_agents(batch(3_000..3_100, false)).await.unwrap_err();
    })
    .await;
    many.assert_reads("BatchRegisterAgents that passes over 900", 3_000, async |platform| {
        let mut client = start_on(platform).await;
        client.batch_register_agents(batch(3_101..4_101, true)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn no_list_scans_a_table() {
    let many = Many::new(&SEED).await;
    many.assert_reads("ListAgents", 88, async |platform| {
        let client = start_on(platform).await;
        let of_surface = ListAgentsRequest { surface: Some("surface 1".into()), ..by("") };
        let of_status = ListAgentsRequest { status: AgentStatus::Active.into(), ..by("") };
        for request in [by(""), by("name"), of_surface, of_status] {
            let at = |token: &str| ListAgentsRequest { page: page(10, token), ..request.clone() };
            let first = list_in(&client, "w1", &at("")).await.unwrap().1;
            assert_eq!(list_in(&client, "w1", &at(&first.next_page_token)).await.unwrap().0.len(), 10);
        }
    })
    .await;
    // At most 2,000 rows are looked at for a capability that few have.
    many.assert_reads("ListAgents of a capability", 2_000, async |platform| {
        let client = start_on(platform).await;
        let request = ListAgentsRequest { capability: Some("rare".into()), ..Default::default() };
        list_in(&client, "w1", &request).await.unwrap();
    })
    .await;
    many.assert_reads("DiscoverAgents", 2_000, async |platform| {
        let client = start_on(platform).await;
        let request = DiscoverAgentsRequest { page: page(10, ""), ..able("code") };
        assert_eq!(discover_in(&client, "w1", &request).await.unwrap().0.len(), 10);
    })
    .await;
}

#[tokio::test]
async fn no_sweep_scans_a_table() {
    // So few that Postgres would rather read all of them for each page.
    let fewer = "delete from agents where register_time >= '2026-01-01 01:00'";
    let many = Many::new(&[SEED[0], SEED[1], fewer, "vacuum full agents", "analyze agents"]).await;
    // Each of the 3,240 that are not offline is read once, and once more when it becomes so.
    for (days, reads, swept) in [(0, 3_240, 0), (2, 2 * 3_240, 3_240)] {
        many.assert_reads("a sweep", reads, async |platform| {
            let now = platform.clock.now() + Duration::from_secs(days * 86_400);
            let platform = Platform { clock: Clock::new(move || now), ..platform.clone() };
            let registry = Registry::open(&platform).await.unwrap();
            assert_eq!(registry.sweeper().turn().await.unwrap(), Some(swept));
        })
        .await;
    }
}
