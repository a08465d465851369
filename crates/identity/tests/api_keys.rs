//! API keys: making, listing and revoking them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use platform::testing;
use prost_types::Timestamp;
use quire_proto::{
    identity::v1::{ApiKey, CreateApiKeyRequest, ListApiKeysRequest, RevokeApiKeyRequest},
    pagination::v1::PageRequest,
};
use support::{UNKNOWN, World, key, there_and_back, told};

#[tokio::test]
async fn a_key_is_answered_as_it_is_kept_and_its_secret_is_not_kept() {
    let world = World::new().await;
    let wanted = ApiKey { expire_time: Some(world.hands.time(3_600)), ..key("ada", &["memory:read", "memory:write"]) };
    let (made, secret) = world.make("acme", wanted).await.unwrap();
    assert_eq!((made.name.as_str(), made.subject.as_str(), made.scopes.len()), ("a key", "ada", 2));
    assert!(secret.starts_with(&format!("{}_", made.prefix)), "{secret} begins with {}", made.prefix);
    assert!(made.prefix.starts_with("quire-key_acme_"), "{}", made.prefix);

    let request = world.admin("acme", ListApiKeysRequest::default());
    let listed = world.client.clone().list_api_keys(request).await.unwrap().into_inner().api_keys;
    assert_eq!(listed, [made]);
    let kept: Vec<String> = sqlx::query_scalar("select key::text from api_keys as key")
        .fetch_all(&testing::pool(&world.platform))
        .await
        .unwrap();
    let random = secret.splitn(4, '_').nth(3).unwrap();
    assert!(!kept[0].contains(random), "the table does not have the secret");
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let world = World::new().await;
    let past = Some(world.hands.time(0));
    let requests = [
        ("nothing", ApiKey::default()),
        ("too long", ApiKey { name: "x".repeat(129), ..key(&"x".repeat(129), &["memory:read"]) }),
        ("NUL", ApiKey { name: "\0".into(), ..key("\0", &["memory:read"]) }),
        ("scopes", key("ada", &["", "memory:read", "memory:read"])),
        ("33 scopes", ApiKey { scopes: vec!["memory:read".into(); 33], ..key("ada", &[]) }),
        ("in the past", ApiKey { expire_time: past, ..key("ada", &["memory:read"]) }),
        (
            "no time",
            ApiKey { expire_time: Some(Timestamp { seconds: i64::MAX, nanos: -1 }), ..key("a", &["memory:read"]) },
        ),
    ];
    let mut answers = String::new();
    for (what, request) in requests {
        let answer = told(&world.make("acme", request).await.unwrap_err());
        answers += &format!("{what}\n{answer}\n");
    }
    insta::assert_snapshot!(answers, @"
    nothing
    InvalidArgument: api_key.name: must have 1 to 128 bytes; it has 0; api_key.subject: must have 1 to 128 bytes; it has 0; api_key.scopes: must be at least 1
      api_key.name: must have 1 to 128 bytes; it has 0
      api_key.subject: must have 1 to 128 bytes; it has 0
      api_key.scopes: must be at least 1
    too long
    InvalidArgument: api_key.name: must have 1 to 128 bytes; it has 129; api_key.subject: must have 1 to 128 bytes; it has 129
      api_key.name: must have 1 to 128 bytes; it has 129
      api_key.subject: must have 1 to 128 bytes; it has 129
    NUL
    InvalidArgument: api_key.name: must not contain NUL; api_key.subject: must not contain NUL
      api_key.name: must not contain NUL
      api_key.subject: must not contain NUL
    scopes
    InvalidArgument: api_key.scopes[0]: must have 1 to 64 bytes; it has 0; api_key.scopes[2]: must not be given twice
      api_key.scopes[0]: must have 1 to 64 bytes; it has 0
      api_key.scopes[2]: must not be given twice
    33 scopes
    InvalidArgument: api_key.scopes: must be at most 32; there are 33
      api_key.scopes: must be at most 32; there are 33
    in the past
    InvalidArgument: api_key.expire_time: must be in the future
      api_key.expire_time: must be in the future
    no time
    InvalidArgument: api_key.expire_time: must be a time of the years 1 to 9999; api_key.expire_time: must be in the future
      api_key.expire_time: must be a time of the years 1 to 9999
      api_key.expire_time: must be in the future
    ");
}

#[tokio::test]
async fn no_key_has_more_scopes_than_its_maker() {
    let world = World::new().await;
    for (maker, wanted, missing) in [
        (&["identity:write"][..], &["memory:read"][..], "memory:read"),
        (&["identity:write", "memory:read"], &["memory:read", "memory:write"], "memory:write"),
        (&["identity:write", "memory:read"], &["memory:*"], "memory:*"),
    ] {
        let request = world.from("acme", maker, CreateApiKeyRequest { api_key: Some(key("eve", wanted)) });
        let status = world.client.clone().create_api_key(request).await.unwrap_err();
        let expected = format!(
            "PermissionDenied: the scope {missing} is required\n  PERMISSION_DENIED of quire {{\"scope\": \"{missing}\"}}"
        );
        assert_eq!(told(&status), expected);
    }
    let request = CreateApiKeyRequest { api_key: Some(key("bob", &["memory:read"])) };
    let request = world.from("acme", &["identity:write", "memory:read"], request);
    world.client.clone().create_api_key(request).await.unwrap();
}

#[tokio::test]
async fn a_revoked_key_stays_revoked_and_ends_its_sessions() {
    let world = World::new().await;
    let (made, secret) = world.key("acme", &["memory:read"]).await;
    let (_, other_secret) = world.key("acme", &["memory:read"]).await;
    let (session, credentials) = world.begin(&secret).await.unwrap();
    let (other, _) = world.begin(&other_secret).await.unwrap();

    world.hands.advance(5);
    let revoke = async || {
        let request = world.admin("acme", RevokeApiKeyRequest { id: made.id.clone() });
        world.client.clone().revoke_api_key(request).await.unwrap().into_inner().api_key.unwrap()
    };
    let revoked = revoke().await;
    assert_eq!(revoked.revoke_time, Some(world.hands.time(0)));
    assert_eq!(told(&world.begin(&secret).await.unwrap_err()), UNKNOWN);
    assert_eq!(told(&world.refresh(&credentials.refresh_token).await.unwrap_err()), UNKNOWN);
    assert_eq!(world.session("acme", &session.id).await.unwrap().revoke_time, Some(world.hands.time(0)));
    assert_eq!(world.session("acme", &other.id).await.unwrap().revoke_time, None);
    world.begin(&other_secret).await.unwrap();

    world.hands.advance(5);
    assert_eq!(revoke().await, revoked);
}

#[tokio::test]
async fn a_key_ends_when_it_is_to() {
    let world = World::new().await;
    let wanted = ApiKey { expire_time: Some(world.hands.time(60)), ..key("ada", &["memory:read"]) };
    let (made, secret) = world.make("acme", wanted).await.unwrap();
    let (session, credentials) = world.begin(&secret).await.unwrap();
    assert_eq!(session.expire_time, made.expire_time, "a session ends with its key");
    assert_eq!(credentials.access_token_expire_time, made.expire_time, "and so does its access token");
    world.hands.advance(59);
    let (_, credentials) = world.refresh(&credentials.refresh_token).await.unwrap();
    world.hands.advance(1);
    assert_eq!(told(&world.begin(&secret).await.unwrap_err()), UNKNOWN);
    assert_eq!(told(&world.refresh(&credentials.refresh_token).await.unwrap_err()), UNKNOWN);
}

#[tokio::test]
async fn two_workspaces_do_not_see_each_other() {
    let world = World::new().await;
    let mut made = Vec::new();
    for number in 0..14 {
        let workspace = ["acme", "other"][number % 2];
        made.push((workspace, world.key(workspace, &["memory:read"]).await.0.id));
    }
    for workspace in ["acme", "other"] {
        let pages = there_and_back(2, async |page| {
            let request = world.admin(workspace, ListApiKeysRequest { page: Some(page), ..Default::default() });
            let response = world.client.clone().list_api_keys(request).await.unwrap().into_inner();
            (response.api_keys, response.page)
        })
        .await;
        let mut ids: Vec<_> = pages.concat().into_iter().map(|key| key.id).collect();
        ids.sort();
        let mut expected: Vec<_> = made.iter().filter(|(of, _)| *of == workspace).map(|(_, id)| id.clone()).collect();
        expected.sort();
        assert_eq!(ids, expected);
    }

    let foreign = &made[1].1;
    let revoke = async |id: &str| {
        let request = world.admin("acme", RevokeApiKeyRequest { id: id.to_owned() });
        let status = world.client.clone().revoke_api_key(request).await.unwrap_err();
        told(&status).replace(id, "ID")
    };
    assert_eq!(revoke(foreign).await, revoke("00000000-0000-0000-0000-000000000000").await);

    let page = PageRequest { page_size: 1, ..Default::default() };
    let request = world.admin("acme", ListApiKeysRequest { page: Some(page), ..Default::default() });
    let response = world.client.clone().list_api_keys(request).await.unwrap().into_inner();
    let page = PageRequest { page_token: response.page.unwrap().next_page_token, ..Default::default() };
    let request = ListApiKeysRequest { page: Some(page), ..Default::default() };
    let status = world.client.clone().list_api_keys(world.admin("other", request)).await.unwrap_err();
    assert!(told(&status).contains("PAGE_TOKEN_QUERY_CHANGED"), "{}", told(&status));
}
