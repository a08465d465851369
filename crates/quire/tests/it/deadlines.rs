//! The deadlines of calls.
use std::{collections::BTreeSet, convert::Infallible, error::Error, net::SocketAddr, time::Duration};

use crate::support::{
    Server,
    admin::{get, metric},
    database, eventually, free_address, make, names,
    postgres::{hold_up_writes, wait_for_locked},
    raw::{Raw, within},
};
use axum::body::{Body, Bytes};
use futures_util::stream;
use quire_proto::prompts::v1::{
    CreatePromptRequest, GetPromptRequest, ListPromptsRequest, Prompt, PromptVersion,
    prompt_service_client::PromptServiceClient,
};
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tokio::task::JoinSet;
use tonic::{
    Code, Status,
    codegen::{Service, http},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_client::ServerReflectionClient};

/// A request that creates a prompt, named after its deadline.
fn create(timeout: &'static str) -> tonic::Request<CreatePromptRequest> {
    let prompt = Prompt { name: format!("within {timeout}"), ..Default::default() };
    let version = PromptVersion { content: "Hello".to_owned(), ..Default::default() };
    within(timeout, CreatePromptRequest { prompt: Some(prompt), version: Some(version) })
}

fn assert_exceeded<T: std::fmt::Debug>(answer: Result<T, Status>, what: &str) {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "the call's deadline has passed"), "{what}");
}

/// How many CreatePrompt calls were counted with this code.
fn counted(admin: std::net::SocketAddr, code: &str) -> f64 {
    let labels = [
        r#"grpc_service="prompts.v1.PromptService""#,
        r#"grpc_method="CreatePrompt""#,
        &format!(r#"grpc_code="{code}""#),
    ];
    metric(&get(admin, "/metrics").1, "grpc_server_handled_total", &labels).unwrap_or_default()
}

#[tokio::test]
async fn a_deadline_that_passes_is_exceeded_and_a_caller_who_hangs_up_has_cancelled() {
    let (options, url) = database().await;
    let admin = free_address();
    let mut server = Server::on_database(&url, &["--admin-listen", &admin.to_string()]);
    let client = server.client().await;
    let raw = Raw::connect(server.address).await;
    let origin: http::Uri = format!("http://{}", server.address).parse().unwrap();
    let mut patient = PromptServiceClient::with_origin(raw, origin);

    let lock = hold_up_writes(&options).await;
    let timeouts = ["1m", "2m", "5m", "10m", "20m", "50m", "900u", "1n", "0S"];
    for timeout in timeouts {
        assert_exceeded(patient.create_prompt(create(timeout)).await, timeout);
    }
    assert_eq!((counted(admin, "DeadlineExceeded"), counted(admin, "Cancelled")), (timeouts.len() as f64, 0.0));

    wait_for_locked(&options, 0).await;
    let call = tokio::spawn(async move { make(&client, "given up").await });
    wait_for_locked(&options, 1).await;
    call.abort();
    eventually("it was counted", async || (counted(admin, "Cancelled") == 1.0).then_some(())).await;
    assert_eq!(counted(admin, "DeadlineExceeded"), timeouts.len() as f64);

    // Deadlines that are met.
    drop(lock);
    for timeout in ["1M", "99999999H"] {
        patient.create_prompt(create(timeout)).await.unwrap();
    }
    assert_eq!(counted(admin, "OK"), 2.0);
}

#[tokio::test]
async fn a_call_after_its_deadline_does_nothing() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let client = server.client().await;
    let origin: http::Uri = format!("http://{}", server.address).parse().unwrap();
    let raw = Raw::connect(server.address).await;
    let mut patient = PromptServiceClient::with_origin(raw.clone(), origin.clone());
    for timeout in ["0H", "0n", "00000000m", "1n"] {
        for _ in 0..5 {
            assert_exceeded(patient.create_prompt(create(timeout)).await, timeout);
        }
    }
    assert!(names(&client).await.is_empty());

    let check = within("0n", HealthCheckRequest::default());
    assert_exceeded(HealthClient::with_origin(raw.clone(), origin.clone()).check(check).await, "health");
    let ask = within("0n", stream::iter([ServerReflectionRequest::default()]));
    let mut reflection = ServerReflectionClient::with_origin(raw, origin);
    assert_exceeded(reflection.server_reflection_info(ask).await, "reflection");
}

