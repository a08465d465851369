//! A proxy that breaks connections in the middle of an answer.
use std::{
    net::SocketAddr,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{self, AsyncReadExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How many bytes of the server's answers a connection passes on: less than an export needs.
const BYTES: u64 = 150_000;
/// The same for every third connection: less than the answer to a call.
const FEW_BYTES: u64 = 100;

/// It ends when it is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    /// How many connections it has broken.
    broken: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let broken = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(accept(listener, server, broken.clone()));
        Self { address, broken, task }
    }

    pub fn broken(&self) -> usize {
        self.broken.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, broken: Arc<AtomicUsize>) {
    for number in 1_u64.. {
        let (client, _) = listener.accept().await.unwrap();
        let (bytes, broken) = (if number.is_multiple_of(3) { FEW_BYTES } else { BYTES }, broken.clone());
        tokio::spawn(async move {
            let server = TcpStream::connect(server).await.unwrap();
            let ((mut requests, mut to_client), (answers, mut to_server)) = (client.into_split(), server.into_split());
            let mut answers = answers.take(bytes);
            tokio::select! {
                _ = io::copy(&mut requests, &mut to_server) => {}
                _ = io::copy(&mut answers, &mut to_client) => { broken.fetch_add(1, Ordering::Relaxed); }
            }
        });
    }
}
