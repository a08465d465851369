//! Authorization: every method of every service, with every kind of wrong credential.
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::support::{KeyFile, Server, database, quire};
use access::{Caller, Methods, Requirement, Scope, SigningKeys};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use platform::{
    Clock, now,
    testing::{new_signing_key, told},
};
use quire_proto::{
    identity::v1::{CreateSessionRequest, identity_service_client::IdentityServiceClient},
    pagination::v1::PageRequest,
    prompts::v1::{ListPromptsRequest, prompt_service_client::PromptServiceClient},
};
use ring::{
    hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512},
    signature::Ed25519KeyPair,
};
use serde_json::{Value, json};
use tonic::{
    Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, metadata::AsciiMetadataValue,
    transport::Channel,
};
use tonic_prost::ProstCodec;
use uuid::Uuid;

const UNKNOWN: &str = "Unauthenticated: a valid credential is required";

/// Calls a method with an empty message and this metadata.
async fn call(channel: &Channel, path: &str, authorization: &[&str]) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(());
    for value in authorization {
        request.metadata_mut().append("authorization", value.parse().unwrap());
    }
    let path: PathAndQuery = path.parse().unwrap();
    grpc.unary(request, path, ProstCodec::<(), ()>::default()).await.map(|_| ())
}

/// A token with these scopes, signed with the keys of a file as by a server.
fn token(keys: &str, workspace: &str, subject: &str, scopes: BTreeSet<Scope>) -> String {
    token_of(keys, Duration::ZERO, workspace, subject, scopes)
}

/// A token that was signed `age` ago.
fn token_of(keys: &str, age: Duration, workspace: &str, subject: &str, scopes: BTreeSet<Scope>) -> String {
    let (workspace, subject) = (workspace.to_owned(), subject.to_owned());
    let caller = Caller { workspace, subject, scopes: Arc::new(scopes), session: Some(Uuid::nil()) };
    let keys: SigningKeys = keys.parse().unwrap();
    let time = now(&Clock::system()) - age;
    keys.private().unwrap().sign(&caller, time, time + time::Duration::days(1)).unwrap().token
}

fn scopes() -> BTreeSet<Scope> {
    Methods::of_contract().unwrap().scopes().as_ref().clone()
}

/// The methods that require a scope, each with its scope.
fn guarded() -> Vec<(String, Scope)> {
    let methods = Methods::of_contract().unwrap();
    let scope = |requirement: &Requirement| match requirement {
        Requirement::Scope(scope) => Some(scope.clone()),
        Requirement::Nothing | Requirement::AccessToken => None,
    };
    methods.iter().filter_map(|(path, requirement)| Some((path.to_owned(), scope(requirement)?))).collect()
}

/// A token with a changed header or changed claims.
fn forged(pem: &str, key_id: Option<&str>, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pem::parse(pem).unwrap().contents()).unwrap();
    signed(|message| key.sign(message).as_ref().to_vec(), key_id, change)
}

