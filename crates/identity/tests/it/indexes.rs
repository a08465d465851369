//! Every statement of the service finds its rows by an index in large tables.
use crate::support::{World, key};
use platform::{
    Platform, Sweeper,
    testing::{Many, id},
};
use quire_proto::{
    identity::v1::{ListApiKeysRequest, ListSessionsRequest, RevokeSessionsRequest},
    pagination::v1::PageRequest,
};

/// 4,000 keys in five workspaces, with five sessions each.
const SEED: [&str; 5] = [
    // Reads by autovacuum would be counted as reads by the calls.
    "alter table api_keys set (autovacuum_enabled = off); alter table sessions set (autovacuum_enabled = off)",
    "insert into api_keys (workspace_id, id, name, subject, scopes, secret_hash, create_time)
    select 'w' || n % 5, lpad(to_hex(n / 5 + 1), 32, '0')::uuid, 'name', 'subject ' || n / 5, '{memory:read}', sha256('x'),
        timestamptz '2026-01-01' + n * interval '1 s'
    from generate_series(0, 3999) as n",
    "insert into sessions (workspace_id, id, api_key_id, subject, scopes, ip, user_agent, family_hash, refresh_hash,
        create_time, expire_time, refresh_time)
    select workspace_id, md5(id::text || n)::uuid, id, subject, scopes, '', '', sha256('x'), sha256('x'),
        create_time + n * interval '1 hour', timestamptz '2100-01-01', create_time
    from api_keys, generate_series(1, 5) as n",
    "insert into refresh_uses (workspace_id, session_id, token_hash, next_token, use_time)
    select workspace_id, id, sha256('x'), decode(repeat('00', 72), 'hex'), now() from sessions;
    alter table refresh_uses set (autovacuum_enabled = off)",
    "analyze",
];

async fn world(platform: &Platform) -> World {
    World::on(platform.clone()).await
}

#[tokio::test]
async fn no_call_scans_a_table() {
    let many = Many::new(&SEED).await;
    many.assert_reads("CreateApiKey, CreateSession and RefreshSession", 22, async |platform| {
        let world = world(platform).await;
        let (_, secret) = world.key("w1", &["identity:write"]).await;
        let (_, credentials) = world.begin(&secret).await.unwrap();
        world.begin(&format!("{secret}A")).await.unwrap_err();
        world.make_as(&credentials, key("ada", &["identity:write"])).await.unwrap();
        world.refresh(&credentials.refresh_token).await.unwrap();
        world.refresh(&credentials.refresh_token).await.unwrap();
        world.pass(11).await;
        world.refresh(&credentials.refresh_token).await.unwrap_err();
    })
    .await;
    many.assert_reads("RevokeApiKey", 20, async |platform| {
        let world = world(platform).await;
        world.revoke_key("w1", &id(7)).await.unwrap();
    })
    .await;
    many.assert_reads("RevokeSessions", 20, async |platform| {
        let world = world(platform).await;
        let request = world.admin("w1", RevokeSessionsRequest { subject: "subject 8".to_owned() });
        assert_eq!(world.client.clone().revoke_sessions(request).await.unwrap().into_inner().revoked_count, 5);
    })
    .await;
    many.assert_reads("GetSession, RevokeSession and lists", 60, async |platform| {
        let world = world(platform).await;
        let page = Some(PageRequest { page_size: 10, ..Default::default() });
        let request =
            ListSessionsRequest { page: page.clone(), subject: Some("subject 9".into()), ..Default::default() };
        let mut client = world.client.clone();
        let sessions = client.list_sessions(world.admin("w1", request)).await.unwrap().into_inner().sessions;
        assert_eq!(sessions.len(), 5);
        world.session("w1", &sessions[0].id).await.unwrap();
        world.revoke_session("w1", &sessions[0].id).await.unwrap();
        let request = ListSessionsRequest { page: page.clone(), ..Default::default() };
        assert_eq!(client.list_sessions(world.admin("w1", request)).await.unwrap().into_inner().sessions.len(), 10);
        let request = ListApiKeysRequest { page, ..Default::default() };
        assert_eq!(client.list_api_keys(world.admin("w1", request)).await.unwrap().into_inner().api_keys.len(), 10);
    })
    .await;
}

#[tokio::test]
async fn no_sweep_scans_a_table() {
    let sessions = "update sessions set expire_time = timestamptz '2026-01-01' + n * interval '1 s'
        from (select id, row_number() over () as n from sessions) as numbered where numbered.id = sessions.id and n <= 50";
    let keys =
        "update api_keys set revoke_time = create_time where workspace_id = 'w3' and id < lpad('f', 32, '0')::uuid";
    let many = Many::new(&[SEED[0], SEED[1], SEED[2], SEED[3], sessions, keys, "analyze"]).await;
    // Each deleted session is looked up once more, with its use. The revoked keys have sessions.
    many.assert_reads("a sweep", 200, async |platform| {
        let sweeps = (identity::SERVICE.open)(platform).await.unwrap().sweeps;
        assert_eq!(Sweeper::new(platform.database.clone(), sweeps).turn().await.unwrap(), Some(50));
    })
    .await;
}
