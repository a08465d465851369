//! An exporter process, and scrapers of it.
use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Program, admin, eventually, free_address, quire, within};

/// An exporter.
pub struct Exporter {
    pub program: Program,
    pub address: SocketAddr,
}

impl Exporter {
    /// Starts an exporter of the server at this address, and waits until it listens.
    pub async fn start(server: SocketAddr, arguments: &[&str]) -> Self {
        let address = free_address();
        let mut command = quire(&["exporter"]);
        command.args(["--listen", &address.to_string(), "--server", &format!("http://{server}")]).args(arguments);
        let mut program = Program::start(command);
        eventually("the exporter listened", async || {
            assert!(program.is_running(), "the exporter has ended");
            TcpStream::connect(address).await.ok()
        })
        .await;
        Self { program, address }
    }

    /// What a scrape with the default timeout gets.
    pub async fn scrape(&self) -> String {
        self.get("/metrics", "10").await
    }

    /// The body of the answer to a GET with this scrape timeout, which must be a success.
    pub async fn get(&self, path: &str, timeout: &str) -> String {
        self.begin(path, timeout).await.answer().await
    }

    /// Sends a GET with this scrape timeout.
    pub async fn begin(&self, path: &str, timeout: &str) -> Scraper {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Prometheus-Scrape-Timeout-Seconds: {timeout}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        Scraper(stream)
    }
}

/// A scraper that waits for its answer. It hangs up when it is dropped.
pub struct Scraper(TcpStream);

impl Scraper {
    pub async fn answer(mut self) -> String {
        let mut answer = String::new();
        within("the exporter answered", self.0.read_to_string(&mut answer)).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
        body.to_owned()
    }
}

/// Whether a collector says that it is up.
pub fn is_up(text: &str, collector: &str) -> bool {
    admin::metric(text, &format!("quire_{collector}_up"), &[]).unwrap() == 1.0
}

/// The lines with the values of metrics whose names begin so.
pub fn lines<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(name)).collect()
}

/// The sum of the values of a metric.
pub fn sum(text: &str, name: &str) -> f64 {
    let values = lines(text, &format!("{name}{{"));
    values.into_iter().map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}
