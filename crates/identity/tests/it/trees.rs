//! Keys that were made with other keys: who made them, and the end of a whole tree.
use std::collections::BTreeSet;

use crate::support::{UNKNOWN, World, bearer, key, told};
use futures_util::future::join_all;
use platform::{Retention, Sweeper, testing};
use quire_proto::identity::v1::{
    ApiKey, CreateApiKeyRequest, CreateApiKeyResponse, Credentials, ListApiKeysRequest, RevokeApiKeyRequest,
    RevokeApiKeyResponse, RevokeSessionRequest, RevokeSessionsRequest,
};
use tonic::{Code, Status};

const SCOPES: [&str; 2] = ["identity:write", "memory:read"];

/// A key that was made with another one, its secret, and the credentials of a session of it.
struct Made {
    key: ApiKey,
    secret: String,
    credentials: Credentials,
}

impl World {
    async fn root(&self) -> Made {
        let (key, secret) = self.key("acme", &SCOPES).await;
        let (_, credentials) = self.begin(&secret).await.unwrap();
        Made { key, secret, credentials }
    }

    async fn below(&self, maker: &Made) -> Result<Made, Status> {
        let request = CreateApiKeyRequest { api_key: Some(key("ada", &SCOPES)), ..Default::default() };
        let request = bearer(&maker.credentials.access_token, request);
        let CreateApiKeyResponse { api_key, secret } = self.client.clone().create_api_key(request).await?.into_inner();
        let (_, credentials) = self.begin(&secret).await?;
        Ok(Made { key: api_key.unwrap(), secret, credentials })
    }

    async fn tree(&self, id: &str) -> BTreeSet<String> {
        let request = ListApiKeysRequest { ancestor_id: Some(id.to_owned()), ..Default::default() };
        let listed = self.client.clone().list_api_keys(self.admin("acme", request)).await.unwrap().into_inner();
        listed.api_keys.into_iter().map(|key| key.id).collect()
    }

    async fn end(&self, id: &str, keep_descendants: bool) -> RevokeApiKeyResponse {
        let request = self.admin("acme", RevokeApiKeyRequest { id: id.to_owned(), keep_descendants });
        self.client.clone().revoke_api_key(request).await.unwrap().into_inner()
    }

    async fn works(&self, made: &Made) -> bool {
        let begins = self.begin(&made.secret).await.is_ok();
        assert_eq!(self.refresh(&made.credentials.refresh_token).await.is_ok(), begins);
        begins
    }
}

#[tokio::test]
async fn a_key_says_who_made_it_and_its_tree_ends_with_it() {
    let world = World::new().await;
    let root = world.root().await;
    assert_eq!((root.key.creator_api_key_id.as_str(), root.key.creator_subject.as_str()), ("", "admin"));
    let child = world.below(&root).await.unwrap();
    assert_eq!((&child.key.creator_api_key_id, child.key.creator_subject.as_str()), (&root.key.id, "ada"));
    let grandchild = world.below(&child).await.unwrap();
    assert_eq!(grandchild.key.creator_api_key_id, child.key.id);
    let sibling = world.below(&root).await.unwrap();
    let stranger = world.root().await;
    let ids = |made: &[&Made]| made.iter().map(|made| made.key.id.clone()).collect::<BTreeSet<_>>();
    assert_eq!(world.tree(&root.key.id).await, ids(&[&child, &grandchild, &sibling]));
    assert_eq!(world.tree(&child.key.id).await, ids(&[&grandchild]));
    assert_eq!(world.tree(&grandchild.key.id).await, ids(&[]));

    // The middle of the tree.
    let ended = world.end(&child.key.id, false).await;
    assert_eq!((ended.revoked_key_count, ended.revoked_session_count), (2, 2));
    assert_eq!(ended.api_key.unwrap().revoke_time, Some(world.hands.time(0)));
    for (made, works) in [(&root, true), (&child, false), (&grandchild, false), (&sibling, true), (&stranger, true)] {
        assert_eq!(world.works(made).await, works);
    }
    // Nothing is made or ended with an access token that is still valid.
    let token = &grandchild.credentials.access_token;
    let ends_key = bearer(token, RevokeApiKeyRequest { id: sibling.key.id.clone(), ..Default::default() });
    let ends_sessions = bearer(token, RevokeSessionsRequest { subject: "ada".to_owned() });
    let ends_session = bearer(token, RevokeSessionRequest { id: world.begin(&sibling.secret).await.unwrap().0.id });
    for status in [
        world.below(&grandchild).await.map(|_| ()).unwrap_err(),
        world.client.clone().revoke_api_key(ends_key).await.unwrap_err(),
        world.client.clone().revoke_sessions(ends_sessions).await.unwrap_err(),
        world.client.clone().revoke_session(ends_session).await.unwrap_err(),
    ] {
        assert_eq!(told(&status), UNKNOWN);
    }
    assert!(world.works(&sibling).await);
    let again = world.end(&child.key.id, false).await;
    assert_eq!((again.revoked_key_count, again.revoked_session_count), (0, 0));

    let ended = world.end(&root.key.id, true).await;
    // Its first session, and the one of the check above.
    assert_eq!((ended.revoked_key_count, ended.revoked_session_count), (1, 2));
    assert!(!world.works(&root).await && world.works(&sibling).await && world.works(&stranger).await);
    // The descendants of a revoked key can be ended later.
    let ended = world.end(&root.key.id, false).await;
    assert_eq!((ended.revoked_key_count, ended.revoked_session_count), (1, 5));
    assert!(!world.works(&sibling).await && world.works(&stranger).await);
}

