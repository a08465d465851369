//! The sample records.

use client::Client;
use database::Availability;
use platform::{DEFAULT_WORKSPACE, Platform, Service};
use tempfile::TempDir;
use tokio::{net::UnixListener, task::JoinHandle};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{
    Code,
    transport::{Channel, Endpoint, Server},
};

use crate::{audit::AuditLog, error::Error, gate::Bounds, records::Records, services::Services};

/// Loads the samples of these services into the workspace `default`. Kinds of records that the workspace already has
/// are skipped.
pub(crate) async fn load(
    platform: &Platform,
    services: &[&'static Service],
    availability: &Availability,
    bounds: &Bounds,
    audit: &AuditLog,
) -> Result<(), Error> {
    let server = OpenServer::start(platform, services, availability, bounds, audit).await?;
    let client = Client::in_workspace(server.channel.clone(), DEFAULT_WORKSPACE)?;
    for service in services {
        for import in service.imports {
            load_records(&client, &Records::new(service, import)?, import.samples).await?;
        }
    }
    Ok(())
}

async fn load_records(client: &Client, records: &Records, samples: &str) -> Result<(), Error> {
    let failed = |status: tonic::Status| Error::Sample(status.message().to_owned());
    if records.exist(client).await.map_err(failed)? {
        return Ok(());
    }
    let samples = samples.lines().map(|line| records.read(line.as_bytes()));
    let samples = samples.collect::<Result<Vec<_>, _>>().map_err(Error::Sample)?;
    let count = samples.len();
    loop {
        match records.create(client, samples.clone()).await {
            Ok(()) => tracing::info!(count, "loaded sample {}", records.names),
            // Another process, started at the same time, has loaded them, or is about to.
            Err(status) if status.code() == Code::AlreadyExists => {}
            Err(status) if status.code() == Code::Aborted => continue,
            Err(status) => return Err(failed(status)),
        }
        return Ok(());
    }
}

/// Serves the services without authentication while the samples are loaded, on a socket that only this user can reach.
struct OpenServer {
    channel: Channel,
    task: JoinHandle<()>,
    _dir: TempDir,
}

impl OpenServer {
    async fn start(
        platform: &Platform,
        services: &[&'static Service],
        availability: &Availability,
        bounds: &Bounds,
        audit: &AuditLog,
    ) -> Result<Self, Error> {
        let platform = Platform { signing_keys: None, ..platform.clone() };
        let routes = Services::open(&platform, services, availability, bounds, audit).await?.routes;
        let failed = |source| Error::Sample(format!("no socket: {source}"));
        let dir = tempfile::tempdir().map_err(failed)?;
        let path = dir.path().join("s");
        let incoming = UnixListenerStream::new(UnixListener::bind(&path).map_err(failed)?);
        let task = tokio::spawn(async move {
            if let Err(error) = Server::builder().add_routes(routes).serve_with_incoming(incoming).await {
                tracing::error!(%error, "the samples' server has failed");
            }
        });
        let channel = Endpoint::from_shared(format!("unix://{}", path.display()))?.connect().await?;
        Ok(Self { channel, task, _dir: dir })
    }
}

impl Drop for OpenServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
