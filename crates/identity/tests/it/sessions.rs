//! Sessions: creating, refreshing and revoking them.
use std::collections::BTreeSet;

use crate::support::{Client, UNKNOWN, World, bearer, key, told};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use identity::SERVICE;
use platform::testing;
use quire_proto::identity::v1::{
    CreateApiKeyRequest, CreateSessionRequest, ListApiKeysRequest, ListSessionsRequest, RevokeSessionRequest,
    RevokeSessionsRequest, RevokeSessionsResponse,
};
use tonic::{Code, Response};

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
    world.pass(599).await;
    list().await.unwrap();
    world.pass(1).await;
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
    world.pass(300).await;
    let (refreshed, second) = world.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(refreshed.refresh_time, Some(world.hands.time(0)));
    assert_eq!(second.access_token_expire_time, Some(world.hands.time(600)));
    let (_, third) = world.refresh(&second.refresh_token).await.unwrap();

    // A thief uses the second token again.
    world.pass(11).await;
    assert_eq!(told(&world.refresh(&second.refresh_token).await.unwrap_err()), UNKNOWN);
    assert_eq!(world.session("acme", &session.id).await.unwrap().revoke_time, Some(world.hands.time(0)));
    assert_eq!(told(&world.refresh(&third.refresh_token).await.unwrap_err()), UNKNOWN);
    // The key can create another session.
    world.begin(&secret).await.unwrap();
}

#[tokio::test]
async fn a_refresh_token_answers_the_same_for_ten_seconds() {
    let world = World::new().await;
    let (_, secret) = world.key("acme", &["memory:read"]).await;
    let (session, first) = world.begin(&secret).await.unwrap();
    let refresh = async |token: &str| world.refresh(token).await.map(|(_, credentials)| credentials.refresh_token);
    let second = refresh(&first.refresh_token).await.unwrap();
    world.pass(5).await;
    let third = refresh(&second).await.unwrap();
    world.pass(5).await;
    // Also when the next token was used since.
    assert_eq!(refresh(&first.refresh_token).await.unwrap(), second);
    assert_eq!(refresh(&second).await.unwrap(), third);
    // The access token is a new one.
    let (_, again) = world.refresh(&second).await.unwrap();
    assert_eq!(again.access_token_expire_time, Some(world.hands.time(600)));
    world.pass(1).await;
    assert_eq!(refresh(&second).await.unwrap(), third);
    assert_eq!(told(&refresh(&first.refresh_token).await.unwrap_err()), UNKNOWN);
    assert!(world.session("acme", &session.id).await.unwrap().revoke_time.is_some());
    for token in [first.refresh_token, second, third] {
        assert_eq!(told(&refresh(&token).await.unwrap_err()), UNKNOWN, "the session has ended");
    }
}

