//! API keys: making, listing and revoking them.
use crate::support::{UNKNOWN, World, bearer, key, there_and_back, told};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use platform::testing;
use prost_types::Timestamp;
use quire_proto::{
    identity::v1::{
        ApiKey, CreateApiKeyRequest, Credentials, ListApiKeysRequest, RevokeApiKeyRequest, RevokeSessionRequest,
        RevokeSessionsRequest,
    },
    pagination::v1::PageRequest,
};
use sha2::{Digest, Sha256};
use tonic::Status;

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
    world.begin(&secret).await.unwrap();
    let sql = "select key::text from api_keys as key union all select session::text from sessions as session";
    let kept: Vec<String> = sqlx::query_scalar(sql).fetch_all(&testing::pool(&world.platform)).await.unwrap();
    let random = URL_SAFE_NO_PAD.decode(secret.splitn(4, '_').nth(3).unwrap()).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(kept[0].contains(&hex(&Sha256::digest(&random))), "{kept:?}");
    assert!(kept.iter().all(|row| !row.contains(&hex(&random))), "no row has the secret");
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
    let (_, secret) = world.key("acme", &["identity:write", "memory:read"]).await;
    let (_, credentials) = world.begin(&secret).await.unwrap();
    create_as(&world, &credentials, key("bob", &["memory:read"])).await.unwrap();
}

/// Makes a key with the access token of a session.
async fn create_as(world: &World, credentials: &Credentials, api_key: ApiKey) -> Result<ApiKey, Status> {
    let request = bearer(&credentials.access_token, CreateApiKeyRequest { api_key: Some(api_key) });
    Ok(world.client.clone().create_api_key(request).await?.into_inner().api_key.unwrap())
}

#[tokio::test]
async fn what_is_revoked_makes_no_successor() {
    let world = World::new().await;
    let wanted = key("bob", &["identity:write"]);
    let (made, secret) = world.key("acme", &["identity:write"]).await;
    let (session, first) = world.begin(&secret).await.unwrap();
    let (_, second) = world.begin(&secret).await.unwrap();
    create_as(&world, &first, wanted.clone()).await.unwrap();

    let request = world.admin("acme", RevokeSessionRequest { id: session.id });
    world.client.clone().revoke_session(request).await.unwrap();
    // Its access token lives on, and is good for everything else.
    let request = bearer(&first.access_token, RevokeSessionsRequest { subject: "nobody".to_owned() });
    world.client.clone().revoke_sessions(request).await.unwrap();
    assert_eq!(told(&create_as(&world, &first, wanted.clone()).await.unwrap_err()), UNKNOWN);
    create_as(&world, &second, wanted.clone()).await.unwrap();

    let request = world.admin("acme", RevokeApiKeyRequest { id: made.id });
    world.client.clone().revoke_api_key(request).await.unwrap();
    assert_eq!(told(&create_as(&world, &second, wanted).await.unwrap_err()), UNKNOWN);
}

/// As it is for a moment, or for longer if the server dies in it.
#[tokio::test]
async fn a_key_that_is_revoked_and_its_sessions_not_yet_gives_nothing() {
    let world = World::new().await;
    let (_, secret) = world.key("acme", &["identity:write"]).await;
    let (_, credentials) = world.begin(&secret).await.unwrap();
    let sql = "update api_keys set revoke_time = create_time";
    sqlx::query(sql).execute(&testing::pool(&world.platform)).await.unwrap();
    let successor = create_as(&world, &credentials, key("bob", &["identity:write"])).await;
    assert_eq!(told(&successor.unwrap_err()), UNKNOWN);
    assert_eq!(told(&world.refresh(&credentials.refresh_token).await.unwrap_err()), UNKNOWN);
}

#[tokio::test]
async fn no_key_outlives_its_maker() {
    let world = World::new().await;
    let end = Some(world.hands.time(3_600));
    let (_, secret) = world.make("acme", ApiKey { expire_time: end, ..key("ada", &["identity:write"]) }).await.unwrap();
    let (_, credentials) = world.begin(&secret).await.unwrap();
    for (wanted, expected) in [(None, end), (Some(7_200), end), (Some(60), Some(world.hands.time(60)))] {
        let expire_time = wanted.map(|seconds| world.hands.time(seconds));
        let wanted = ApiKey { expire_time, ..key("bob", &["identity:write"]) };
        assert_eq!(create_as(&world, &credentials, wanted).await.unwrap().expire_time, expected);
    }
}

#[tokio::test]
async fn a_revoked_key_stays_revoked_and_ends_its_sessions() {
    let world = World::new().await;
    let (made, secret) = world.key("acme", &["memory:read"]).await;
    let (_, other_secret) = world.key("acme", &["memory:read"]).await;
    let (session, credentials) = world.begin(&secret).await.unwrap();
    let (other, _) = world.begin(&other_secret).await.unwrap();

    world.hands.pass(5);
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

    world.hands.pass(5);
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
    world.hands.pass(59);
    let (_, credentials) = world.refresh(&credentials.refresh_token).await.unwrap();
    world.hands.pass(1);
    assert_eq!(told(&world.begin(&secret).await.unwrap_err()), UNKNOWN);
    assert_eq!(told(&world.refresh(&credentials.refresh_token).await.unwrap_err()), UNKNOWN);
}

#[tokio::test]
async fn workspaces_do_not_see_each_other() {
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
            (response.api_keys, response.page.unwrap())
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
