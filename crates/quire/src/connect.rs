//! The connection of a command to a server.

use client::Client;

use crate::{
    arguments::Connect,
    certificates::{Identity, authorities},
    error::Error,
    files::{read, read_secret},
};

impl Connect {
    /// Connects to the server that the arguments name. Their files are checked first, so that an error names the file.
    pub(crate) async fn client(self) -> Result<Client, Error> {
        let Self { server, api_key, workspace, tls_ca, tls_cert, tls_key } = self;
        let mut builder = Client::builder(server).workspace(workspace).user_agent(USER_AGENT);
        if let Some(secret) = api_key {
            builder = builder.api_key(secret);
        }
        if let Some(path) = tls_ca {
            authorities(&path)?;
            builder = builder.tls_ca(read(&path)?);
        }
        if let (Some(certificate), Some(key)) = (tls_cert, tls_key) {
            Identity::read(&certificate, &key)?;
            builder = builder.tls_identity(read(&certificate)?, read_secret(&key)?);
        }
        Ok(builder.connect().await?)
    }

    /// Runs a command with a client, whose session ends with the command.
    pub(crate) async fn run<T, E: From<Error>>(
        self,
        command: impl AsyncFnOnce(Client) -> Result<T, E>,
    ) -> Result<T, E> {
        let client = self.client().await?;
        let done = command(client.clone()).await;
        client.close().await;
        done
    }
}

const USER_AGENT: &str = concat!("quire/", env!("CARGO_PKG_VERSION"));
