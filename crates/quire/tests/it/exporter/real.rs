//! The exporter of a real server.
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use super::scraper::{Exporter, is_up, lines};
use crate::support::{
    DataDir, KeyFile, Server,
    admin::{self, metric},
    authority::Authority,
    database, eventually, quire,
};
use nix::sys::signal::Signal;
use platform::Clock;
use quire_proto::jobs::v1::{
    AppendJobEventsRequest, BatchCreateJobsRequest, CreateJobRequest, Job, JobEvent, JobEventKind, JobOperation,
    JobResult, job_service_client::JobServiceClient,
};
use rcgen::ExtendedKeyUsagePurpose;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::Channel;

const DASHBOARD: &str = include_str!("../../../../../docs/grafana/jobs.json");
const DOCUMENTATION: &str = include_str!("../../../../../docs/exporter.md");

/// A job that ended with this event, at this many seconds before now, after so many seconds.
struct Ended {
    operation_type: String,
    policy_type: &'static str,
    kind: JobEventKind,
    ago: u64,
    seconds: u64,
}

impl Ended {
    fn new(operation_type: &str, policy_type: &'static str, kind: JobEventKind) -> Self {
        Self { operation_type: operation_type.to_owned(), policy_type, kind, ago: 60, seconds: 2 }
    }

    fn events(&self, job_id: &str, now: SystemTime) -> [JobEvent; 2] {
        let event = |kind: JobEventKind, ago, result| JobEvent {
            id: format!("{job_id}/{ago}"),
            job_id: job_id.to_owned(),
            kind: kind.into(),
            host: "a host".to_owned(),
            result,
            occur_time: Some((now - Duration::from_secs(ago)).into()),
            ..Default::default()
        };
        let result = JobResult { bytes: 1_000, files: 3, ..Default::default() };
        [event(JobEventKind::Started, self.ago + self.seconds, None), event(self.kind, self.ago, Some(result))]
    }
}

