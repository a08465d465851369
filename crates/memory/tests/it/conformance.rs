//! Conformance tests of the service's lists.
use keyset::{Listing, conformance::Conformance};
use memory::MEMORY;
use memory::{MEMORIES, RECALLED, words::WordQuery};
use platform::testing;
use quire_proto::memory::v1::Memory;

/// Inserts memories in two workspaces. Except for the workspace, they are the same. An earlier release has written a fifth
/// of them.
const ROWS: &str = "
    insert into memories (workspace_id, id, scope, content, type, source, confidence, pinned, policy, user_id, team_id,
        project_id, repository, agent, tags, metadata, etag, create_time, update_time, words, words_etag)
    select workspace, gen_random_uuid(), case rarity when 'rare' then 'team' else 'user' end, content,
        rarity, '', 1, n % 2 = 0, n % 3 = 0, rarity, '', rarity, rarity, rarity, array[rarity], '{}', etag,
        timestamptz '2026-01-01' + n % 977 * interval '1 s', timestamptz '2026-01-01' + n % 31 * interval '1 s',
        to_tsvector('english', content) || array_to_tsvector(array['workspace ' || workspace]),
        case when n % 5 > 0 then etag end
    from generate_series($1, $2) as n, (values ('default'), ('other')) as workspaces (workspace),
        lateral (
            select case when n % $3 = 0 then 'rare' else 'common' end as rarity, gen_random_uuid() as etag,
                repeat('Pages ', (n % 4)::int4) || 'of lists' as content
        ) as facts";

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
    check(&RECALLED, &["default", &WordQuery::new("page or -lists or list").text]).await;
}

#[tokio::test]
async fn checks_of_the_table_match_the_rules_of_the_fields() {
    let platform = testing::platform().await;
    testing::assert_checks(&platform, "memories", &(MEMORY.fields)(&Memory::default())).await;
}
