//! Every statement of the service finds its rows by an index in large tables.
use std::time::Duration;

use platform::{
    Platform, Retention, Sweeper,
    testing::{Many, id},
};
use registry::SERVICE;

/// 20,000 agents in five workspaces. Every tenth agent is offline, and one in a thousand is full.
const SEED: [&str; 3] = [
    // Reads by autovacuum would be counted as reads by the calls.
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
async fn no_call_scans_a_table() {
    let by_id = |number| format!(r#"{{"id": "{}"}}"#, id(number));
    let new = |name: &str| format!(r#"{{"agent": {{"name": "{name}"}}}}"#);
    let beat = |number, status: &str| format!(r#"{{"id": "{}", "status": "{status}", "load": 1}}"#, id(number));
    let change = |number, name: &str| format!(r#"{{"agent": {{"id": "{}", "name": "{name}"}}}}"#, id(number));
    let batch = |names: std::ops::Range<u32>, flag| {
        let agent = |number: u32| {
            let surface = ((number - 1) * 5 + 1) % 7;
            format!(
                r#"{{"agent": {{"name": "name {number}", "surface": "surface {surface}", "capabilities": ["code"],
                    "time_to_live": "86400s"}}}}"#
            )
        };
        let requests: Vec<_> = names.map(agent).collect();
        format!(r#"{{"requests": [{}], "pass_over_existing": {flag}}}"#, requests.join(", "))
    };
    let page = |more: &str| format!(r#"{{"page": {{"page_size": 10}}{more}}}"#);
    let pages = ["", r#", "order_by": "name""#, r#", "surface": "surface 1""#, r#", "status": "AGENT_STATUS_ACTIVE""#];
    let beats = vec![
        beat(2_000, "AGENT_STATUS_UNSPECIFIED"),
        beat(2_001, "AGENT_STATUS_DEGRADED"),
        beat(9_999, "AGENT_STATUS_ACTIVE"),
    ];
    let calls = vec![
        // An existing row is looked up by its id and by its name.
        ("RegisterAgent", 4, vec![new("new"), new("name 2000")]),
        ("GetAgent", 1, vec![by_id(2_000)]),
        ("Heartbeat", 2, beats),
        ("UpdateAgent", 4, vec![change(2_001, "changed"), change(2_001, "name 7"), change(9_999, "x")]),
        ("DeregisterAgent", 1, vec![by_id(2_002)]),
        ("BatchRegisterAgents", 400, vec![batch(5_001..5_101, false), batch(3_000..3_100, false)]),
        ("BatchRegisterAgents", 3_000, vec![batch(3_101..4_101, true)]),
        ("ListAgents", 88, pages.map(page).into()),
        ("ListAgents", 2, vec![page(r#", "name": "name 2000""#)]),
        // A page examines at most 2,000 rows for a rare capability.
        ("ListAgents", 4_000, vec![page(r#", "capability": "rare""#)]),
        ("DiscoverAgents", 4_000, vec![page(r#", "capability": "code""#)]),
    ];
    Many::new(&SEED).await.assert_calls(&SERVICE, "w1", calls).await;
}

#[tokio::test]
async fn no_sweep_scans_a_table() {
    // So few agents that Postgres would prefer to scan the table for each page.
    let fewer = "delete from agents where register_time >= '2026-01-01 01:00'";
    let silent = "update agents set heartbeat_time = now() - interval '2 days'";
    // Each of the 3,240 agents that are not offline is read once, and a second time when it is set offline.
    for (silence, reads, swept) in [("", 3_240, 0), (silent, 2 * 3_240, 3_240)] {
        let many = Many::new(&[SEED[0], SEED[1], fewer, silence, "vacuum full agents", "analyze agents"]).await;
        many.assert_reads("a sweep", reads, async |platform| {
            let sweeps = (SERVICE.open)(platform).await.unwrap().sweeps;
            assert_eq!(Sweeper::new(platform.database.clone(), sweeps).turn().await.unwrap(), Some(swept));
        })
        .await;
    }
}

#[tokio::test]
async fn no_deletion_of_old_agents_scans_a_table() {
    let many = Many::new(&SEED).await;
    let retention = Retention { agents: Some(Duration::from_secs(86_400)), ..Retention::default() };
    // The first turn reads all agents that are not offline, and one page of all agents twice.
    many.assert_reads("a sweep", 18_000 + 2 * 1_000, async |platform| {
        let platform = Platform { retention, ..platform.clone() };
        let sweeps = (SERVICE.open)(&platform).await.unwrap().sweeps;
        assert_eq!(Sweeper::new(platform.database.clone(), sweeps).turn().await.unwrap(), Some(0));
    })
    .await;
}
