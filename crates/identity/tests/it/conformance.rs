//! Conformance tests of the service's lists.
use identity::api_key_fields;
use identity::{API_KEYS, SESSIONS};
use keyset::conformance::Conformance;
use platform::testing;
use quire_proto::identity::v1::ApiKey;
use uuid::Uuid;

#[tokio::test]
async fn api_keys_conform() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&API_KEYS).await.unwrap();
    let pool = &testing::pool(&platform);
    let sql = "
        insert into api_keys (workspace_id, id, name, subject, scopes, secret_hash, create_time, ancestor_ids)
        select workspace, gen_random_uuid(), 'a key', 'ada', '{memory:read}', sha256('x'),
            timestamptz '2026-01-01' + n % 977 * interval '1 s',
            array[case when n % $3 = 0 then uuid '00000000-0000-0000-0000-000000000001'
                else uuid '00000000-0000-0000-0000-000000000002' end]
        from generate_series($1, $2) as n, (values ('default'), ('other')) as workspaces (workspace)";
    Conformance::of(&list)
        .scope("default")
        .value("ancestor_id", Uuid::from_u128(1))
        .value("ancestor_id", Uuid::from_u128(2))
        .check(async |numbers| testing::insert(pool, sql, numbers).await)
        .await;
}

#[tokio::test]
async fn sessions_conform() {
    let platform = testing::platform().await;
    let list = platform.paging.open(&SESSIONS).await.unwrap();
    let pool = &testing::pool(&platform);
    let key = "
        insert into api_keys (workspace_id, id, name, subject, scopes, secret_hash, create_time)
        select workspace, '00000000-0000-0000-0000-000000000001', 'a key', 'ada', '{memory:read}', sha256('x'), now()
        from (values ('default'), ('other')) as workspaces (workspace)";
    sqlx::query(key).execute(pool).await.unwrap();
    let sql = "
        insert into sessions (workspace_id, id, api_key_id, subject, scopes, ip, user_agent, family_hash, refresh_hash,
            create_time, expire_time, refresh_time, revoke_time)
        select workspace_id, gen_random_uuid(), id, case when n % $3 = 0 then 'rare' else 'common' end, '{memory:read}', '',
            '', sha256('x'), sha256('x'), timestamptz '2026-01-01' + n % 977 * interval '1 s',
            now() + case n % 3 when 0 then interval '-1 day' else interval '1 day' end, now(),
            case n % 5 when 0 then now() end
        from generate_series($1, $2) as n, api_keys";
    Conformance::of(&list)
        .scope("default")
        .value("subject", "rare")
        .value("subject", "common")
        .value("active", true)
        .value("active", false)
        .check(async |numbers| testing::insert(pool, sql, numbers).await)
        .await;
}

#[tokio::test]
async fn checks_of_the_table_match_the_rules_of_the_fields() {
    let platform = testing::platform().await;
    testing::assert_checks(&platform, "api_keys", &api_key_fields(&ApiKey::default())).await;
}
