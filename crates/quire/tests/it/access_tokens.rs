//! Access tokens and their keys, without a server: claims, lifetimes, and refused tokens.
use std::sync::Arc;

use access::{Access, Caller, Error, Methods, Requirement, Scope, SigningKeys};
use insta::assert_snapshot;
use time::{Duration, OffsetDateTime};
use tonic::{Request, codegen::http};
use uuid::Uuid;

/// The key of [RFC 8037](https://www.rfc-editor.org/rfc/rfc8037#appendix-A), as `openssl genpkey` writes keys.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";

const LIST: &str = "/prompts.v1.PromptService/ListPrompts";
const REVOKE: &str = "/identity.v1.IdentityService/RevokeSession";
const OPEN: [&str; 2] = ["/identity.v1.IdentityService/CreateSession", "/identity.v1.IdentityService/RefreshSession"];

fn keys() -> SigningKeys {
    KEY.parse().unwrap()
}

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

/// A caller with this scope.
fn caller(scope: &str) -> Caller {
    Caller {
        workspace: "acme".to_owned(),
        subject: "ada".to_owned(),
        scopes: Arc::new([Scope(scope.to_owned())].into()),
        session: Some(Uuid::from_u128(1)),
    }
}

/// The token of a caller with this scope. The session ends after `session_end`.
fn token(scope: &str, session_end: Duration) -> String {
    let keys = keys();
    keys.private().unwrap().sign(&caller(scope), now(), now() + session_end).unwrap().token
}

/// Calls this method: returns whether the call has a caller, or the error.
fn admitted(path: &str, authorization: Option<&str>) -> Result<bool, String> {
    let access = Access::new(Methods::of_contract().unwrap(), Some(keys()));
    let mut request = http::Request::builder().uri(path);
    if let Some(token) = authorization {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut request = request.body(()).unwrap();
    access.admit(&mut request, now()).map_err(|error: Error| error.to_string())?;
    Ok(request.extensions().get::<Caller>().is_some())
}

#[test]
fn keys_and_tokens_follow_the_standards() {
    let public = serde_json::to_string(&keys().public()).unwrap();
    // The thumbprint is that of appendix A.3.
    assert_snapshot!(public, @r#"{"keys":[{"use":"sig","alg":"EdDSA","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#);
    assert_snapshot!(token("prompts:read", Duration::DAY), @"eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6ImtQcktfcW14VldhWVZBOXd3QkY2SXVvM3ZWeno3VHhIQ1R3WEJ5Z3JTNGsifQ.eyJpc3MiOiJxdWlyZSIsImF1ZCI6InF1aXJlIiwic3ViIjoiYWRhIiwic2lkIjoiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAxIiwid29ya3NwYWNlIjoiYWNtZSIsInNjb3BlIjoicHJvbXB0czpyZWFkIiwiaWF0IjoxODAwMDAwMDAwLCJleHAiOjE4MDAwMDA2MDB9.CdIKniilW8laN_RNN1zfCReTuDOxMkW-N_3WpvKhZzxLMOCDRtWAQpqECcdHCasiteksIP7-SMydJ1qvh28ACw");
}

#[test]
fn a_token_lives_for_ten_minutes_and_no_longer_than_its_session() {
    let (keys, caller) = (keys(), caller("prompts:read"));
    for (session_end, seconds) in [(Duration::DAY, 600), (Duration::seconds(600), 600), (Duration::seconds(7), 7)] {
        let token = token("prompts:read", session_end);
        let verified = |after| keys.verify(&token, now() + Duration::seconds(after));
        assert_eq!(verified(0).as_ref(), Some(&caller));
        assert_eq!(verified(seconds - 1).as_ref(), Some(&caller));
        assert_eq!(verified(seconds), None);
    }
}

#[test]
fn a_call_is_admitted_by_its_path_and_its_token() {
    let right = token("prompts:read", Duration::DAY);
    let other = token("prompts:write", Duration::DAY);
    assert_eq!(admitted(LIST, Some(&right)), Ok(true));
    assert_eq!(admitted(LIST, Some(&other)), Err("the scope prompts:read is required".to_owned()));
    for open in OPEN {
        assert_eq!(admitted(open, None), Ok(false));
        assert_eq!(admitted(open, Some(&right)), Ok(false), "{open} has no caller");
    }
    assert_eq!(admitted(REVOKE, Some(&right)), Ok(true), "with any scope");
    assert_eq!(admitted(REVOKE, None), Err("a valid credential is required".to_owned()));
    for unknown in ["/prompts.v1.PromptService/NoSuchMethod", "/prompts.v1.PromptService", "/"] {
        assert_eq!(admitted(unknown, Some(&right)), Err("there is no such method".to_owned()));
        assert_eq!(admitted(unknown, None), Err("a valid credential is required".to_owned()));
    }
}

/// A service without [`Access`] refuses calls, because they have no caller.
#[test]
fn a_call_that_was_not_admitted_has_no_caller() {
    let status = Caller::of(&Request::new(())).unwrap_err();
    assert_eq!(platform::testing::told(&status), "Unauthenticated: a valid credential is required");
}

#[test]
fn a_token_is_valid_for_its_audience_only() {
    let sign = |keys: &SigningKeys| {
        keys.private().unwrap().sign(&caller("prompts:read"), now(), now() + Duration::DAY).unwrap().token
    };
    let (ours, theirs) = (keys().for_audience("ours"), keys().for_audience("theirs"));
    assert_eq!(ours.verify(&sign(&ours), now()), Some(caller("prompts:read")));
    for other in [&theirs, &keys()] {
        assert_eq!(ours.verify(&sign(other), now()), None);
        assert_eq!(other.verify(&sign(&ours), now()), None);
    }
}

#[test]
fn every_method_says_what_it_requires() {
    let methods = Methods::of_contract().unwrap();
    let paths = |wanted: Requirement| {
        methods.iter().filter(|(_, requirement)| **requirement == wanted).map(|(path, _)| path).collect::<Vec<_>>()
    };
    assert_eq!(paths(Requirement::Nothing), OPEN);
    assert_eq!(paths(Requirement::AccessToken), [REVOKE]);
    let further = Scope("identity:any_subject".to_owned());
    assert!(methods.scopes().contains(&further));
    assert!(methods.iter().all(|(_, requirement)| *requirement != Requirement::Scope(further.clone())));
}

#[test]
fn only_a_private_key_signs() {
    let public = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";
    let checking: SigningKeys = public.parse().unwrap();
    assert!(checking.private().is_none());
    let token = token("prompts:read", Duration::DAY);
    assert_eq!(checking.verify(&token, now()), Some(caller("prompts:read")));
}
