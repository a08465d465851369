//! Sessions, with a server that follows a script. The tests with real servers are in crates/quire/tests/it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use client::{Builder, Client};
use futures_util::{TryStreamExt, future::join_all};
use pagination::{
    Retry, WalkExt,
    proto::{ListClient, ListRequest},
};
use prost::Message;
use prost_types::Timestamp;
use quire_proto::{
    identity::v1::{self as api, Credentials, Session},
    prompts::v1::{ListPromptsRequest, ListPromptsResponse, Prompt},
};
use tokio::sync::Semaphore;
use tonic::{
    Code, Request, Status,
    body::Body,
    codegen::http::{Response, header::AUTHORIZATION},
    service::Routes,
    transport::server::TcpIncoming,
};

/// A server whose access tokens are the numbers of their sessions.
struct Server {
    creations: AtomicUsize,
    refreshes: AtomicUsize,
    /// How many seconds access tokens are valid.
    lifetime: AtomicUsize,
    /// Sessions before this one are revoked.
    first: AtomicUsize,
    is_failing: AtomicBool,
    is_slow: AtomicBool,
    /// Held during a refresh.
    refreshing: Semaphore,
}

impl Server {
    async fn start(lifetime: usize) -> (Arc<Self>, Builder) {
        let server = Arc::new(Self {
            creations: AtomicUsize::new(0),
            refreshes: AtomicUsize::new(0),
            lifetime: AtomicUsize::new(lifetime),
            first: AtomicUsize::new(0),
            is_failing: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
            refreshing: Semaphore::new(1),
        });
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = format!("http://{}", incoming.local_addr().unwrap());
        let answering = server.clone();
        let answer = move |request: axum::extract::Request| {
            let server = answering.clone();
            async move {
                server.answer(request).await.map_or_else(Status::into_http, |message: Vec<u8>| {
                    let length = u32::try_from(message.len()).unwrap();
                    let body = [&[0], &length.to_be_bytes()[..], &message].concat();
                    let response = Response::builder().header("content-type", "application/grpc");
                    response.header(Status::GRPC_STATUS, "0").body(Body::new(axum::body::Body::from(body))).unwrap()
                })
            }
        };
        let routes = Routes::from(axum::Router::new().fallback(answer));
        let serving = tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming);
        drop(tokio::spawn(serving));
        (server, Client::builder(address).api_key("the secret"))
    }

    async fn answer(&self, request: axum::extract::Request) -> Result<Vec<u8>, Status> {
        match request.uri().path() {
            "/identity.v1.IdentityService/CreateSession" => {
                let (session, credentials) = self.credentials(self.creations.fetch_add(1, SeqCst) + 1);
                Ok(api::CreateSessionResponse { session, credentials }.encode_to_vec())
            }
            "/identity.v1.IdentityService/RefreshSession" => {
                self.refreshes.fetch_add(1, SeqCst);
                let _permit = self.refreshing.acquire().await;
                let session = self.creations.load(SeqCst);
                if self.is_failing.load(SeqCst) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    return Err(Status::unavailable("no database"));
                }
                if session < self.first.load(SeqCst) {
                    return Err(Status::unauthenticated("revoked"));
                }
                let (session, credentials) = self.credentials(session);
                Ok(api::RefreshSessionResponse { session, credentials }.encode_to_vec())
            }
            <ListPromptsRequest as ListRequest>::METHOD => {
                let session = request.headers()[AUTHORIZATION].to_str().unwrap().strip_prefix("Bearer ");
                if session.unwrap().parse::<usize>().unwrap() < self.first.load(SeqCst) {
                    return Err(Status::unauthenticated("revoked"));
                }
                if self.is_slow.load(SeqCst) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok(ListPromptsResponse { prompts: vec![Prompt::default()], page: None }.encode_to_vec())
            }
            _ => Err(Status::unimplemented("not in the script")),
        }
    }

    fn credentials(&self, session: usize) -> (Option<Session>, Option<Credentials>) {
        let at = |seconds: usize| Some(Timestamp { seconds: seconds as i64, nanos: 0 });
        let credentials = Credentials {
            access_token: session.to_string(),
            access_token_expire_time: at(self.lifetime.load(SeqCst)),
            refresh_token: "refresh".to_owned(),
        };
        (Some(Session { refresh_time: at(0), ..Default::default() }), Some(credentials))
    }
}

