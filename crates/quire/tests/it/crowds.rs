//! Many connections of one client leave room for the others.
use std::{net::SocketAddr, process::Command};

use crate::support::{
    Program, Server,
    admin::{self, reached, serve},
    database, eventually,
    frames::{self, CHECK, Frames, WATCH, connect_from},
    free_address, make,
};
use futures_util::future::join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use platform::testing;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic_health::pb::HealthCheckRequest;

/// A connection with a call that does not end, from this address.
async fn busy(local: &str, server: SocketAddr) -> Option<Frames<TcpStream>> {
    let mut stream = connect_from(local, server).await;
    let settings = frames::frame(frames::SETTINGS, 0, 0, &[]);
    let call = frames::call(1, WATCH, &HealthCheckRequest::default());
    // A connection for which there is no place is closed at once.
    stream.write_all(&[frames::PREFACE, &settings, &call].concat()).await.ok()?;
    let mut frames = Frames(stream);
    frames.next_of(frames::HEADERS).await.map(|_| frames)
}

#[tokio::test]
async fn an_address_has_a_share_of_the_connections() {
    let (server, admin) = serve(&["--max-client-connections", "5", "--max-address-connections", "3"]).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        // The connection of `serve` is idle by now, and makes room.
        others.push(busy("127.0.0.1", server.address).await.unwrap());
    }
    assert!(busy("127.0.0.1", server.address).await.is_none());
    assert!(reached(admin, "max_address_connections") >= 1.0);
    others.push(busy("127.0.0.2", server.address).await.unwrap());
    let silent = connect_from("127.0.0.2", server.address).await;
    assert!(busy("127.0.0.3", server.address).await.is_none(), "the address with most connections is busy");
    drop(others.remove(0));
    eventually("there was room", async || busy("127.0.0.3", server.address).await).await;
    drop(silent);
}

/// Most connections of the first address have no call, so a new one takes the place of one of them.
#[tokio::test]
async fn silent_connections_do_not_keep_out_the_others() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(soft.max(4_096)), hard).unwrap();
    let (_, url) = database().await;
    let (listen, admin) = (free_address(), free_address());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 1024; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_quire"), "serve"]);
    command.args(["--listen", &listen.to_string(), "--admin-listen", &admin.to_string()]);
    command.args(["--max-address-connections", "10000", "--connection-timeout", "1h"]);
    command.env("DATABASE_URL", url).env("QUIRE_TOKEN_KEYS", testing::TOKEN_KEYS);
    let mut server = Server { program: Program::start(command), address: listen };
    let client = server.client().await;

    let silent: Vec<_> = join_all((0..1_100).map(|_| TcpStream::connect(listen))).await;
    let silent_admin: Vec<_> = join_all((0..100).map(|_| TcpStream::connect(admin))).await;
    // New connections, to Postgres too.
    for name in ["a", "b", "c"] {
        make(&client, name).await.unwrap();
        make(&server.client().await, &format!("{name} of another client")).await.unwrap();
    }
    assert_eq!(admin::get(admin, "/healthz").0, "HTTP/1.1 200 OK");
    eventually("others made room", async || (reached(admin, "max_address_connections") > 100.0).then_some(())).await;
    let log = server.program.stderr();
    assert!(log.contains("too many client connections") && !log.contains("cannot accept"), "{log}");
    assert!(log.lines().count() < 20, "the log says it once in a while: {log}");
    drop((silent, silent_admin));
}

#[tokio::test]
async fn silent_clients_do_not_delay_the_end() {
    let (mut server, admin) = serve(&[]).await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut frozen = Frames::connect(server.address, 65_535).await;
    frozen.call(1, CHECK, &HealthCheckRequest::default()).await;
    frozen.next_of(frames::HEADERS).await.unwrap();
    let silent_admin = TcpStream::connect(admin).await.unwrap();
    assert_eq!(server.program.stop().await, Some(0));
    assert!(!server.program.stderr().contains("left open"), "{}", server.program.stderr());
    drop((silent, frozen, silent_admin));
}
