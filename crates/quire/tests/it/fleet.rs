//! Several servers on one database: the guarantees for clients when connections break and servers die.
use std::net::SocketAddr;

use crate::support::{Server, database, eventually};
use prost_types::{Duration as TimeToLive, Timestamp};
use quire_proto::{
    meter::v1::{RecordUsageRequest, SummarizeUsageRequest, UsageRecord, meter_service_client::MeterServiceClient},
    pagination::v1::{PageRequest, TotalCount},
    registry::v1::{
        Agent, AgentStatus, BatchRegisterAgentsRequest, HeartbeatRequest, ListAgentsRequest, RegisterAgentRequest,
        registry_service_client::RegistryServiceClient,
    },
};
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tonic::transport::{Channel, Endpoint};

/// The backends that hold the sweep's advisory lock.
async fn sweepers(pool: &PgPool) -> Vec<i32> {
    let sql = "select pid from pg_locks where locktype = 'advisory' and granted
        and database = (select oid from pg_database where datname = current_database())";
    sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
}

/// How many agents have this status.
async fn count(client: &RegistryServiceClient<Channel>, status: AgentStatus) -> i64 {
    let page = PageRequest { page_size: 1, total_count: TotalCount::Exact.into(), ..Default::default() };
    let request = ListAgentsRequest { page: Some(page), status: status.into(), ..Default::default() };
    let page = client.clone().list_agents(request).await.unwrap().into_inner().page;
    page.unwrap().total_count.unwrap()
}

/// Registers agents with a time to live of one second, and returns their ids.
async fn register(client: &RegistryServiceClient<Channel>, generation: &str, count: usize) -> Vec<String> {
    let requests = (0..count).map(|number| {
        let name = format!("{generation}/{number}");
        let time_to_live = Some(TimeToLive { seconds: 1, nanos: 0 });
        let agent = Agent { name, time_to_live, ..Default::default() };
        RegisterAgentRequest { agent: Some(agent), ..Default::default() }
    });
    let request = BatchRegisterAgentsRequest { requests: requests.collect(), pass_over_existing: false };
    let agents = client.clone().batch_register_agents(request).await.unwrap().into_inner().agents;
    agents.into_iter().map(|agent| agent.id).collect()
}

#[tokio::test]
async fn another_server_sweeps_when_the_sweeping_server_dies() {
    let (options, url) = database().await;
    let pool = PgPool::connect_lazy_with(options);
    // The server that starts first sweeps.
    let mut first = Server::on_database(&url, &["--services", "registry"]);
    let mut clients = vec![RegistryServiceClient::new(first.connect().await)];
    let holder = eventually("a server swept", async || sweepers(&pool).await.first().copied()).await;
    let mut others = [(); 2].map(|()| Server::on_database(&url, &["--services", "registry"]));
    for server in &mut others {
        clients.push(RegistryServiceClient::new(server.connect().await));
    }
    let alive = register(&clients[0], "alive", 1).await.remove(0);
    let beat = |client: &RegistryServiceClient<Channel>| {
        let (mut client, id) = (client.clone(), alive.clone());
        async move { client.heartbeat(HeartbeatRequest { id, load: Some(1), ..Default::default() }).await }
    };
    register(&clients[0], "first", 1_000).await;
    eventually("the first server's agents were offline", async || {
        beat(&clients[1]).await.unwrap();
        assert!(sweepers(&pool).await.len() <= 1, "one sweeps at a time");
        (count(&clients[1], AgentStatus::Offline).await == 1_000).then_some(())
    })
    .await;

    first.program.kill();
    let survivor = &clients[2];
    register(survivor, "second", 1_000).await;
    eventually("the second server's agents were offline", async || {
        beat(survivor).await.unwrap();
        let sweepers = sweepers(&pool).await;
        assert!(sweepers.len() <= 1 && !sweepers.contains(&holder));
        (count(survivor, AgentStatus::Offline).await == 2_000).then_some(())
    })
    .await;
    assert_eq!(count(survivor, AgentStatus::Active).await, 1, "the agent with a heartbeat is alive");
}

/// Forwards connections to a server, and closes each after a number of bytes of the server's answers. All requests
/// reach the server, but some answers are lost.
async fn breaking_proxy(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        // Connections that break before an answer, connections that break around an answer, and a good connection.
        for budget in [9, 90, 130, 200, 100_000].into_iter().cycle() {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                let (mut from_client, mut to_client) = client.split();
                let (mut from_server, mut to_server) = server.split();
                let mut heard = [0; 1];
                let answers = async {
                    for _ in 0..budget {
                        if from_server.read_exact(&mut heard).await.is_err()
                            || to_client.write_all(&heard).await.is_err()
                        {
                            break;
                        }
                    }
                };
                tokio::select! {
                    () = answers => {}
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                }
            });
        }
    });
    address
}

fn record(number: i64) -> UsageRecord {
    UsageRecord {
        request_id: format!("request {number}"),
        team_id: format!("team {}", number % 3),
        input_tokens: number,
        output_tokens: 1,
        cost_usd: "0.1".to_owned(),
        occur_time: Some(Timestamp { seconds: 1_780_000_000 + number, nanos: 0 }),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_that_is_resent_over_breaking_connections_is_counted_once() {
    const RECORDS: i64 = 10_000;
    let (_, url) = database().await;
    let mut server = Server::on_database(&url, &["--services", "meter"]);
    let direct = server.connect().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", breaking_proxy(server.address).await)).unwrap();
    let mut lost = 0;
    // The second time the batches have other boundaries.
    for batch in [1_000, 700] {
        let records: Vec<_> = (0..RECORDS).map(record).collect();
        for records in records.chunks(batch) {
            let request = RecordUsageRequest { records: records.to_vec() };
            // A client resends a request if it does not know whether the request succeeded.
            while MeterServiceClient::new(endpoint.connect_lazy()).record_usage(request.clone()).await.is_err() {
                lost += 1;
            }
        }
    }
    assert!(lost >= 20, "only {lost} calls were lost");
    let summarize = SummarizeUsageRequest {
        start_time: Some(Timestamp { seconds: 1_780_000_000, nanos: 0 }),
        end_time: Some(Timestamp { seconds: 1_790_000_000, nanos: 0 }),
        ..Default::default()
    };
    let summaries = MeterServiceClient::new(direct).summarize_usage(summarize).await.unwrap().into_inner().summaries;
    let sum = &summaries[0];
    assert_eq!((sum.record_count, sum.output_tokens), (RECORDS, RECORDS));
    assert_eq!((sum.input_tokens, sum.cost_usd.as_str()), (RECORDS * (RECORDS - 1) / 2, "1000"));
}
