//! Sessions: creating, refreshing and revoking them.
use crate::support::{Client, UNKNOWN, World, bearer, key, told};
use identity::SERVICE;
use platform::testing;
use quire_proto::identity::v1::{
    CreateApiKeyRequest, CreateSessionRequest, ListApiKeysRequest, ListSessionsRequest, RevokeSessionsRequest,
};
use tonic::Code;

#[tokio::test]
async fn a_key_creates_a_session_with_a_valid_access_token() {
    let world = World::new().await;
    let (made, secret) = world.key("acme", &["identity:read", "memory:read"]).await;
    let (session, credentials) = world.begin(&secret).await.unwrap();
    assert_eq!(world.session("acme", &session.id).await.unwrap(), session);
    assert_eq!((&session.api_key_id, session.subject.as_str()), (&made.id, "ada"));
    assert_eq!(session.scopes, ["identity:read", "memory:read"]);
    let device = session.device.unwrap();
    assert_eq!(device.ip, "127.0.0.1");
    assert!(device.user_agent.starts_with("tonic/"), "{}", device.user_agent);
    assert_eq!(session.create_time, Some(world.hands.time(0)));
    assert_eq!(session.expire_time, Some(world.hands.time(30 * 24 * 3_600)));
    assert_eq!(credentials.access_token_expire_time, Some(world.hands.time(600)));

    let list = async || {
        let request = bearer(&credentials.access_token, ListApiKeysRequest::default());
        world.client.clone().list_api_keys(request).await
    };
    let keys = list().await.unwrap().into_inner().api_keys;
    assert_eq!(keys[0].last_use_time, Some(world.hands.time(0)));
    // The token has only its scopes.
    let request = bearer(&credentials.access_token, RevokeSessionsRequest { subject: "ada".into() });
    let status = world.client.clone().revoke_sessions(request).await.unwrap_err();
    assert_eq!(
        told(&status),
        "PermissionDenied: the scope identity:write is required\n  PERMISSION_DENIED of quire {\"scope\": \"identity:write\"}"
    );
    world.hands.pass(599);
    list().await.unwrap();
    world.hands.pass(1);
    assert_eq!(told(&list().await.unwrap_err()), UNKNOWN);
}

#[tokio::test]
async fn a_session_may_have_fewer_scopes_than_its_key() {
    let world = World::new().await;
    let (_, secret) = world.key("acme", &["memory:read", "memory:write"]).await;
    let begin = async |scopes: &[&str]| {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        world.client.clone().create_session(CreateSessionRequest { secret: secret.clone(), scopes }).await
    };
    let session = begin(&["memory:read"]).await.unwrap().into_inner().session.unwrap();
    assert_eq!(session.scopes, ["memory:read"]);
    let status = begin(&["memory:read", "identity:write"]).await.unwrap_err();
    assert_eq!(
        told(&status),
        "PermissionDenied: the scope identity:write is required\n  PERMISSION_DENIED of quire {\"scope\": \"identity:write\"}"
    );
    let status = begin(&["memory:read", "memory:read"]).await.unwrap_err();
    assert_eq!(
        told(&status),
        "InvalidArgument: scopes[1]: must not be given twice\n  scopes[1]: must not be given twice"
    );
}

#[tokio::test]
async fn a_refresh_token_is_used_once() {
    let world = World::new().await;
    let (_, secret) = world.key("acme", &["memory:read"]).await;
    let (session, first) = world.begin(&secret).await.unwrap();
    world.hands.pass(300);
    let (refreshed, second) = world.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(refreshed.refresh_time, Some(world.hands.time(0)));
    assert_eq!(second.access_token_expire_time, Some(world.hands.time(600)));
    let (_, third) = world.refresh(&second.refresh_token).await.unwrap();

    // A thief uses the second token again.
    assert_eq!(told(&world.refresh(&second.refresh_token).await.unwrap_err()), UNKNOWN);
    assert_eq!(world.session("acme", &session.id).await.unwrap().revoke_time, Some(world.hands.time(0)));
    assert_eq!(told(&world.refresh(&third.refresh_token).await.unwrap_err()), UNKNOWN);
    // The key can create another session.
    world.begin(&secret).await.unwrap();
}

#[tokio::test]
async fn of_concurrent_uses_of_a_refresh_token_one_succeeds() {
    let world = World::new().await;
    let (_, secret) = world.key("acme", &["memory:read"]).await;
    let (session, credentials) = world.begin(&secret).await.unwrap();
    let uses = (0..8).map(|_| world.refresh(&credentials.refresh_token));
    let uses = futures_util::future::join_all(uses).await;
    assert_eq!(uses.iter().filter(|used| used.is_ok()).count(), 1);
    assert!(world.session("acme", &session.id).await.unwrap().revoke_time.is_some());
    let (_, latest) = uses.into_iter().find_map(Result::ok).unwrap();
    assert_eq!(told(&world.refresh(&latest.refresh_token).await.unwrap_err()), UNKNOWN);
}

/// A forged token, or a token of another session, does not revoke a session, because the session's id is no secret.
#[tokio::test]
async fn an_unknown_refresh_token_revokes_nothing() {
    let world = World::new().await;
    let (_, secret) = world.key("acme", &["memory:read"]).await;
    let (session, credentials) = world.begin(&secret).await.unwrap();
    let (_, other) = world.begin(&secret).await.unwrap();
    let split = |token: &str| token.match_indices('_').nth(2).map(|(place, _)| place).unwrap();
    let (head, tail) = credentials.refresh_token.split_at(split(&credentials.refresh_token));
    let (_, other_tail) = other.refresh_token.split_at(split(&other.refresh_token));
    let made_up = [
        format!("{head}{other_tail}"),
        format!("{head}_{}", "A".repeat(tail.len() - 1)),
        format!("{}{tail}", head.replace("acme", "other")),
        format!("{head}{tail}A"),
        credentials.access_token.clone(),
        secret.clone(),
        String::new(),
    ];
    for token in &made_up {
        assert_eq!(told(&world.refresh(token).await.unwrap_err()), UNKNOWN, "{token}");
    }
    assert_eq!(world.session("acme", &session.id).await.unwrap().revoke_time, None);
    world.refresh(&credentials.refresh_token).await.unwrap();
}