#[tokio::test]
async fn a_used_token_answers_nothing_once_its_session_or_key_has_ended() {
    let world = World::new().await;
    for by_key in [false, true] {
        let (made, secret) = world.key("acme", &["memory:read"]).await;
        let (session, first) = world.begin(&secret).await.unwrap();
        world.refresh(&first.refresh_token).await.unwrap();
        if by_key {
            world.revoke_key("acme", &made.id).await.unwrap();
        } else {
            world.revoke_session("acme", &session.id).await.unwrap();
        }
        assert_eq!(told(&world.refresh(&first.refresh_token).await.unwrap_err()), UNKNOWN);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_uses_of_a_refresh_token_get_the_same_answer() {
    let world = World::new().await;
    let (_, secret) = world.key("acme", &["memory:read"]).await;
    let (session, credentials) = world.begin(&secret).await.unwrap();
    let mut token = credentials.refresh_token;
    for _ in 0..5 {
        let uses = futures_util::future::join_all((0..8).map(|_| world.refresh(&token))).await;
        let next: BTreeSet<_> = uses.into_iter().map(|used| used.unwrap().1.refresh_token).collect();
        assert_eq!(next.len(), 1);
        token = next.into_iter().next().unwrap();
    }
    assert_eq!(world.session("acme", &session.id).await.unwrap().revoke_time, None);
}

/// What the database holds is worth nothing to somebody who reads it.
#[tokio::test]
async fn no_refresh_token_is_stored() {
    let world = World::new().await;
    let (_, secret) = world.key("acme", &["memory:read"]).await;
    let (_, first) = world.begin(&secret).await.unwrap();
    let (_, second) = world.refresh(&first.refresh_token).await.unwrap();
    let (_, third) = world.refresh(&second.refresh_token).await.unwrap();
    let sql = "select session::text from sessions as session union all select use::text from refresh_uses as use";
    let kept: Vec<String> = sqlx::query_scalar(sql).fetch_all(&testing::pool(&world.platform)).await.unwrap();
    assert_eq!(kept.len(), 3);
    for token in [first, second, third] {
        let bytes = URL_SAFE_NO_PAD.decode(token.refresh_token.splitn(4, '_').nth(3).unwrap()).unwrap();
        let hex = bytes[32..].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert!(kept.iter().all(|row| !row.contains(&hex)));
    }
    // The uses are forgotten.
    world.pass(11).await;
    let (_, last) = world.begin(&secret).await.unwrap();
    let (_, last) = world.refresh(&last.refresh_token).await.unwrap();
    world.pass(11).await;
    world.refresh(&last.refresh_token).await.unwrap();
    let sql =
        "select count(*) from refresh_uses where use_time < now() - interval '10 seconds' and session_id = $1::uuid";
    let session = last.refresh_token.split('_').nth(2).unwrap().to_owned();
    let count: i64 = sqlx::query_scalar(sql).bind(session).fetch_one(&testing::pool(&world.platform)).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn a_caller_ends_its_own_session_and_no_session_with_more_scopes() {
    let world = World::new().await;
    let (_, weak) = world.key("acme", &["memory:read"]).await;
    let (own, credentials) = world.begin(&weak).await.unwrap();
    let (other, _) = world.begin(&weak).await.unwrap();
    let revoke = async |token: &str, id: &str| {
        let request = bearer(token, RevokeSessionRequest { id: id.to_owned() });
        world.client.clone().revoke_session(request).await.map(|answer| answer.into_inner().session.unwrap())
    };
    let denied = revoke(&credentials.access_token, &other.id).await.unwrap_err();
    assert_eq!(denied.message(), "the scope identity:write is required");
    assert!(revoke(&credentials.access_token, &own.id).await.unwrap().revoke_time.is_some());
    // The access token is valid until it expires, and the session stays as it is.
    revoke(&credentials.access_token, &own.id).await.unwrap();

    let (_, manager) = world.key("acme", &["identity:write"]).await;
    let (_, manager) = world.begin(&manager).await.unwrap();
    let denied = revoke(&manager.access_token, &other.id).await.unwrap_err();
    assert_eq!(denied.message(), "the scope memory:read is required");
    let (_, both) = world.key("acme", &["identity:write", "memory:read"]).await;
    let (strong, both) = world.begin(&both).await.unwrap();
    assert_eq!(revoke(&manager.access_token, &strong.id).await.unwrap_err().code(), Code::PermissionDenied);

    let of_ada = |token: &str| {
        let request = bearer(token, RevokeSessionsRequest { subject: "ada".to_owned() });
        let mut client = world.client.clone();
        async move { client.revoke_sessions(request).await.map(Response::into_inner) }
    };
    // That of the manager itself; the other two have `memory:read`.
    assert_eq!(
        of_ada(&manager.access_token).await.unwrap(),
        RevokeSessionsResponse { revoked_count: 1, kept_count: 2 }
    );
    assert_eq!(of_ada(&both.access_token).await.unwrap(), RevokeSessionsResponse { revoked_count: 2, kept_count: 0 });
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
    world.pass(1).await;
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
    let secret =
        client.create_api_key(CreateApiKeyRequest { api_key, ..Default::default() }).await.unwrap().into_inner().secret;
    let status = client.create_session(CreateSessionRequest { secret, scopes: Vec::new() }).await.unwrap_err();
    assert_eq!(told(&status), "FailedPrecondition: this server has no keys to sign access tokens with");
}