/// Creates these jobs.
async fn create(channel: &Channel, jobs: &[Ended]) {
    let mut client = JobServiceClient::new(channel.clone());
    let now = Clock::system().now();
    for jobs in jobs.chunks(500) {
        let request = |job: &Ended| {
            let operation = JobOperation { r#type: job.operation_type.clone(), ..Default::default() };
            let policy_type = job.policy_type.to_owned();
            CreateJobRequest { job: Some(Job { operation: Some(operation), policy_type, ..Default::default() }) }
        };
        let requests = jobs.iter().map(request).collect();
        let created = client.batch_create_jobs(BatchCreateJobsRequest { requests, ..Default::default() }).await;
        let ids = created.unwrap().into_inner().ids;
        let events = jobs.iter().zip(&ids).flat_map(|(job, id)| job.events(id, now)).collect();
        client.append_job_events(AppendJobEventsRequest { events }).await.unwrap();
    }
}

/// The text without what differs from run to run.
fn steady(text: &str) -> String {
    let changes = ["quire_exporter_reading_timestamp_seconds{", "quire_exporter_reading_duration_seconds{"];
    let lines = text.lines().map(|line| match line.rsplit_once(' ') {
        Some((series, _)) if changes.iter().any(|name| series.starts_with(name)) => format!("{series} …"),
        Some(_) | None => line.replace(env!("CARGO_PKG_VERSION"), "VERSION"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The series, their names and help, and odd values of labels.
#[tokio::test]
async fn a_scrape_shows_the_jobs_of_a_server() {
    let mut server = Server::on_database(&database().await.1, &[]);
    let channel = server.connect().await;
    let exporter = Exporter::start(server.address, &[]).await;
    insta::assert_snapshot!("nothing_in_the_window", steady(&exporter.scrape().await));
    let jobs = [
        Ended::new("backup", "daily", JobEventKind::Completed),
        Ended { seconds: 5, ..Ended::new("backup", "daily", JobEventKind::Completed) },
        Ended::new("backup", "daily", JobEventKind::Failed),
        Ended::new("backup", "", JobEventKind::Skipped),
        Ended::new("a\\b", "", JobEventKind::Completed),
        Ended::new("a\\\\b", "", JobEventKind::Completed),
        Ended::new("a\n\"b\", \\n 日本", "", JobEventKind::Completed),
        Ended { ago: 2 * 24 * 3_600, ..Ended::new("before the window", "", JobEventKind::Completed) },
    ];
    create(&channel, &jobs).await;
    let text = exporter.scrape().await;
    insta::assert_snapshot!("jobs", steady(&text));

    let names: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert_eq!(names, queries.iter().copied().flat_map(mentioned).collect(), "the dashboard shows all of them");
    assert!(mentioned(DOCUMENTATION).is_superset(&names), "the documentation explains all of them");
}

/// The metrics that a text mentions.
fn mentioned(text: &str) -> BTreeSet<&str> {
    let words = text.split(|end: char| !end.is_ascii_alphanumeric() && end != '_');
    words.filter(|word| word.starts_with("quire_")).collect()
}

#[tokio::test]
async fn a_thousand_jobs_are_read_in_five_calls() {
    let (mut server, admin) = admin::serve(&[]).await;
    let jobs: Vec<_> = (0..1_000).map(|_| Ended::new("backup", "", JobEventKind::Completed)).collect();
    create(&server.connect().await, &jobs).await;
    let pages = || metric(&admin::get(admin, "/metrics").1, "keyset_pages_total", &[r#"list="jobs.v1.Jobs""#]);
    let before = pages().unwrap_or_default();
    let text = Exporter::start(server.address, &[]).await.scrape().await;
    assert_eq!(pages().unwrap() - before, 5.0);
    for (name, value) in [("pages", 5.0), ("rows", 1_000.0)] {
        let name = format!("quire_exporter_reading_{name}");
        assert_eq!(metric(&text, &name, &[r#"collector="jobs""#]), Some(value), "{name}");
    }
    assert_eq!(metric(&text, "quire_jobs_window_ended_jobs", &[r#"operation_type="backup""#]), Some(1_000.0));
}

#[tokio::test]
async fn the_server_may_start_later_and_again() {
    let data_dir = DataDir::new();
    let mut server = Server::on_data_dir(&data_dir, &[]);
    let address = server.address;
    server.connect().await;
    server.program.kill();

    let exporter = Exporter::start(address, &[]).await;
    let text = exporter.scrape().await;
    assert!(!is_up(&text, "queue") && !is_up(&text, "jobs"), "{text}");
    assert!(lines(&text, "quire_queue_jobs").is_empty(), "{text}");
    let is_read = async || {
        let text = exporter.scrape().await;
        (is_up(&text, "queue") && is_up(&text, "jobs")).then_some(())
    };
    for _ in 0..2 {
        let mut server = Server::start_again(&data_dir, address);
        eventually("the server was read", is_read).await;
        server.program.kill();
        let text = exporter.scrape().await;
        assert!(!is_up(&text, "queue") && !is_up(&text, "jobs"), "{text}");
    }
}

#[tokio::test]
async fn the_exporter_reads_with_an_api_key() {
    let (_, url) = database().await;
    let keys = KeyFile::new();
    let mut server = Server::on_database(&url, &["--signing-keys", keys.path()]);
    server.connect().await;
    let secret = quire(&["keys", "bootstrap", "--database-url", &url]).output().unwrap().stdout;
    let secret = String::from_utf8(secret).unwrap();
    let text = Exporter::start(server.address, &["--api-key", secret.trim()]).await.scrape().await;
    assert!(is_up(&text, "queue") && is_up(&text, "jobs"), "{text}");
    // It runs, and says in its log why it reads nothing.
    let refused = Exporter::start(server.address, &["--api-key", "wrong"]).await;
    assert!(!is_up(&refused.scrape().await, "jobs"));
    let log = refused.program.stderr();
    assert!(log.contains("cannot create a session"), "{log}");
}

#[tokio::test]
async fn metrics_are_served_over_tls() {
    let authority = Authority::new();
    authority.sign("exporter", ExtendedKeyUsagePurpose::ServerAuth);
    let [pem, key] = ["exporter.pem", "exporter.key"].map(|name| authority.file(name));
    let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let exporter = Exporter::start(nowhere, &["--listen-tls-cert", &pem, "--listen-tls-key", &key]).await;
    let mut stream = authority.shake_hands(b"http/1.1", exporter.address).await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\nquire_jobs_up 0\n"), "{answer}");

    let certificate = async || {
        let stream = authority.shake_hands(b"http/1.1", exporter.address).await;
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let before = certificate().await;
    authority.sign("exporter", ExtendedKeyUsagePurpose::ServerAuth);
    exporter.program.signal(Signal::SIGHUP);
    eventually("the certificate was replaced", async || (certificate().await != before).then_some(())).await;
}
