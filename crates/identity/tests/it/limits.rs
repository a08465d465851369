//! How often callers may get a credential.
use std::num::NonZeroU32;

use platform::{Platform, SignIns, testing};

use crate::support::{World, told};

const FAILURES: &str = "ResourceExhausted: too many wrong secrets from this address
  TOO_MANY_WRONG_SECRETS of quire {}
  retry after 30s";
const SESSIONS: &str = "ResourceExhausted: too many sessions; use one until it ends
  TOO_MANY_SESSIONS of quire {}
  retry after 20s";

/// Three sessions a minute for each key, and two failures for each address.
async fn limited() -> World {
    let number = |number| NonZeroU32::new(number).unwrap();
    let sign_ins = SignIns { sessions_per_minute: number(3), failures_per_minute: number(2) };
    World::on(Platform { sign_ins, ..testing::platform().await }).await
}

/// A made-up secret that names this key.
fn forged(secret: &str) -> String {
    let (named, _) = secret.rsplit_once('_').unwrap();
    format!("{named}_{}", "A".repeat(43))
}

#[tokio::test]
async fn failures_are_limited_by_address_and_lock_nobody_out() {
    let world = limited().await;
    let (_, secret) = world.key("acme", &["memory:read"]).await;
    let (session, credentials) = world.begin(&secret).await.unwrap();
    for _ in 0..2 {
        let refused = world.begin(&forged(&secret)).await.unwrap_err();
        assert_eq!(told(&refused), "Unauthenticated: a valid credential is required");
    }
    let made_up = [forged(&secret), "none".to_owned(), String::new()];
    for secret in &made_up {
        assert_eq!(told(&world.begin(secret).await.unwrap_err()), FAILURES);
        assert_eq!(told(&world.refresh(&secret.replace("key", "refresh")).await.unwrap_err()), FAILURES);
    }
    // The owner of the key, at the same address.
    world.begin(&secret).await.unwrap();
    let (refreshed, _) = world.refresh(&credentials.refresh_token).await.unwrap();
    assert_eq!(refreshed.id, session.id);
    world.pass(30).await;
    let refused = world.begin(&forged(&secret)).await.unwrap_err();
    assert_eq!(told(&refused), "Unauthenticated: a valid credential is required");
}

#[tokio::test]
async fn sessions_are_limited_by_key() {
    let world = limited().await;
    let (_, secret) = world.key("acme", &["memory:read"]).await;
    let (_, other) = world.key("acme", &["memory:read"]).await;
    for _ in 0..3 {
        world.begin(&secret).await.unwrap();
    }
    assert_eq!(told(&world.begin(&secret).await.unwrap_err()), SESSIONS);
    world.begin(&other).await.unwrap();
    world.pass(20).await;
    world.begin(&secret).await.unwrap();
    assert!(world.begin(&secret).await.is_err());
}

/// A token that is refused is not used.
#[tokio::test]
async fn refreshes_are_limited_by_session() {
    let world = limited().await;
    let (_, secret) = world.key("acme", &["memory:read"]).await;
    let (_, mut credentials) = world.begin(&secret).await.unwrap();
    let (_, other) = world.begin(&secret).await.unwrap();
    for _ in 0..3 {
        (_, credentials) = world.refresh(&credentials.refresh_token).await.unwrap();
    }
    assert_eq!(told(&world.refresh(&credentials.refresh_token).await.unwrap_err()), SESSIONS);
    world.refresh(&other.refresh_token).await.unwrap();
    world.pass(20).await;
    world.refresh(&credentials.refresh_token).await.unwrap();
}

/// Callers do not wait longer because a clock was set back.
#[tokio::test]
async fn a_clock_that_was_set_back_delays_nobody() {
    let world = limited().await;
    let (_, secret) = world.key("acme", &["memory:read"]).await;
    for _ in 0..3 {
        world.begin(&secret).await.unwrap();
    }
    world.hands.go_back(3_600);
    assert!(world.begin(&secret).await.is_err());
    world.pass(20).await;
    world.begin(&secret).await.unwrap();
}