/// The thief makes keys as fast as it can, with all of its keys, while the first one is revoked.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_escapes_while_its_tree_is_revoked() {
    let world = World::new().await;
    for _ in 0..5 {
        let root = world.root().await;
        let first = world.below(&root).await.unwrap();
        let steal = async {
            let mut made = vec![first];
            while let Ok(next) = world.below(made.last().unwrap()).await {
                made.push(next);
                if made.len() > 12 {
                    break;
                }
            }
            made
        };
        let (made, _) = tokio::join!(steal, world.end(&root.key.id, false));
        for made in &made {
            assert!(!world.works(made).await);
        }
        let sql = "select count(*) from api_keys where ancestor_ids @> array[$1::uuid] and revoke_time is null";
        let id = &root.key.id;
        let alive: i64 = sqlx::query_scalar(sql).bind(id).fetch_one(&testing::pool(&world.platform)).await.unwrap();
        assert_eq!(alive, 0);
    }
}

#[tokio::test]
async fn a_chain_of_keys_has_an_end() {
    let world = World::new().await;
    let mut last = world.root().await;
    for above in 1..=16 {
        last = world.below(&last).await.unwrap_or_else(|status| panic!("{above}: {status}"));
    }
    let status = world.below(&last).await.map(|_| ()).unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
}

#[tokio::test]
async fn a_key_with_more_scopes_than_the_caller_is_not_revoked() {
    let world = World::new().await;
    let root = world.root().await;
    let request =
        world.from("acme", &["identity:write"], RevokeApiKeyRequest { id: root.key.id.clone(), ..Default::default() });
    let status = world.client.clone().revoke_api_key(request).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "the scope memory:read is required"));
    assert!(world.works(&root).await);
}

#[tokio::test]
async fn a_key_is_for_the_caller_s_own_subject_unless_it_may_name_others() {
    let world = World::new().await;
    let (_, secret) = world.key("acme", &["identity:write", "memory:read"]).await;
    let (_, credentials) = world.begin(&secret).await.unwrap();
    let status = world.make_as(&credentials, key("bob", &["memory:read"])).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::PermissionDenied, "the scope identity:any_subject is required")
    );
    world.make_as(&credentials, key("ada", &["memory:read"])).await.unwrap();
    let (_, secret) = world.key("acme", &["identity:write", "identity:any_subject"]).await;
    let (_, credentials) = world.begin(&secret).await.unwrap();
    let made = world.make_as(&credentials, key("bob", &["identity:write"])).await.unwrap();
    assert_eq!((made.subject.as_str(), made.creator_subject.as_str()), ("bob", "ada"));
}

