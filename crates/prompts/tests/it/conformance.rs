//! Conformance tests of the service's lists.
use keyset::{Listing, conformance::Conformance};
use platform::testing;
use prompts::{DEPLOYMENTS, LABELS, PROMPTS, PROMPTS_WITH_LATEST_VERSION, VERSIONS};
use prompts::{PROMPT, version_fields};
use quire_proto::prompts::v1::{Prompt, PromptVersion};
use sqlx::PgPool;
use uuid::Uuid;

/// A prompt and its latest version.
const SEED: &str = "
    with inserted as (
        insert into prompts (workspace_id, id, name, surface, tags, metadata, latest_version, etag, create_time, update_time)
        select workspace, gen_random_uuid(), (case when n % $3 = 0 then 'rare/' else 'common/' end) || n,
            case when n % $3 = 0 then 'rare' else 'common' end,
            array[case when n % $3 = 0 then 'rare' else 'common' end], '{}', 1, gen_random_uuid(),
            timestamptz '2026-01-01' + n % 977 * interval '1 s', timestamptz '2026-01-01' + n % 31 * interval '1 s'
        from generate_series($1, $2) as n, (values ('default'), ('other')) as workspaces (workspace)
        returning workspace_id, id, name)
    insert into prompt_versions (workspace_id, prompt_id, version, content, model, author, variables, content_hash,
        create_time)
    select workspace_id, id, 1, 'content of ' || name, 'model', 'author', '{name}', sha256(name::bytea), now()
    from inserted";

async fn conforms(listing: &'static Listing) {
    let platform = testing::platform().await;
    let list = platform.paging.open(listing).await.unwrap();
    let pool = &testing::pool(&platform);
    Conformance::of(&list)
        .scope("default")
        .value("surface", "rare")
        .value("surface", "common")
        .value("name_prefix", "rare/")
        .value("name_prefix", "common/1")
        .value("tag", "rare")
        .value("tag", "common")
        .check(async |numbers| testing::insert(pool, SEED, numbers).await)
        .await;
}

#[tokio::test]
async fn prompts_conform() {
    conforms(&PROMPTS).await;
}

#[tokio::test]
async fn prompts_with_their_latest_version_conform() {
    conforms(&PROMPTS_WITH_LATEST_VERSION).await;
}

/// Inserts two prompts in each of two workspaces, for other rows to refer to.
async fn seed_prompts(pool: &PgPool) {
    let sql = "
        insert into prompts (workspace_id, id, name, surface, tags, metadata, latest_version, etag, create_time, update_time)
        select workspace, ('00000000-0000-0000-0000-00000000000' || n)::uuid, n, '', '{}', '{}', 1, gen_random_uuid(), now(),
            now()
        from generate_series(1, 2) as n, (values ('default'), ('other')) as workspaces (workspace)";
    sqlx::query(sql).execute(pool).await.unwrap();
}

const ID: Uuid = Uuid::from_u128(1);

#[tokio::test]
async fn versions_conform() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&VERSIONS).await.unwrap();
    let pool = &testing::pool(&platform);
    seed_prompts(pool).await;
    let sql = "
        insert into prompt_versions (workspace_id, prompt_id, version, content, model, author, variables, content_hash,
            create_time)
        select workspace_id, id, n + 1, 'content ' || n, '', '', '{}', sha256(n::text::bytea), now()
        from generate_series($1, $2) as n, prompts where $3 > 0";
    let seed = async |numbers| testing::insert(pool, sql, numbers).await;
    Conformance::of(&list).scope("default").scope(ID).check(seed).await;
}

#[tokio::test]
async fn labels_conform() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&LABELS).await.unwrap();
    let pool = &testing::pool(&platform);
    seed_prompts(pool).await;
    let version = "
        insert into prompt_versions (workspace_id, prompt_id, version, content, model, author, variables, content_hash,
            create_time)
        select workspace_id, id, 1, 'x', '', '', '{}', sha256('x'), now() from prompts";
    sqlx::query(version).execute(pool).await.unwrap();
    let sql = "
        insert into labels (workspace_id, prompt_id, label, version, assigned_by, assign_time)
        select workspace_id, id, 'label ' || n, 1, '', now() from generate_series($1, $2) as n, prompts where $3 > 0";
    let seed = async |numbers| testing::insert(pool, sql, numbers).await;
    Conformance::of(&list).scope("default").scope(ID).check(seed).await;
}

#[tokio::test]
async fn deployments_conform() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&DEPLOYMENTS).await.unwrap();
    let pool = &testing::pool(&platform);
    let sql = "
        insert into deployments (workspace_id, id, prompt_id, label, version, previous_version, actor, create_time)
        select workspace, gen_random_uuid(), ('00000000-0000-0000-0000-00000000000' || rarity)::uuid,
            case rarity when 1 then 'rare' else 'common' end, 1, 0, '', timestamptz '2026-01-01' + n % 977 * interval '1 s'
        from generate_series($1, $2) as n, (values ('default'), ('other')) as workspaces (workspace),
            lateral (select case when n % $3 = 0 then 1 else 2 end as rarity) as rarities";
    Conformance::of(&list)
        .scope("default")
        .value("prompt_id", ID)
        .value("prompt_id", Uuid::from_u128(2))
        .value("label", "rare")
        .value("label", "common")
        .check(async |numbers| testing::insert(pool, sql, numbers).await)
        .await;
}

#[tokio::test]
async fn checks_of_the_table_match_the_rules_of_the_fields() {
    let platform = testing::platform().await;
    testing::assert_checks(&platform, "prompts", &(PROMPT.fields)(&Prompt::default())).await;
    testing::assert_checks(&platform, "prompt_versions", &version_fields(&PromptVersion::default())).await;
}
