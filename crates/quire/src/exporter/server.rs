//! The connection to the server whose jobs are read.

use client::Client;
use tokio::sync::Mutex;

use crate::{arguments::Connect, error::Error};

/// The server. It need not run yet.
pub(super) struct Server {
    connect: Connect,
    /// Absent until the first connection. Then it connects again by itself.
    client: Mutex<Option<Client>>,
}

impl Server {
    pub(super) fn new(connect: Connect) -> Self {
        Self { connect, client: Mutex::default() }
    }

    /// The client, which connects if it has never been connected.
    pub(super) async fn client(&self) -> Result<Client, Error> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let new = self.connect.clone().client().await?;
        *client = Some(new.clone());
        Ok(new)
    }

    /// Ends the session.
    pub(super) async fn close(&self) {
        if let Some(client) = self.client.lock().await.take() {
            client.close().await;
        }
    }
}