#[tokio::test]
async fn a_time_to_live_is_counted_by_the_clock_of_the_database() {
    let world = World::new().await;
    let make = async |seconds, expire_time| {
        let api_key = Some(ApiKey { expire_time, ..key("admin", &["memory:read"]) });
        let time_to_live = Some(prost_types::Duration { seconds, nanos: 0 });
        let request = world.admin("acme", CreateApiKeyRequest { api_key, time_to_live });
        world.client.clone().create_api_key(request).await
    };
    for (seconds, expire_time) in [(0, None), (-1, None), (i64::MAX, None), (60, Some(world.hands.time(60)))] {
        assert_eq!(make(seconds, expire_time).await.unwrap_err().code(), Code::InvalidArgument, "{seconds}");
    }
    let root = world.root().await;
    let api_key = Some(key("ada", &["memory:read"]));
    let request = CreateApiKeyRequest { api_key, time_to_live: Some(prost_types::Duration { seconds: 60, nanos: 0 }) };
    let made = world.client.clone().create_api_key(bearer(&root.credentials.access_token, request)).await.unwrap();
    assert_eq!(made.into_inner().api_key.unwrap().expire_time, Some(world.hands.time(60)));
}

#[tokio::test]
async fn ended_sessions_and_keys_are_deleted_from_the_leaves_up() {
    let world = World::new().await;
    let day = 86_400;
    let root = world.root().await;
    let child = world.below(&root).await.unwrap();
    world.below(&child).await.unwrap();
    let alive = world.root().await;
    let Retention { sessions, api_keys, .. } = world.platform.retention;
    assert_eq!((sessions.as_secs(), api_keys.as_secs()), (30 * day, 90 * day));
    let count = async |table: &str| {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&testing::pool(&world.platform)).await.unwrap()
    };
    let sweep = async || {
        let sweeps = (identity::SERVICE.open)(&world.platform).await.unwrap().sweeps;
        Sweeper::new(world.platform.database.clone(), sweeps).turn().await.unwrap().unwrap()
    };
    world.end(&child.key.id, false).await;
    world.end(&root.key.id, true).await;
    world.pass(29 * day).await;
    assert_eq!(sweep().await, 0);
    world.pass(2 * day).await;
    // Those of three revoked keys; the other one has expired and is kept for another 30 days.
    assert_eq!((sweep().await, count("sessions").await, count("api_keys").await), (3, 1, 4));
    world.pass(58 * day).await;
    assert_eq!((sweep().await, count("sessions").await, count("api_keys").await), (1, 0, 4));
    world.pass(2 * day).await;
    let mut rows = 0;
    while count("api_keys").await > 1 {
        let swept = sweep().await;
        assert_eq!(swept, 1, "a key is kept while keys remain that were made with it");
        rows += swept;
    }
    assert_eq!((rows, sweep().await), (3, 0));
    world.begin(&alive.secret).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_created_during_a_revocation_end_too() {
    let world = World::new().await;
    let root = world.root().await;
    let child = world.below(&root).await.unwrap();
    let begins = join_all((0..20).map(|_| world.begin(&child.secret)));
    let (begun, _) = tokio::join!(begins, world.end(&root.key.id, false));
    for (_, credentials) in begun.into_iter().flatten() {
        assert_eq!(told(&world.refresh(&credentials.refresh_token).await.unwrap_err()), UNKNOWN);
    }
}

/// Postgres keeps the plan that it made for small tables, although a thief has made very many keys since.
#[tokio::test]
async fn a_tree_that_has_grown_fast_is_revoked() {
    let world = World::new().await;
    let pool = testing::pool(&world.platform);
    let grow = "insert into api_keys (workspace_id, id, name, subject, scopes, secret_hash, create_time, ancestor_ids)
        select workspace_id, gen_random_uuid(), name, subject, scopes, secret_hash, now(), array[id]
        from api_keys, generate_series(1, 40000) where id = $1::uuid";
    let begin = "insert into sessions (workspace_id, id, api_key_id, subject, scopes, ip, user_agent, family_hash,
            refresh_hash, create_time, expire_time, refresh_time)
        select workspace_id, gen_random_uuid(), id, subject, scopes, '', '', secret_hash, secret_hash, now(), 'infinity',
            now() from api_keys where ancestor_ids @> array[$1::uuid]";
    sqlx::raw_sql(
        "alter table api_keys set (autovacuum_enabled = off); alter table sessions set (autovacuum_enabled = off)",
    )
    .execute(&pool)
    .await
    .unwrap();
    for _ in 0..10 {
        let root = world.root().await;
        world.below(&root).await.unwrap();
        world.end(&root.key.id, false).await;
    }
    let root = world.root().await;
    for sql in [grow, begin] {
        sqlx::query(sql).bind(&root.key.id).execute(&pool).await.unwrap();
    }
    let ended = world.end(&root.key.id, false).await;
    assert_eq!((ended.revoked_key_count, ended.revoked_session_count), (40_001, 40_001));
}
