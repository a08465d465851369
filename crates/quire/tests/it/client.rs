//! The client as a library: its credential, deadline and user agent are in place for every generated client.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{KeyFile, Server, database, quire};
use client::{Builder, Client};
use futures_util::{TryStreamExt, future::try_join_all};
use pagination::WalkExt;
use quire_proto::{
    identity::v1::{
        ListSessionsRequest, RevokeSessionsRequest, Session, identity_service_client::IdentityServiceClient,
    },
    prompts::v1::{ListPromptsRequest, prompt_service_client::PromptServiceClient},
};
use tonic::{Code, Request, Status, codegen::http::HeaderMap, service::Routes, transport::server::TcpIncoming};

/// A server with authentication, and a client's settings with its first key.
async fn guarded() -> (Server, Builder) {
    let (_, url) = database().await;
    let bootstrap = quire(&["keys", "bootstrap", "--workspace", "acme", "--database-url", &url]).output().unwrap();
    let secret = String::from_utf8(bootstrap.stdout).unwrap();
    let keys = KeyFile::new();
    let mut server = Server::on_database(&url, &["--signing-keys", keys.path()]);
    server.connect().await;
    let address = format!("http://{}", server.address);
    (server, Client::builder(address).api_key(secret.trim()).user_agent("the-test/1"))
}

async fn sessions(client: &Client) -> Vec<Session> {
    client.walk(ListSessionsRequest::default()).try_collect().await.unwrap()
}

#[tokio::test]
async fn clones_share_one_session_which_shows_the_user_agent() {
    let (_server, builder) = guarded().await;
    let client = builder.connect().await.unwrap();
    let lists = (0..20).map(|_| client.walk(ListPromptsRequest::default()).try_collect::<Vec<_>>());
    try_join_all(lists).await.unwrap();
    let sessions = sessions(&client).await;
    assert_eq!(sessions.len(), 1);
    assert!(sessions[0].device.as_ref().unwrap().user_agent.starts_with("the-test/1"));
    assert!(!format!("{client:?}").contains("Bearer"));
}

#[tokio::test]
async fn a_client_whose_session_was_revoked_begins_another() {
    let (_server, builder) = guarded().await;
    let client = builder.connect().await.unwrap();
    let subject = sessions(&client).await[0].subject.clone();
    let mut identity = IdentityServiceClient::new(client.clone());
    identity.revoke_sessions(RevokeSessionsRequest { subject: subject.clone() }).await.unwrap();
    // This call looks the session up. A walk would make it again.
    let refused = identity.revoke_sessions(RevokeSessionsRequest { subject: subject.clone() }).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    identity.revoke_sessions(RevokeSessionsRequest { subject }).await.unwrap();
}

#[tokio::test]
async fn every_call_has_the_workspace_a_deadline_and_the_user_agent() {
    let calls: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let seen = calls.clone();
    let record = move |request: axum::extract::Request| async move {
        seen.lock().unwrap().push(request.headers().clone());
        Status::unimplemented("a server without services").into_http::<tonic::body::Body>()
    };
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("http://{}", incoming.local_addr().unwrap());
    let routes = Routes::from(axum::Router::new().fallback(record));
    let server = tokio::spawn(tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming));

    let builder = Client::builder(&address).workspace("acme").user_agent("the-test/1");
    let client = builder.deadline(Duration::from_secs(7)).connect().await.unwrap();
    let mut prompts = PromptServiceClient::new(client.clone());
    assert_eq!(prompts.list_prompts(ListPromptsRequest::default()).await.unwrap_err().code(), Code::Unimplemented);
    let mut request = Request::new(ListPromptsRequest::default());
    request.set_timeout(Duration::from_secs(3));
    assert_eq!(prompts.list_prompts(request).await.unwrap_err().code(), Code::Unimplemented);

    let of_prompts = |headers: &&HeaderMap| headers.contains_key("quire-workspace");
    let calls = calls.lock().unwrap();
    let calls: Vec<_> = calls.iter().filter(of_prompts).collect();
    assert_eq!(calls.iter().map(|headers| &headers["grpc-timeout"]).collect::<Vec<_>>(), ["7000m", "3000000u"]);
    assert!(calls.iter().all(|headers| headers["quire-workspace"] == "acme"));
    assert!(calls.iter().all(|headers| headers["user-agent"].to_str().unwrap().starts_with("the-test/1 ")));
    server.abort();
}

#[tokio::test]
async fn settings_that_are_not_valid_are_named() {
    let connect = async |builder: Builder| builder.connect().await.unwrap_err().to_string();
    let mut server = Server::on_database(&database().await.1, &[]);
    server.connect().await;
    let address = format!("http://{}", server.address);
    insta::assert_snapshot!(connect(Client::builder("quire.example")).await, @"quire.example is not a server address: write it as in http://127.0.0.1:50051 or https://quire.example:50051");
    insta::assert_snapshot!(connect(Client::builder("http://quire.example:1").api_key("secret")).await, @"http://quire.example:1 is plain HTTP; API keys and certificates need https://");
    insta::assert_snapshot!(connect(Client::builder(&address).workspace("A workspace")).await, @"the workspace is not valid: it must have 1 to 63 of a-z, 0-9 and -");
    insta::assert_snapshot!(connect(Client::builder(&address).user_agent("a\nb")).await, @"the user agent is not valid: it must have visible ASCII characters only");
    insta::assert_snapshot!(connect(Client::builder("https://127.0.0.1:1").tls_ca("no certificate")).await, @"a certificate cannot be used for TLS");
}