fn signed(
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
    key_id: Option<&str>,
    change: impl FnOnce(&mut Value, &mut Value),
) -> String {
    let now = Clock::system().now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let scopes = scopes().iter().map(|scope| scope.0.clone()).collect::<Vec<_>>().join(" ");
    let mut claims = json!({
        "iss": "quire", "aud": "quire", "sub": "eve", "sid": Uuid::nil().to_string(), "workspace": "acme", "scope": scopes,
        "iat": now, "exp": now + 600,
    });
    let mut header = json!({"alg": "EdDSA", "typ": "at+jwt"});
    if let Some(key_id) = key_id {
        header["kid"] = json!(key_id);
    }
    change(&mut header, &mut claims);
    let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// The public half of a key in all forms that a forger could use as an HMAC secret, and the key's id.
fn public(pem: &str) -> (Vec<Vec<u8>>, String) {
    let keys = serde_json::to_value(pem.parse::<SigningKeys>().unwrap().public()).unwrap();
    let key = &keys["keys"][0];
    let (x, public) = (key["x"].as_str().unwrap(), KeyFile::with(pem).public());
    let der = pem::parse(&public).unwrap().into_contents();
    // The last 32 bytes are the raw public key.
    let raw = der[der.len() - 32..].to_vec();
    let secrets = vec![raw, der, public.clone().into_bytes(), public.trim().into(), x.into(), key.to_string().into()];
    (secrets, key["kid"].as_str().unwrap().to_owned())
}

/// Wrong credentials, each with a description.
fn wrong_credentials(pem: &str) -> Vec<(&'static str, Vec<String>)> {
    let right = token(pem, "acme", "ada", scopes());
    let (secrets, key_id) = public(pem);
    let key_id = Some(key_id.as_str());
    let [head, claims, signature] = right.split('.').collect::<Vec<_>>()[..] else { panic!("{right}") };
    let bearer = |token: String| vec![format!("Bearer {token}")];
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let other = new_signing_key();
    let mut wrong = vec![
        ("nothing", vec![]),
        ("empty", vec![String::new()]),
        ("no token", bearer(String::new())),
        ("another scheme", vec![format!("Basic {right}")]),
        ("no scheme", vec![right.clone()]),
        ("twice", vec![format!("Bearer {right}"), format!("Bearer {right}")]),
        ("malformed", bearer("x.y.z".into())),
        ("one part", bearer(head.into())),
        ("without its signature", bearer(format!("{head}.{claims}."))),
        ("cut", bearer(right[..right.len() - 2].into())),
        ("with more behind it", bearer(format!("{right}.{signature}"))),
        ("other claims", bearer(format!("{head}.{}.{signature}", claims.replacen('e', "f", 1)))),
        ("algorithm none", bearer(format!("{none}.{claims}."))),
        ("algorithm none with a signature", bearer(format!("{none}.{claims}.{signature}"))),
        ("expired", bearer(token_of(pem, Duration::from_secs(601), "acme", "ada", scopes()))),
        ("of another key", bearer(token(&other, "acme", "ada", scopes()))),
        ("of another key under the id of this one", bearer(forged(&other, key_id, |_, _| {}))),
        ("without a key id", bearer(forged(pem, None, |_, _| {}))),
        ("of an unknown key id", bearer(forged(pem, Some("x"), |_, _| {}))),
        ("another type", bearer(forged(pem, key_id, |header, _| header["typ"] = json!("JWT")))),
        ("another issuer", bearer(forged(pem, key_id, |_, claims| claims["iss"] = json!("other")))),
        ("another audience", bearer(forged(pem, key_id, |_, claims| claims["aud"] = json!("other")))),
        ("without an end", bearer(forged(pem, key_id, |_, claims| claims["exp"] = json!(null)))),
        ("without a workspace", bearer(forged(pem, key_id, |_, claims| claims["workspace"] = json!(null)))),
        ("an API key", bearer(format!("quire-key_acme_{}_{}", Uuid::nil().simple(), "A".repeat(43)))),
    ];
    for secret in &secrets {
        for (name, algorithm) in [("HS256", HMAC_SHA256), ("HS384", HMAC_SHA384), ("HS512", HMAC_SHA512)] {
            let sign = |message: &[u8]| hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec();
            let token = signed(sign, key_id, |header, _| header["alg"] = json!(name));
            wrong.push(("HMAC by the public key", bearer(token)));
        }
    }
    wrong
}

#[tokio::test]
async fn every_method_refuses_every_wrong_credential_in_the_same_words() {
    let (_, url) = database().await;
    let keys = KeyFile::new();
    let mut server = Server::on_database(&url, &["--signing-keys", keys.path(), "--audience", "quire"]);
    let channel = server.connect().await;
    // An unchanged forgery is accepted, so each forgery is wrong only in its change.
    let (_, key_id) = public(&keys.pem);
    let right = format!("Bearer {}", forged(&keys.pem, Some(&key_id), |_, _| {}));
    call(&channel, "/prompts.v1.PromptService/ListPrompts", &[&right]).await.unwrap();

    let wrong = wrong_credentials(&keys.pem);
    let methods = Methods::of_contract().unwrap();
    for (path, _) in methods.iter().filter(|(_, requirement)| **requirement != Requirement::Nothing) {
        for (what, authorization) in &wrong {
            let authorization: Vec<_> = authorization.iter().map(String::as_str).collect();
            let status = call(&channel, path, &authorization).await.unwrap_err();
            assert_eq!(told(&status), UNKNOWN, "{path} with a credential that is {what}");
        }
    }
    // Metadata that names a workspace is not a credential.
    let mut request = Request::new(ListPromptsRequest::default());
    request.metadata_mut().insert("quire-workspace", "acme".parse().unwrap());
    let status = PromptServiceClient::new(channel).list_prompts(request).await.unwrap_err();
    assert_eq!(told(&status), UNKNOWN);
}

#[tokio::test]
async fn every_method_requires_its_scope_and_no_other() {
    let (_, url) = database().await;
    let keys = KeyFile::new();
    let mut server = Server::on_database(&url, &["--signing-keys", keys.path(), "--audience", "quire"]);
    let channel = server.connect().await;
    for (path, scope) in guarded() {
        let others = scopes().into_iter().filter(|other| *other != scope).collect();
        let without = format!("Bearer {}", token(&keys.pem, "acme", "ada", others));
        let status = call(&channel, &path, &[&without]).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{path}");
        assert_eq!(status.message(), format!("the scope {scope} is required"));

        let with = format!("bearer {}", token(&keys.pem, "acme", "ada", [scope].into()));
        let code = call(&channel, &path, &[&with]).await.map_or_else(|status| status.code(), |()| Code::Ok);
        assert!(matches!(code, Code::Ok | Code::InvalidArgument), "{path} answers {code:?}");
    }
    for open in ["CreateSession", "RefreshSession"] {
        // The method is called without a credential, and refuses the message because it has no secret.
        let status = call(&channel, &format!("/identity.v1.IdentityService/{open}"), &[]).await.unwrap_err();
        assert_eq!(told(&status), UNKNOWN);
    }
}

/// A new method appears here, with its scope.
#[test]
fn the_scope_of_each_method() {
    let methods = Methods::of_contract().unwrap();
    let shown = |requirement: &Requirement| match requirement {
        Requirement::Nothing => "nothing".to_owned(),
        Requirement::AccessToken => "an access token".to_owned(),
        Requirement::Scope(scope) => scope.to_string(),
    };
    let lines: Vec<_> = methods.iter().map(|(path, requirement)| format!("{path} {}", shown(requirement))).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    /identity.v1.IdentityService/CreateApiKey identity:write
    /identity.v1.IdentityService/CreateSession nothing
    /identity.v1.IdentityService/GetSession identity:read
    /identity.v1.IdentityService/ListApiKeys identity:read
    /identity.v1.IdentityService/ListSessions identity:read
    /identity.v1.IdentityService/RefreshSession nothing
    /identity.v1.IdentityService/RevokeApiKey identity:write
    /identity.v1.IdentityService/RevokeSession an access token
    /identity.v1.IdentityService/RevokeSessions identity:write
    /jobs.v1.JobService/AppendJobEvents jobs:write
    /jobs.v1.JobService/BatchCreateJobs jobs:write
    /jobs.v1.JobService/CreateJob jobs:write
    /jobs.v1.JobService/DeleteJob jobs:write
    /jobs.v1.JobService/GetJob jobs:read
    /jobs.v1.JobService/GetQueueStats jobs:read
    /jobs.v1.JobService/ListJobEvents jobs:read
    /jobs.v1.JobService/ListJobs jobs:read
    /jobs.v1.JobService/RetryJob jobs:write
    /memory.v1.MemoryService/BatchStoreMemories memory:write
    /memory.v1.MemoryService/DeleteMemory memory:write
    /memory.v1.MemoryService/GetMemory memory:read
    /memory.v1.MemoryService/ListMemories memory:read
    /memory.v1.MemoryService/RecallMemories memory:read
    /memory.v1.MemoryService/StoreMemory memory:write
    /memory.v1.MemoryService/UpdateMemory memory:write
    /meter.v1.MeterService/ListUsage meter:read
    /meter.v1.MeterService/RecordUsage meter:write
    /meter.v1.MeterService/SummarizeUsage meter:read
    /prompts.v1.PromptService/AssignLabel prompts:write
    /prompts.v1.PromptService/BatchCreatePrompts prompts:write
    /prompts.v1.PromptService/CreatePrompt prompts:write
    /prompts.v1.PromptService/CreatePromptVersion prompts:write
    /prompts.v1.PromptService/DeletePrompt prompts:write
    /prompts.v1.PromptService/GetPrompt prompts:read
    /prompts.v1.PromptService/GetPromptVersion prompts:read
    /prompts.v1.PromptService/ListDeployments prompts:read
    /prompts.v1.PromptService/ListLabels prompts:read
    /prompts.v1.PromptService/ListPromptVersions prompts:read
    /prompts.v1.PromptService/ListPrompts prompts:read
    /prompts.v1.PromptService/RemoveLabel prompts:write
    /prompts.v1.PromptService/ResolvePrompt prompts:read
    /prompts.v1.PromptService/UpdatePrompt prompts:write
    /registry.v1.RegistryService/BatchRegisterAgents registry:write
    /registry.v1.RegistryService/DeregisterAgent registry:write
    /registry.v1.RegistryService/DiscoverAgents registry:read
    /registry.v1.RegistryService/GetAgent registry:read
    /registry.v1.RegistryService/Heartbeat registry:write
    /registry.v1.RegistryService/ListAgents registry:read
    /registry.v1.RegistryService/RegisterAgent registry:write
    /registry.v1.RegistryService/UpdateAgent registry:write
    ");
}

fn list(token: &str, page: PageRequest) -> Request<ListPromptsRequest> {
    let mut request = Request::new(ListPromptsRequest { page: Some(page), ..Default::default() });
    let bearer: AsciiMetadataValue = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

#[tokio::test]
async fn a_page_token_is_bound_to_a_workspace_but_not_to_a_subject() {
    let (_, url) = database().await;
    let keys = KeyFile::new();
    let mut server = Server::on_database(&url, &["--signing-keys", keys.path(), "--audience", "quire", "--sample"]);
    let client = PromptServiceClient::new(server.connect().await);
    let reader = |workspace, subject| token(&keys.pem, workspace, subject, [Scope("prompts:read".to_owned())].into());
    let page =
        |page_token: &str| PageRequest { page_token: page_token.to_owned(), page_size: 15, ..Default::default() };

    let mut names = BTreeSet::new();
    let (mut next, mut subjects) = (String::new(), ["ada", "bob", "eve"].iter());
    loop {
        let request = list(&reader("default", subjects.next().unwrap()), page(&next));
        let response = client.clone().list_prompts(request).await.unwrap().into_inner();
        names.extend(response.prompts.into_iter().map(|prompt| prompt.name));
        next = response.page.unwrap().next_page_token;
        if next.is_empty() {
            break;
        }
        let status = client.clone().list_prompts(list(&reader("other", "ada"), page(&next))).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(told(&status).contains("PAGE_TOKEN_QUERY_CHANGED"), "{}", told(&status));
    }
    assert_eq!(names.len(), 40);
    let other = client.clone().list_prompts(list(&reader("other", "ada"), page(""))).await.unwrap().into_inner();
    assert!(other.prompts.is_empty());
}

#[tokio::test]
async fn separate_processes_accept_the_same_tokens() {
    let (keys, (_, one), (_, two)) = (KeyFile::new(), database().await, database().await);
    // One process issues tokens; the other has only the public key.
    let public = KeyFile::with(&keys.public());
    let identity = ["--signing-keys", keys.path(), "--audience", "ours", "--services", "identity"];
    let mut identity = Server::on_database(&one, &identity);
    let mut others = Server::on_database(
        &two,
        &["--signing-keys", public.path(), "--audience", "ours", "--services", "memory,registry,memory", "--sample"],
    );
    let (identity_channel, channel) = (identity.connect().await, others.connect().await);
    let mut bootstrap = quire(&["keys", "bootstrap", "--workspace", "default", "--database-url", &one]);
    let secret = String::from_utf8(bootstrap.output().unwrap().stdout).unwrap();
    let request = CreateSessionRequest { secret: secret.trim().to_owned(), scopes: vec![] };
    let session = IdentityServiceClient::new(identity_channel.clone()).create_session(request).await.unwrap();
    let token = format!("Bearer {}", session.into_inner().credentials.unwrap().access_token);

    for path in ["/memory.v1.MemoryService/ListMemories", "/registry.v1.RegistryService/ListAgents"] {
        call(&channel, path, &[&token]).await.unwrap();
        assert_eq!(told(&call(&channel, path, &[]).await.unwrap_err()), UNKNOWN);
        let elsewhere = call(&identity_channel, path, &[&token]).await.unwrap_err();
        assert_eq!(elsewhere.code(), Code::Unimplemented, "{path} is not served there");
    }
}

/// The servers of a database share an audience without being told.
#[tokio::test]
async fn a_token_is_valid_on_the_servers_of_its_database() {
    let (keys, (_, one), (_, two)) = (KeyFile::new(), database().await, database().await);
    let start = |url: &str| Server::on_database(url, &["--signing-keys", keys.path()]);
    let mut servers = [start(&one), start(&one), start(&two)];
    let mut bootstrap = quire(&["keys", "bootstrap", "--workspace", "default", "--database-url", &one]);
    let secret = String::from_utf8(bootstrap.output().unwrap().stdout).unwrap();
    let first = servers[0].connect().await;
    let request = CreateSessionRequest { secret: secret.trim().to_owned(), scopes: vec![] };
    let session = IdentityServiceClient::new(first.clone()).create_session(request).await.unwrap().into_inner();
    let token = format!("Bearer {}", session.credentials.unwrap().access_token);
    let path = "/prompts.v1.PromptService/ListPrompts";
    call(&first, path, &[&token]).await.unwrap();
    call(&servers[1].connect().await, path, &[&token]).await.unwrap();
    assert_eq!(told(&call(&servers[2].connect().await, path, &[&token]).await.unwrap_err()), UNKNOWN);
}

#[tokio::test]
async fn keys_rotate_while_tokens_are_in_use() {
    let (_, url) = database().await;
    let (old, new) = (new_signing_key(), new_signing_key());
    let bearer = |pem: &str| format!("Bearer {}", token(pem, "acme", "ada", scopes()));
    let path = "/prompts.v1.PromptService/ListPrompts";
    for (keys, takes_old, takes_new) in
        [(format!("{old}\n{new}"), true, true), (format!("{new}\n{old}"), true, true), (new.clone(), false, true)]
    {
        let file = KeyFile::with(&keys);
        let mut server = Server::on_database(&url, &["--signing-keys", file.path(), "--audience", "quire"]);
        let channel = server.connect().await;
        assert_eq!(call(&channel, path, &[&bearer(&old)]).await.is_ok(), takes_old);
        assert_eq!(call(&channel, path, &[&bearer(&new)]).await.is_ok(), takes_new);
    }
}
