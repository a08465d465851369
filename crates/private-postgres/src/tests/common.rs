//! Shared by the tests. It speaks just enough of PostgreSQL's protocol to run a statement, so that no client has to be
//! installed.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::{PORT, Server, Settings, USER};

pub(crate) fn settings(data_dir: &Path) -> Settings {
    Settings { data_dir: data_dir.to_owned(), durable: false, extra: Vec::new() }
}

/// The first column of the first row, or "" if there is none.
pub(crate) fn query(server: &Server, sql: &str) -> String {
    ask(server.socket_dir(), sql).unwrap()
}

/// As [`query`], or the error.
pub(crate) fn ask(socket_dir: &Path, sql: &str) -> Result<String, String> {
    let mut socket = UnixStream::connect(socket_dir.join(format!(".s.PGSQL.{PORT}"))).unwrap();
    let mut start = 196_608_u32.to_be_bytes().to_vec();
    for word in ["user", USER, "database", "postgres", ""] {
        start.extend_from_slice(word.as_bytes());
        start.push(0);
    }
    send(&mut socket, &start);
    receive(&mut socket)?;
    socket.write_all(b"Q").unwrap();
    send(&mut socket, format!("{sql}\0").as_bytes());
    receive(&mut socket)
}

fn send(socket: &mut UnixStream, body: &[u8]) {
    let length = u32::try_from(body.len() + 4).unwrap();
    socket.write_all(&length.to_be_bytes()).unwrap();
    socket.write_all(body).unwrap();
}

/// Reads until the server is ready for the next statement, or has refused this one.
fn receive(socket: &mut UnixStream) -> Result<String, String> {
    let mut value = None;
    loop {
        let mut head = [0; 5];
        socket.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        socket.read_exact(&mut body).unwrap();
        match head[0] {
            b'Z' => return Ok(value.unwrap_or_default()),
            b'E' => return Err(String::from_utf8_lossy(&body).into_owned()),
            // The text of the first column follows the number of columns and its own length.
            b'D' => value = value.or_else(|| Some(String::from_utf8(body[6..].to_vec()).unwrap())),
            _ => {}
        }
    }
}
