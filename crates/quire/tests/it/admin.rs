//! The admin port: metrics, probes and public keys.
use crate::support::{
    Client, DataDir, KeyFile, Server,
    admin::{get, metric},
    database, eventually, free_address,
    postgres::Postgres,
    quire,
    raw::Raw,
};
use quire_proto::{
    pagination::v1::{PageRequest, TotalCount},
    prompts::v1::{GetPromptRequest, ListPromptsRequest},
};
use tonic::{
    Code, Status,
    codegen::{Service, http},
};

#[tokio::test]
async fn served_calls_and_rows_are_counted() {
    let (_, url) = database().await;
    let address = free_address();
    let mut server = Server::on_database(&url, &["--sample", "--admin-listen", &address.to_string()]);
    let client: Client = server.client().await;
    let list = async |page: PageRequest, tag: Option<&str>| {
        let request = ListPromptsRequest { page: Some(page), tag: tag.map(str::to_owned), ..Default::default() };
        client.clone().list_prompts(request).await
    };
    let before = get(address, "/metrics").1;
    let pages = |text: &str| metric(text, "keyset_pages_total", &[r#"list="prompts.v1.Prompts""#]).unwrap_or_default();

    let page = PageRequest { page_size: 15, total_count: TotalCount::Capped.into(), ..Default::default() };
    list(page, None).await.unwrap();
    list(PageRequest::default(), Some("no such tag")).await.unwrap();
    list(PageRequest { page_token: "x".into(), ..Default::default() }, None).await.unwrap_err();
    client.clone().get_prompt(GetPromptRequest::default()).await.unwrap_err();

    let (status, text) = get(address, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(pages(&text) - pages(&before), 2.0);
    let prompts = r#"list="prompts.v1.Prompts""#;
    for (name, labels, expected) in [
        // Loading the samples has listed the prompts once.
        ("keyset_rows_total", vec![prompts], 15.0),
        ("keyset_rows_examined_total", vec![prompts], 16.0),
        ("keyset_counts_total", vec![prompts, "TOTAL_COUNT_PRECISION_EXACT"], 1.0),
        ("keyset_page_tokens_refused_total", vec![prompts, "PAGE_TOKEN_MALFORMED"], 1.0),
        ("grpc_server_handled_total", vec![r#"grpc_method="GetPrompt""#, r#"grpc_code="InvalidArgument""#], 1.0),
        ("grpc_server_handled_total", vec![r#"grpc_method="ListPrompts""#, r#"grpc_code="InvalidArgument""#], 1.0),
        ("grpc_server_handling_seconds_count", vec![r#"grpc_method="GetPrompt""#], 1.0),
    ] {
        let count = metric(&text, name, &labels).unwrap_or_else(|| panic!("no {name} {labels:?} in\n{text}"));
        let count = count - metric(&before, name, &labels).unwrap_or_default();
        assert_eq!(count, expected, "{name} {labels:?}");
    }
    assert_eq!(metric(&text, "database_connections_max", &[]), Some(16.0));
    assert!(metric(&text, "database_connections_in_use", &[]).is_some());
}

#[tokio::test]
async fn callers_create_no_labels() {
    let (_, url) = database().await;
    let address = free_address();
    let mut server = Server::on_database(&url, &["--admin-listen", &address.to_string()]);
    server.connect().await;
    let mut raw = Raw::connect(server.address).await;
    for path in ["/prompts.v1.PromptService/MadeUp", "/prompts.v1.PromptService/a/b", "/made.v1.Up/MadeUp", "/"] {
        let request = http::Request::post(format!("http://{}{path}", server.address));
        let request = request.header("content-type", "application/grpc").body(tonic::body::Body::empty()).unwrap();
        let answer = raw.call(request).await.unwrap();
        assert_eq!(Status::from_header_map(answer.headers()).unwrap().code(), Code::Unimplemented, "{path}");
    }
    let text = get(address, "/metrics").1;
    let labels = [r#"grpc_service="prompts.v1.PromptService""#, r#"grpc_method="unknown""#];
    assert_eq!(metric(&text, "grpc_server_handled_total", &labels), Some(2.0));
    assert!(!text.contains("made.v1") && !text.contains("MadeUp") && !text.contains("a/b"), "{text}");
}

#[tokio::test]
async fn the_operator_sets_the_number_of_connections() {
    let data_dir = DataDir::new();
    let address = free_address();
    let arguments = ["--admin-listen", &address.to_string(), "--max-connections", "200"];
    let mut server = Server::on_data_dir(&data_dir, &arguments);
    server.connect().await;
    let text = get(address, "/metrics").1;
    assert_eq!(metric(&text, "database_connections_max", &[]), Some(200.0));
    // The private Postgres accepts this many connections.
    let options = std::fs::read_to_string(data_dir.file("postgres/postmaster.opts")).unwrap();
    assert!(options.contains(r#""max_connections=284""#), "{options}");

    for number in ["0", "1001", "many"] {
        let output = quire(&["serve", "--max-connections", number]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{number}");
    }
}

#[tokio::test]
async fn a_server_is_not_ready_while_its_database_hangs() {
    let postgres = Postgres::start(&[]);
    let address = free_address();
    let mut server = Server::on_database(&postgres.url(), &["--admin-listen", &address.to_string()]);
    server.connect().await;
    let ready = |expected: &'static str| {
        eventually("the probe told it", async move || (get(address, "/readyz").0 == expected).then_some(()))
    };
    ready("HTTP/1.1 200 OK").await;
    let frozen = postgres.freeze();
    ready("HTTP/1.1 503 Service Unavailable").await;
    assert_eq!(get(address, "/healthz").0, "HTTP/1.1 200 OK", "the process lives");
    drop(frozen);
    ready("HTTP/1.1 200 OK").await;
}

#[tokio::test]
async fn probes_and_public_keys() {
    let (_, url) = database().await;
    let (address, keys) = (free_address(), KeyFile::new());
    let arguments = ["--admin-listen", &address.to_string(), "--signing-keys", keys.path()];
    let mut server = Server::on_database(&url, &arguments);
    server.connect().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(address, path), ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    }
    let jwks: serde_json::Value = serde_json::from_str(&get(address, "/.well-known/jwks.json").1).unwrap();
    let key = &jwks["keys"][0];
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
    assert_eq!([&key["kty"], &key["crv"], &key["alg"], &key["use"]], ["OKP", "Ed25519", "EdDSA", "sig"]);
    assert_eq!(key.get("d"), None, "the private half is not published");
    assert_eq!(get(address, "/").0, "HTTP/1.1 404 Not Found");
}
