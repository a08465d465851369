//! Conformance tests of the service's lists.
use keyset::{Listing, conformance::Conformance};
use memory::MEMORY;
use memory::{MEMORIES, RECALLED};
use platform::testing;
use quire_proto::memory::v1::Memory;

/// Inserts memories in two workspaces. Except for the workspace, they are the same.
const ROWS: &str = "
    insert into memories (workspace_id, id, scope, content, type, source, confidence, pinned, policy, user_id, team_id,
        project_id, repository, agent, tags, metadata, etag, create_time, update_time)
    select workspace, gen_random_uuid(), case rarity when 'rare' then 'team' else 'user' end,
        repeat('Pages ', (n % 4)::int4) || 'of lists', rarity, '', 1, n % 2 = 0, n % 3 = 0, rarity, '', rarity, rarity, rarity,
        array[rarity], '{}', gen_random_uuid(), timestamptz '2026-01-01' + n % 977 * interval '1 s',
        timestamptz '2026-01-01' + n % 31 * interval '1 s'
    from generate_series($1, $2) as n, (values ('default'), ('other')) as workspaces (workspace),
        lateral (select case when n % $3 = 0 then 'rare' else 'common' end as rarity) as rarities";

/// Runs the conformance tests of a list, with every filter.
async fn check(listing: &'static Listing, parameters: &[&str]) {
    let platform = testing::platform().await;
    let list = platform.paging.open(listing).await.unwrap();
    let pool = &testing::pool(&platform);
    let mut conformance = Conformance::of(&list).scope("default");
    for parameter in parameters {
        conformance = conformance.parameter(*parameter);
    }
    for filter in ["agent", "user_id", "project_id", "repository", "type", "tag"] {
        conformance = conformance.value(filter, "rare").value(filter, "common");
    }
    conformance
        .value("scope", "team")
        .value("scope", "user")
        .value("pinned", true)
        .value("pinned", false)
        .value("policy", true)
        .value("policy", false)
        .check(async |numbers| testing::insert(pool, ROWS, numbers).await)
        .await;
}

#[tokio::test]
async fn memories_conform() {
    check(&MEMORIES, &[]).await;
}

#[tokio::test]
async fn recalled_memories_conform() {
    check(&RECALLED, &["default", "page or -lists or list"]).await;
}

#[tokio::test]
async fn checks_of_the_table_match_the_rules_of_the_fields() {
    let platform = testing::platform().await;
    testing::assert_checks(&platform, "memories", &(MEMORY.fields)(&Memory::default())).await;
}
