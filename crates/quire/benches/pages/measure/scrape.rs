//! A scrape of `quire exporter` over 100,000 ended jobs.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    Result,
    commands::quire_client,
    jobs::ended,
    measure::Bench,
    processes::memory,
    report::{Report, Target},
    server::free_address,
    timing::{Stopwatch, Time, median},
};

const ROUNDS: usize = 5;
/// Since the jobs of the benchmark have ended.
const WINDOW: &str = "5000d";

impl Bench<'_> {
    pub(super) async fn scrape(&self, report: &mut Report) -> Result<()> {
        let address = free_address()?.to_string();
        let arguments = ["exporter", "--listen", &address, "--window", WINDOW];
        let mut exporter = quire_client(self.server, &ended().name, &arguments).env("QUIRE_LOG", "warn").spawn()?;
        let process = exporter.id().ok_or("the exporter has ended")?;
        while get(&address, "/healthz").await.is_err() {
            if let Some(status) = exporter.try_wait()? {
                return Err(format!("the exporter has ended: {status}").into());
            }
            tokio::time::sleep(Time::from_millis(20)).await;
        }
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let stopwatch = Stopwatch::start();
            let metrics = get(&address, "/metrics").await?;
            times.push(stopwatch.elapsed().as_secs_f64());
            if !metrics.lines().any(|line| line == "quire_jobs_up 1") {
                return Err("the exporter has not read the jobs".into());
            }
        }
        report.value("a scrape of 100,000 ended jobs, p50", (median(times)?, "s"), Target::Below(5.0), "");
        let most = memory(process, "VmHWM")? as f64 / 1024.0;
        report.value("memory of the exporter", (most, "MiB"), Target::Below(64.0), "");
        Ok(exporter.kill().await?)
    }
}

/// The answer to a GET, which must be a success.
async fn get(address: &str, path: &str) -> Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-Prometheus-Scrape-Timeout-Seconds: 60\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(answer) } else { Err(format!("GET {path}: {answer}").into()) }
}
