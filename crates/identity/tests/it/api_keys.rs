//! API keys: creating, listing and revoking them.
use crate::support::{UNKNOWN, World, key, told};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use platform::testing;
use quire_proto::identity::v1::{ApiKey, CreateApiKeyRequest, ListApiKeysRequest};
use sha2::{Digest, Sha256};

#[tokio::test]
async fn a_key_is_returned_as_stored_and_its_secret_is_not_stored() {
    let world = World::new().await;
    let wanted = ApiKey { expire_time: Some(world.hands.time(3_600)), ..key("ada", &["memory:read", "memory:write"]) };
    let (made, secret) = world.make("acme", wanted).await.unwrap();
    assert_eq!((made.name.as_str(), made.subject.as_str(), made.scopes.len()), ("a key", "ada", 2));
    assert!(secret.starts_with(&format!("{}_", made.prefix)), "{secret} begins with {}", made.prefix);
    assert!(made.prefix.starts_with("quire-key_acme_"), "{}", made.prefix);

    let request = world.admin("acme", ListApiKeysRequest::default());
    let listed = world.client.clone().list_api_keys(request).await.unwrap().into_inner().api_keys;
    assert_eq!(listed, [made]);
    world.begin(&secret).await.unwrap();
    let sql = "select key::text from api_keys as key union all select session::text from sessions as session";
    let kept: Vec<String> = sqlx::query_scalar(sql).fetch_all(&testing::pool(&world.platform)).await.unwrap();
    let random = URL_SAFE_NO_PAD.decode(secret.splitn(4, '_').nth(3).unwrap()).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(kept[0].contains(&hex(&Sha256::digest(&random))), "{kept:?}");
    assert!(kept.iter().all(|row| !row.contains(&hex(&random))), "no row has the secret");
}

#[tokio::test]
async fn no_key_has_more_scopes_than_its_creator() {
    let world = World::new().await;
    for (maker, wanted, missing) in [
        (&["identity:write"][..], &["memory:read"][..], "memory:read"),
        (&["identity:write", "memory:read"], &["memory:read", "memory:write"], "memory:write"),
        (&["identity:write", "memory:read"], &["memory:*"], "memory:*"),
    ] {
        let request =
            world.from("acme", maker, CreateApiKeyRequest { api_key: Some(key("eve", wanted)), ..Default::default() });
        let status = world.client.clone().create_api_key(request).await.unwrap_err();
        let expected = format!(
            "PermissionDenied: the scope {missing} is required\n  PERMISSION_DENIED of quire {{\"scope\": \"{missing}\"}}"
        );
        assert_eq!(told(&status), expected);
    }
    let (_, secret) = world.key("acme", &["identity:write", "memory:read"]).await;
    let (_, credentials) = world.begin(&secret).await.unwrap();
    world.make_as(&credentials, key("ada", &["memory:read"])).await.unwrap();
}

#[tokio::test]
async fn revoked_keys_and_sessions_create_no_keys() {
    let world = World::new().await;
    let wanted = key("ada", &["identity:write"]);
    let (made, secret) = world.key("acme", &["identity:write"]).await;
    let (session, first) = world.begin(&secret).await.unwrap();
    let (_, second) = world.begin(&secret).await.unwrap();
    world.make_as(&first, wanted.clone()).await.unwrap();

    world.revoke_session("acme", &session.id).await.unwrap();
    assert_eq!(told(&world.make_as(&first, wanted.clone()).await.unwrap_err()), UNKNOWN);
    world.make_as(&second, wanted.clone()).await.unwrap();

    world.revoke_key("acme", &made.id).await.unwrap();
    assert_eq!(told(&world.make_as(&second, wanted).await.unwrap_err()), UNKNOWN);
}

/// The state between the two statements of a revocation, which remains if the server dies there.
#[tokio::test]
async fn a_revoked_key_is_useless_before_its_sessions_are_revoked() {
    let world = World::new().await;
    let (_, secret) = world.key("acme", &["identity:write"]).await;
    let (_, credentials) = world.begin(&secret).await.unwrap();
    let sql = "update api_keys set revoke_time = create_time";
    sqlx::query(sql).execute(&testing::pool(&world.platform)).await.unwrap();
    let successor = world.make_as(&credentials, key("ada", &["identity:write"])).await;
    assert_eq!(told(&successor.unwrap_err()), UNKNOWN);
    assert_eq!(told(&world.refresh(&credentials.refresh_token).await.unwrap_err()), UNKNOWN);
}

#[tokio::test]
async fn no_key_outlives_its_creator() {
    let world = World::new().await;
    let end = Some(world.hands.time(3_600));
    let (_, secret) = world.make("acme", ApiKey { expire_time: end, ..key("ada", &["identity:write"]) }).await.unwrap();
    let (_, credentials) = world.begin(&secret).await.unwrap();
    for (wanted, expected) in [(None, end), (Some(7_200), end), (Some(60), Some(world.hands.time(60)))] {
        let expire_time = wanted.map(|seconds| world.hands.time(seconds));
        let wanted = ApiKey { expire_time, ..key("ada", &["identity:write"]) };
        assert_eq!(world.make_as(&credentials, wanted).await.unwrap().expire_time, expected);
    }
}

#[tokio::test]
async fn a_revoked_key_stays_revoked_and_ends_its_sessions() {
    let world = World::new().await;
    let (made, secret) = world.key("acme", &["memory:read"]).await;
    let (_, other_secret) = world.key("acme", &["memory:read"]).await;
    let (session, credentials) = world.begin(&secret).await.unwrap();
    let (other, _) = world.begin(&other_secret).await.unwrap();
    // Another workspace has no such key.
    let nil = "00000000-0000-0000-0000-000000000000";
    let foreign = told(&world.revoke_key("other", &made.id).await.unwrap_err());
    assert_eq!(foreign.replace(&made.id, nil), told(&world.revoke_key("acme", nil).await.unwrap_err()));

    world.pass(5).await;
    let revoked = world.revoke_key("acme", &made.id).await.unwrap();
    assert_eq!(revoked.revoke_time, Some(world.hands.time(0)));
    world.assert_unknown(&secret, &credentials.refresh_token).await;
    assert_eq!(world.session("acme", &session.id).await.unwrap().revoke_time, Some(world.hands.time(0)));
    assert_eq!(world.session("acme", &other.id).await.unwrap().revoke_time, None);
    world.begin(&other_secret).await.unwrap();
    world.pass(5).await;
    assert_eq!(world.revoke_key("acme", &made.id).await.unwrap(), revoked);
}

#[tokio::test]
async fn a_key_expires_at_its_expire_time() {
    let world = World::new().await;
    let wanted = ApiKey { expire_time: Some(world.hands.time(60)), ..key("ada", &["memory:read"]) };
    let (made, secret) = world.make("acme", wanted).await.unwrap();
    let (session, credentials) = world.begin(&secret).await.unwrap();
    assert_eq!(session.expire_time, made.expire_time, "a session ends with its key");
    assert_eq!(credentials.access_token_expire_time, made.expire_time, "and so does its access token");
    world.pass(59).await;
    let (_, credentials) = world.refresh(&credentials.refresh_token).await.unwrap();
    world.pass(1).await;
    world.assert_unknown(&secret, &credentials.refresh_token).await;
}
