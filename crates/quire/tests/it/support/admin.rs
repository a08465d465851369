//! A client of the admin port.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::{Server, database, free_address};

/// A server on a new database, and the address of its admin port.
pub async fn serve(arguments: &[&str]) -> (Server, SocketAddr) {
    let (_, url) = database().await;
    let admin = free_address();
    let admin_text = admin.to_string();
    let mut server = Server::on_database(&url, &[&["--admin-listen", admin_text.as_str()], arguments].concat());
    server.connect().await;
    (server, admin)
}

/// How often this limit was reached.
pub fn reached(address: SocketAddr, limit: &str) -> f64 {
    let text = get(address, "/metrics").1;
    metric(&text, "limits_reached_total", &[&format!(r#"limit="{limit}""#)]).unwrap_or_default()
}

/// Sends a GET. Returns the status line and the body.
pub fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// The value of a metric with these labels, in any order.
pub fn metric(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let line = text.lines().find(|line| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        (rest.starts_with('{') || rest.starts_with(' ')) && labels.iter().all(|label| rest.contains(label))
    });
    line.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
}