#[tokio::test]
async fn a_deadline_may_pass_while_the_message_is_on_its_way() {
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    server.connect().await;
    let mut raw = Raw::connect(server.address).await;
    for path in ["/prompts.v1.PromptService/CreatePrompt", "/grpc.health.v1.Health/Check"] {
        // The header of a message of five bytes.
        let begun = stream::iter([Ok::<_, Infallible>(Bytes::from_static(&[0, 0, 0, 0, 5]))]);
        let body = Body::from_stream(futures_util::StreamExt::chain(begun, stream::pending()));
        let request = http::Request::post(format!("http://{}{path}", server.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "20m")
            .body(tonic::body::Body::new(body))
            .unwrap();
        let answer = crate::support::within("it was answered", raw.call(request)).await.unwrap();
        assert_eq!(answer.status(), http::StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        assert_exceeded(Err::<(), _>(Status::from_header_map(answer.headers()).unwrap()), path);
    }
}

/// A connection with a call whose deadline has passed serves other calls.
#[tokio::test]
async fn late_calls_do_not_block_the_others() {
    let (options, url) = database().await;
    let mut server = Server::on_database(&url, &[]);
    let id = make(&server.client().await, "any").await.unwrap();
    let client = connect(server.address).await;
    let _lock = hold_up_writes(&options).await;
    for _ in 0..4 {
        let late = (0..8).map(|_| {
            let mut client = client.clone();
            async move { assert_exceeded(client.create_prompt(create("5m")).await, "5m") }
        });
        let get = client.clone().get_prompt(GetPromptRequest { id: id.clone() }).await;
        futures_util::future::join_all(late).await;
        assert_eq!(get.unwrap().into_inner().prompt.unwrap().name, "any");
    }
}

/// The Postgres processes of the server's connections.
async fn backends(options: &PgConnectOptions) -> BTreeSet<i32> {
    let mut connection: PgConnection = options.connect().await.unwrap();
    let sql = "select pid from pg_stat_activity where datname = current_database() and application_name = 'quire'";
    sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap().into_iter().collect()
}

async fn connect(address: SocketAddr) -> PromptServiceClient<Raw> {
    let origin: http::Uri = format!("http://{address}").parse().unwrap();
    PromptServiceClient::with_origin(Raw::connect(address).await, origin)
}

/// Abandoned calls close no connection and fail no other call, no matter when and how they are abandoned.
#[tokio::test]
async fn abandoned_calls_do_not_fail_other_calls() {
    let (options, url) = database().await;
    let mut server = Server::on_database(&url, &["--max-connections", "4"]);
    let client = server.client().await;
    make(&client, "any").await.unwrap();
    let before = backends(&options).await;
    let mut storm = JoinSet::new();
    for number in 0..16_u64 {
        let address = server.address;
        storm.spawn(async move {
            let mut patient = connect(address).await;
            let timeouts = ["1m", "2m", "5m", "10m"].iter().cycle().skip(number as usize);
            for (round, timeout) in (0..).zip(timeouts) {
                let list = within(timeout, ListPromptsRequest::default());
                let reset = Duration::from_micros((round * 131 + number * 977) % 8_000);
                let status = if number % 2 == 0 {
                    patient.list_prompts(list).await.err()
                } else {
                    // The stream is reset.
                    let created = tokio::time::timeout(reset, patient.create_prompt(create("1S"))).await;
                    created.ok().and_then(Result::err)
                };
                // HTTP/2 closes a connection on which too many streams are reset.
                if status.is_some_and(|status| status.source().is_some()) {
                    patient = connect(address).await;
                }
            }
        });
    }
    for page in 0..300 {
        crate::support::list(&client, "").await.unwrap_or_else(|status| panic!("page {page}: {status}"));
    }
    storm.shutdown().await;
    let after = backends(&options).await;
    assert!(before.is_subset(&after), "connections were lost: {before:?}, {after:?}");
    assert!(after.len() <= 5, "{after:?}");
    make(&client, "another").await.unwrap();
}
