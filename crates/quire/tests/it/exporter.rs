//! `quire exporter`, which serves metrics of a server's jobs.
mod real;
mod scraper;
mod scripted;

use std::process::Output;

use self::{
    scraper::{Exporter, is_up, lines, sum},
    scripted::{Script, Scripted, ended},
};
use crate::{
    support::{admin::metric, eventually, quire},
    telemetry::{Collector, attributes},
};
use prost_types::Timestamp;
use quire_proto::jobs::v1::{Job, JobStatusCount, OperationTypeCount, QueueStats};
use tonic::Code;

/// Jobs of one type, on so many pages.
fn pages_of_jobs(pages: usize) -> Script {
    Script { jobs: vec![ended("backup", ""); pages * 200], ..Default::default() }
}

#[tokio::test]
async fn a_failure_on_any_page_leaves_no_metrics_of_its_collector() {
    let (service, address) = Scripted::start(pages_of_jobs(4)).await;
    let exporter = Exporter::start(address, &[]).await;
    assert!(is_up(&exporter.scrape().await, "jobs"));
    for (page, code) in [(2, Code::Internal), (0, Code::PermissionDenied), (3, Code::Unavailable)] {
        service.script().fails = Some((page, code));
        let text = exporter.scrape().await;
        assert!(!is_up(&text, "jobs") && is_up(&text, "queue"), "{code:?} {text}");
        assert_eq!(lines(&text, "quire_jobs_window").len(), 0, "{code:?} {text}");
        assert_eq!(metric(&text, "quire_queue_dead_letter_jobs", &[]), Some(0.0));
        assert_eq!(metric(&text, "quire_exporter_reading_pages", &[r#"collector="jobs""#]), Some(page as f64));
    }
    service.script().fails = None;
    assert!(is_up(&exporter.scrape().await, "jobs"));
}

#[tokio::test]
async fn the_cache_keeps_only_what_was_read() {
    let (service, address) = Scripted::start(pages_of_jobs(1)).await;
    let exporter = Exporter::start(address, &["--cache", "1h"]).await;
    service.script().fails = Some((0, Code::Internal));
    assert!(!is_up(&exporter.scrape().await, "jobs"));
    service.script().fails = None;
    let text = exporter.scrape().await;
    assert!(is_up(&text, "jobs"));
    service.script().fails = Some((0, Code::Internal));
    assert_eq!(exporter.scrape().await, text);
    let script = service.script();
    assert_eq!((script.calls.len(), script.stats_calls), (2, 1));
}

#[tokio::test]
async fn without_a_cache_each_scrape_reads() {
    let (service, address) = Scripted::start(pages_of_jobs(1)).await;
    let exporter = Exporter::start(address, &[]).await;
    for scrapes in 1..=3 {
        exporter.scrape().await;
        assert_eq!(service.script().calls.len(), scrapes);
    }
}

/// The second scraper joins the reading of the first, and gets it even if the first hangs up.
#[tokio::test]
async fn scrapers_share_a_reading() {
    let (service, address) = Scripted::start(Script { hangs: Some(1), ..pages_of_jobs(3) }).await;
    let exporter = Exporter::start(address, &[]).await;
    let in_second_page = || service.script().calls.len() == 2;
    let first = exporter.begin("/metrics", "60").await;
    eventually("the second page was asked for", async || in_second_page().then_some(())).await;
    let second = exporter.begin("/metrics", "60").await;
    // Its other collector reads at the same time.
    eventually("the second scraper began", async || (service.script().stats_calls == 2).then_some(())).await;
    let third = exporter.begin("/metrics", "60").await;
    eventually("the third scraper began", async || (service.script().stats_calls == 3).then_some(())).await;
    drop(first);
    service.script().hangs = None;
    for scraper in [second, third] {
        let text = scraper.answer().await;
        assert_eq!(
            metric(&text, "quire_jobs_window_ended_jobs", &[r#"operation_type="backup""#]),
            Some(600.0),
            "{text}"
        );
    }
    assert_eq!(service.script().calls.len(), 3);
}

#[tokio::test]
async fn a_scraper_that_hangs_up_ends_the_walk() {
    let (service, address) = Scripted::start(Script { hangs: Some(1), ..pages_of_jobs(3) }).await;
    let exporter = Exporter::start(address, &[]).await;
    let scrapers = [exporter.begin("/metrics", "60").await, exporter.begin("/metrics", "60").await];
    eventually("the second page was asked for", async || (service.script().calls.len() == 2).then_some(())).await;
    drop(scrapers);
    eventually("the call was cancelled", async || (service.script().in_flight == 0).then_some(())).await;
    service.script().hangs = None;
    let text = exporter.scrape().await;
    assert!(is_up(&text, "jobs"));
    assert_eq!(service.script().calls.len(), 2 + 3);
    // The call did not end by itself.
    let log = exporter.program.stderr();
    assert!(!log.contains("cannot read metrics"), "{log}");
}

#[tokio::test]
async fn a_scrape_answers_before_its_deadline() {
    let (service, address) = Scripted::start(pages_of_jobs(3)).await;
    let exporter = Exporter::start(address, &[]).await;
    assert!(is_up(&exporter.scrape().await, "jobs"));
    service.script().hangs = Some(1);
    // Long enough for the other collector on a busy machine.
    let text = exporter.get("/metrics", "5").await;
    assert!(is_up(&text, "queue") && !is_up(&text, "jobs"), "{text}");
    assert_eq!(lines(&text, "quire_jobs_window").len(), 0, "{text}");
    assert_eq!(metric(&text, "quire_exporter_reading_pages", &[r#"collector="jobs""#]), Some(1.0));
    let log = exporter.program.stderr();
    assert!(log.contains("deadline has passed") && !log.contains("did not answer"), "{log}");
    eventually("the call was cancelled", async || (service.script().in_flight == 0).then_some(())).await;
}

/// A scrape with a timeout that means nothing has the default one.
#[tokio::test]
async fn a_timeout_that_means_nothing_is_ignored() {
    let (_service, address) = Scripted::start(pages_of_jobs(1)).await;
    let exporter = Exporter::start(address, &[]).await;
    for timeout in ["", "0", "-1", "NaN", "inf", "1e300", "soon", "9 ", "0x1"] {
        assert!(is_up(&exporter.get("/metrics", timeout).await, "jobs"), "{timeout}");
    }
}

#[tokio::test]
async fn rare_types_are_summed_as_other() {
    // The type `t07` has 8 jobs; a real type is called `other`.
    let of_type = |name: String, jobs: usize| (0..jobs).map(move |_| ended(&name, "")).collect::<Vec<_>>();
    let mut jobs: Vec<_> = (0..60).flat_map(|number| of_type(format!("t{number:02}"), number + 1)).collect();
    jobs.extend(of_type("other".to_owned(), 100));
    jobs.extend((0..20).flat_map(|number| vec![ended("t59", &format!("p{number:02}")); number + 1]));
    let total = jobs.len() as f64;
    let count = |number: i64| OperationTypeCount { operation_type: format!("t{number:05}"), job_count: 1 + number };
    let operation_types = (0..2_500).map(count).collect();
    let (_service, address) = Scripted::start(Script { jobs, operation_types, ..Default::default() }).await;
    let text = Exporter::start(address, &[]).await.scrape().await;

    let jobs_of = |labels: &[&str]| metric(&text, "quire_jobs_window_ended_jobs", labels);
    assert_eq!(lines(&text, r#"quire_jobs_window_ended_jobs{operation_type="#).len(), 51 + 11);
    assert_eq!(jobs_of(&[r#"operation_type="other""#]), Some(100.0 + (1..=10).sum::<usize>() as f64));
    assert_eq!(jobs_of(&[r#"operation_type="t09""#]), None);
    assert_eq!(jobs_of(&[r#"operation_type="t10""#]), Some(11.0));
    assert_eq!(jobs_of(&[r#"policy_type="other""#]), Some((1..=10).sum::<usize>() as f64));
    assert_eq!(sum(&text, "quire_jobs_window_ended_jobs"), total);
    for (name, each) in [("bytes", 10.0), ("files", 2.0), ("timed_jobs", 1.0), ("duration_seconds", 1.5)] {
        assert_eq!(sum(&text, &format!("quire_jobs_window_{name}")), total * each, "{name}");
    }
    assert_eq!(metric(&text, "quire_jobs_window_max_duration_seconds", &[r#"policy_type="other""#]), Some(1.5));

    let counts = "quire_queue_operation_type_jobs";
    assert_eq!(lines(&text, &format!("{counts}{{")).len(), 51);
    assert_eq!(metric(&text, counts, &[r#"operation_type="t02450""#]), Some(2_451.0));
    assert_eq!(metric(&text, counts, &[r#"operation_type="other""#]), Some((1..=2_450).sum::<usize>() as f64));
}

/// More groups than are in memory at most: their sums stay exact, and so does a type that is frequent throughout.
#[tokio::test]
async fn any_number_of_types_can_be_read() {
    let job = |number: usize| ended(&if number.is_multiple_of(5) { "frequent".into() } else { number.to_string() }, "");
    let jobs: Vec<Job> = (0..30_000).map(job).collect();
    let (_service, address) = Scripted::start(Script { jobs, ..Default::default() }).await;
    let text = Exporter::start(address, &[]).await.get("/metrics", "60").await;
    assert_eq!(lines(&text, "quire_jobs_window_ended_jobs{").len(), 51);
    assert_eq!(metric(&text, "quire_jobs_window_ended_jobs", &[r#"operation_type="frequent""#]), Some(6_000.0));
    assert_eq!(sum(&text, "quire_jobs_window_ended_jobs"), 30_000.0);
}

/// Prometheus refuses a series that comes twice.
#[tokio::test]
async fn statuses_of_a_newer_server_share_a_label() {
    let statuses = [1, 98, 99].map(|status| JobStatusCount { status, job_count: 10 });
    let stats = QueueStats { statuses: statuses.to_vec(), ..Default::default() };
    let jobs = [98, 99].map(|status| Job { status, ..ended("backup", "") }).to_vec();
    let (_service, address) = Scripted::start(Script { stats, jobs, ..Default::default() }).await;
    let text = Exporter::start(address, &[]).await.scrape().await;
    assert_eq!(
        lines(&text, "quire_queue_jobs{"),
        [r#"quire_queue_jobs{status="submitted"} 10"#, r#"quire_queue_jobs{status="unspecified"} 20"#]
    );
    assert_eq!(metric(&text, "quire_jobs_window_ended_jobs", &[r#"status="unspecified""#]), Some(2.0));
}

#[tokio::test]
async fn an_answer_without_counts_is_a_failure() {
    let (_service, address) = Scripted::start(Script { leaves_out_stats: true, ..pages_of_jobs(1) }).await;
    let exporter = Exporter::start(address, &[]).await;
    let text = exporter.scrape().await;
    assert!(!is_up(&text, "queue") && is_up(&text, "jobs"), "{text}");
    assert_eq!(metric(&text, "quire_queue_dead_letter_jobs", &[]), None);
    assert!(exporter.program.stderr().contains("the server's answer has no counts"));
}

/// The times of a job can be any that a server sends.
#[tokio::test]
async fn any_time_can_be_read() {
    let times = [(i64::MIN, i32::MIN), (i64::MAX, i32::MAX)].map(|(seconds, nanos)| Timestamp { seconds, nanos });
    let job = |start, end| Job { start_time: Some(start), end_time: Some(end), ..ended("backup", "") };
    let [first, last] = times;
    let (_service, address) =
        Scripted::start(Script { jobs: vec![job(first, last), job(last, first)], ..Default::default() }).await;
    let text = Exporter::start(address, &[]).await.scrape().await;
    assert_eq!(sum(&text, "quire_jobs_window_timed_jobs"), 2.0);
    assert!(sum(&text, "quire_jobs_window_duration_seconds") > 1e19, "{text}");
}

#[tokio::test]
async fn the_walk_asks_for_the_jobs_of_the_window() {
    let (service, address) = Scripted::start(pages_of_jobs(1)).await;
    let text = Exporter::start(address, &["--window", "10m"]).await.scrape().await;
    assert_eq!(metric(&text, "quire_exporter_window_seconds", &[]), Some(600.0));
    let began = metric(&text, "quire_exporter_reading_timestamp_seconds", &[r#"collector="jobs""#]).unwrap();
    let call = service.script().calls.pop().unwrap();
    assert_eq!((call.order_by.as_str(), call.page.unwrap().page_size), ("end_time desc", 200));
    let from = call.end_time_from.unwrap();
    let from = from.seconds as f64 + f64::from(from.nanos) / 1e9;
    assert!((began - 600.0 - from).abs() < 0.001, "{began} {from}");
}

#[tokio::test]
async fn each_page_is_a_span_with_its_number_of_jobs() {
    let (collector, otlp) = Collector::start().await;
    let (_service, address) = Scripted::start(Script { jobs: vec![ended("a", ""); 450], ..Default::default() }).await;
    let mut exporter = Exporter::start(address, &["--otlp-endpoint", &format!("http://{otlp}")]).await;
    exporter.scrape().await;
    assert_eq!(exporter.program.stop().await, Some(0));
    let spans = collector.all();
    let reading = |span_id: &[u8]| spans.iter().find(|span| span.span_id == span_id).unwrap();
    let pages = spans.iter().filter(|span| span.name == "jobs.v1.JobService/ListJobs");
    let jobs = pages.map(|page| {
        assert_eq!(attributes(&reading(&page.parent_span_id).attributes)["collector"], "jobs");
        attributes(&page.attributes)["jobs"].clone()
    });
    assert_eq!(jobs.collect::<Vec<_>>(), ["200", "200", "50"]);
}

#[tokio::test]
async fn other_pages_need_no_server() {
    let mut exporter = Exporter::start("127.0.0.1:1".parse().unwrap(), &[]).await;
    assert_eq!(exporter.get("/healthz", "1").await, "ok\n");
    insta::assert_snapshot!(exporter.get("/", "1").await.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    assert_eq!(exporter.program.stop().await, Some(0));
}

#[test]
fn arguments_that_are_not_valid_are_named() {
    let run = |arguments: &[&str]| quire(&["exporter"]).args(arguments).output().unwrap();
    let told = |Output { status, stderr, .. }: Output| {
        let text = String::from_utf8(stderr).unwrap();
        format!("{}: {}", status.code().unwrap(), text.lines().next_back().unwrap())
    };
    insta::assert_snapshot!(told(run(&["--listen", "192.0.2.1:9"])), @"1: quire: 192.0.2.1:9 is not a loopback address, and the exporter would send metrics in plain text to everybody: use TLS with --listen-tls-cert and --listen-tls-key, or accept that with --listen-insecure");
    insta::assert_snapshot!(told(run(&["--listen", "127.0.0.1:0", "--server", "quire.example"])), @"1: quire: quire.example is not a server address: write it as in http://127.0.0.1:50051 or https://quire.example:50051");
    insta::assert_snapshot!(told(run(&["--listen", "127.0.0.1:0", "--server", "http://quire.example", "--api-key", "secret"])), @"1: quire: http://quire.example is plain HTTP; API keys and certificates need https://");
    for wrong in [
        &["--window", "0s"][..],
        &["--window", "200y"],
        &["--cache", "soon"],
        &["--cache", "25h"],
        &["--listen-tls-cert", "a"],
    ] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn the_help_of_the_exporter() {
    let help = quire(&["exporter", "--help"]).output().unwrap().stdout;
    insta::assert_snapshot!(String::from_utf8(help).unwrap());
}