async fn calls(client: &Client, count: usize) -> Vec<Result<(), Status>> {
    let call = async || client.clone().list(Request::new(ListPromptsRequest::default())).await.map(drop);
    join_all((0..count).map(|_| call())).await
}

#[tokio::test]
async fn the_page_timeout_of_a_walk_may_be_longer_than_the_deadline() {
    let (server, builder) = Server::start(900).await;
    let client = builder.deadline(Duration::from_millis(1)).connect().await.unwrap();
    server.is_slow.store(true, SeqCst);
    let walk = || client.walk(ListPromptsRequest::default());
    assert_eq!(walk().page_timeout(Duration::MAX).try_collect::<Vec<_>>().await.unwrap().len(), 1);
    let late = walk().try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(late.status().unwrap().code(), Code::DeadlineExceeded);
}

/// More calls than the channel has places.
#[tokio::test]
async fn calls_that_wait_for_the_session_do_not_keep_it_from_being_renewed() {
    let (server, builder) = Server::start(0).await;
    let client = builder.connect().await.unwrap();
    server.first.store(2, SeqCst);
    server.lifetime.store(900, SeqCst);
    assert!(calls(&client, 3_000).await.iter().all(Result::is_ok));
    assert_eq!((server.creations.load(SeqCst), server.refreshes.load(SeqCst)), (2, 1));
}

#[tokio::test]
async fn a_session_that_was_revoked_is_replaced_once_and_no_walk_notices() {
    let (server, builder) = Server::start(900).await;
    let client = builder.connect().await.unwrap();
    assert!(calls(&client, 1).await.iter().all(Result::is_ok));
    server.first.store(2, SeqCst);
    let walks = (0..50).map(|_| client.walk(ListPromptsRequest::default()).try_collect::<Vec<_>>());
    assert!(join_all(walks).await.iter().all(|rows| rows.as_ref().is_ok_and(|rows| rows.len() == 1)));
    assert_eq!(server.creations.load(SeqCst), 2);

    // The server refuses new sessions too.
    server.first.store(usize::MAX, SeqCst);
    let walk =
        client.walk(ListPromptsRequest::default()).retry(Retry { min_delay: Duration::ZERO, ..Retry::default() });
    let error = walk.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.status().unwrap().code(), Code::Unauthenticated);
    assert_eq!(server.creations.load(SeqCst), 3);
}

#[tokio::test]
async fn calls_that_wait_for_a_session_fail_together() {
    let (server, builder) = Server::start(0).await;
    let client = builder.connect().await.unwrap();
    server.is_failing.store(true, SeqCst);
    let failed = calls(&client, 100).await;
    assert!(failed.iter().all(|call| call.as_ref().is_err_and(|status| status.code() == Code::Unavailable)));
    assert_eq!(server.refreshes.load(SeqCst), 1);
    server.is_failing.store(false, SeqCst);
    assert!(calls(&client, 1).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_refresh_goes_on_when_the_call_that_began_it_ends() {
    let (server, builder) = Server::start(0).await;
    let client = builder.deadline(Duration::from_millis(300)).connect().await.unwrap();
    server.lifetime.store(900, SeqCst);
    let stop = server.refreshing.acquire().await;
    let late = calls(&client, 3).await;
    assert!(late.iter().all(|call| call.as_ref().is_err_and(|status| status.code() == Code::DeadlineExceeded)));
    drop(stop);
    assert!(calls(&client, 3).await.iter().all(Result::is_ok));
    assert_eq!(server.refreshes.load(SeqCst), 1);
}
