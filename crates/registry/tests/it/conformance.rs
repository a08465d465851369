//! Conformance tests of the service's lists.
use keyset::conformance::Conformance;
use platform::testing;
use quire_proto::registry::v1::Agent;
use registry::agent_fields;
use registry::{AGENTS, DISCOVERED};

/// Inserts agents. Rare agents have a different status, surface and capability; every third agent is full.
const ROWS: &str = "
    insert into agents (workspace_id, id, name, surface, endpoint, capabilities, status, load, capacity, time_to_live,
        metadata, etag, register_time, heartbeat_time, update_time)
    select workspace, gen_random_uuid(), 'agent ' || n, case when n % $3 = 0 then 'rare' else 'common' end, '',
        array[case when n % $3 = 0 then 'rare' else 'common' end],
        case when n % $3 = 0 then 'degraded' else 'active' end, n % 3, 2, 86400000, '{}', gen_random_uuid(),
        timestamptz '2026-01-01' + n % 977 * interval '1 s', now(), now()
    from generate_series($1, $2) as n, (values ('default'), ('other')) as workspaces (workspace)";

#[tokio::test]
async fn agents_conform() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&AGENTS).await.unwrap();
    let pool = &testing::pool(&platform);
    Conformance::of(&list)
        .scope("default")
        .value("status", "degraded")
        .value("status", "active")
        .value("surface", "rare")
        .value("surface", "common")
        .value("capability", "rare")
        .value("capability", "common")
        .value("name", "agent 3")
        .value("name", "nobody")
        .check(async |numbers| testing::insert(pool, ROWS, numbers).await)
        .await;
}

#[tokio::test]
async fn discovered_agents_conform() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&DISCOVERED).await.unwrap();
    let pool = &testing::pool(&platform);
    Conformance::of(&list)
        .scope("default")
        .value("status", ["degraded"])
        .value("status", ["active", "idle", "degraded"])
        .value("capability", "rare")
        .value("capability", "common")
        .check(async |numbers| testing::insert(pool, ROWS, numbers).await)
        .await;
}

#[tokio::test]
async fn checks_of_the_table_match_the_rules_of_the_fields() {
    let platform = testing::platform().await;
    testing::assert_checks(&platform, "agents", &agent_fields(&Agent::default())).await;
}