#[tokio::test]
async fn no_wrong_secret_creates_a_session() {
    let world = World::new().await;
    let (made, secret) = world.key("acme", &["memory:read"]).await;
    let (_, other) = world.key("acme", &["memory:read"]).await;
    let (_, credentials) = world.begin(&secret).await.unwrap();
    let (prefix, random) = (&made.prefix, other.splitn(4, '_').nth(3).unwrap());
    assert_eq!(*prefix, format!("quire-key_acme_{}", made.id.replace('-', "")));
    let texts = ["", "_", "___", "quire-key", "quire-key_acme_x_AAAA", "quire-key_ACME_x_AAAA", prefix];
    let wrong = [
        credentials.refresh_token,
        format!("{prefix}_{random}"),
        secret.replace("acme", "other"),
        secret.replace("acme", "Acme"),
        secret.replace("quire-key", "quire-refresh"),
        secret.to_uppercase(),
        format!(" {secret}"),
        format!("{secret}="),
        format!("{secret}A"),
        secret[..secret.len() - 1].to_owned(),
        "x".repeat(60_000),
    ];
    for secret in texts.into_iter().chain(wrong.iter().map(String::as_str)) {
        assert_eq!(told(&world.begin(secret).await.unwrap_err()), UNKNOWN, "{secret}");
    }
    // The server does not buffer large requests of unknown callers.
    assert_eq!(world.begin(&"x".repeat(100_000)).await.unwrap_err().code(), Code::InvalidArgument);
    world.begin(&secret).await.unwrap();
    // The base64url of a secret can contain underscores.
    let sql = "update api_keys set secret_hash = sha256(decode(repeat('ff', 32), 'hex')) where id = $1::uuid";
    sqlx::query(sql).bind(&made.id).execute(&testing::pool(&world.platform)).await.unwrap();
    world.begin(&format!("{prefix}_{}8", "_".repeat(42))).await.unwrap();
}

#[tokio::test]
async fn a_revoked_session_is_not_refreshed() {
    let world = World::new().await;
    let (_, secret) = world.key("acme", &["memory:read"]).await;
    let (session, credentials) = world.begin(&secret).await.unwrap();
    // Another workspace has no such session.
    let nil = "00000000-0000-0000-0000-000000000000";
    let nothing = told(&world.revoke_session("acme", nil).await.unwrap_err());
    for foreign in [world.revoke_session("other", &session.id).await, world.session("other", &session.id).await] {
        assert_eq!(told(&foreign.unwrap_err()).replace(&session.id, nil), nothing);
    }
    let revoked = world.revoke_session("acme", &session.id).await.unwrap();
    assert_eq!(revoked.revoke_time, Some(world.hands.time(0)));
    assert_eq!(told(&world.refresh(&credentials.refresh_token).await.unwrap_err()), UNKNOWN);
    world.hands.pass(1);
    assert_eq!(world.revoke_session("acme", &session.id).await.unwrap(), revoked, "it is unchanged");
}

#[tokio::test]
async fn all_sessions_of_a_subject_are_revoked_and_no_others() {
    let world = World::new().await;
    let mut begun = Vec::new();
    for (workspace, subject) in [("acme", "ada"), ("acme", "ada"), ("acme", "bob"), ("other", "ada")] {
        let (_, secret) = world.make(workspace, key(subject, &["memory:read"])).await.unwrap();
        begun.push((workspace, world.begin(&secret).await.unwrap()));
    }
    let revoke = async || {
        let request = world.admin("acme", RevokeSessionsRequest { subject: "ada".to_owned() });
        world.client.clone().revoke_sessions(request).await.unwrap().into_inner().revoked_count
    };
    assert_eq!((revoke().await, revoke().await), (2, 0));
    let mut refreshed = Vec::new();
    for (_, (_, credentials)) in &begun {
        refreshed.push(world.refresh(&credentials.refresh_token).await.is_ok());
    }
    assert_eq!(refreshed, [false, false, true, true]);
    for (active, subject, expected) in [
        (Some(true), None, 1),
        (Some(false), None, 2),
        (None, None, 3),
        (None, Some("ada"), 2),
        (Some(true), Some("ada"), 0),
        (Some(false), Some("eve"), 0),
    ] {
        let request = ListSessionsRequest { active, subject: subject.map(str::to_owned), ..Default::default() };
        let request = world.admin("acme", request);
        let listed = world.client.clone().list_sessions(request).await.unwrap().into_inner().sessions;
        assert_eq!(listed.len(), expected, "active {active:?} of {subject:?}");
    }
}

/// Without authentication, or with only public keys, API keys can be created but sessions cannot.
#[tokio::test]
async fn without_signing_keys_no_session_is_created() {
    let platform = testing::platform().await;
    let mut client = Client::new(testing::serve_on(&platform, &SERVICE).await);
    let api_key = Some(key("ada", &["identity:write"]));
    let secret = client.create_api_key(CreateApiKeyRequest { api_key }).await.unwrap().into_inner().secret;
    let status = client.create_session(CreateSessionRequest { secret, scopes: Vec::new() }).await.unwrap_err();
    assert_eq!(told(&status), "FailedPrecondition: this server has no keys to sign access tokens with");
}
