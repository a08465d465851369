//! The samples.

use database::Availability;
use platform::{DEFAULT_WORKSPACE, Platform};
use tempfile::TempDir;
use tokio::{net::UnixListener, task::JoinHandle};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{
    Code,
    transport::{Channel, Endpoint, Server},
};

use crate::{
    client::Client,
    error::Error,
    kinds::{Agents, Jobs, Kind, Memories, Prompts, Usage},
    requests::Requests,
    services::{ServiceName, Services},
};

/// One line for each, in protobuf's JSON.
const PROMPTS: &str = include_str!("../samples/prompts.ndjson");
const MEMORIES: &str = include_str!("../samples/memories.ndjson");
const AGENTS: &str = include_str!("../samples/agents.ndjson");
const USAGE: &str = include_str!("../samples/usage.ndjson");
const JOBS: &str = include_str!("../samples/jobs.ndjson");

/// Loads the samples of these services into the workspace `default`, of each kind if it has none.
pub(crate) async fn load(platform: &Platform, names: &[ServiceName], availability: &Availability) -> Result<(), Error> {
    let server = OpenServer::start(platform, names, availability).await?;
    let mut client = Client::in_workspace(server.channel.clone(), DEFAULT_WORKSPACE)?;
    for name in names {
        match name {
            ServiceName::Prompts => load_kind::<Prompts>(&mut client, PROMPTS).await?,
            ServiceName::Memory => load_kind::<Memories>(&mut client, MEMORIES).await?,
            ServiceName::Registry => load_kind::<Agents>(&mut client, AGENTS).await?,
            ServiceName::Meter => load_kind::<Usage>(&mut client, USAGE).await?,
            // Its secrets would be no secrets.
            ServiceName::Identity => {}
            ServiceName::Jobs => load_kind::<Jobs>(&mut client, JOBS).await?,
        }
    }
    Ok(())
}

async fn load_kind<K: Kind>(client: &mut Client, text: &str) -> Result<(), Error> {
    let failed = |status: tonic::Status| Error::Sample(status.message().to_owned());
    if K::are_there(client).await.map_err(failed)? {
        return Ok(());
    }
    let reader = Requests::<K>::new()?;
    let lines = text.lines().map(|line| reader.read(line.as_bytes()));
    let lines = lines.collect::<Result<Vec<_>, _>>().map_err(Error::Sample)?;
    let count = lines.len();
    match K::make(client, lines).await {
        Ok(()) => tracing::info!(count, "loaded sample {}", K::NAMES),
        // Another process that started at the same time was first.
        Err(status) if status.code() == Code::AlreadyExists => {}
        Err(status) => return Err(failed(status)),
    }
    Ok(())
}

/// The services, open to whoever reaches a socket that nobody else does, while the samples are loaded.
struct OpenServer {
    channel: Channel,
    task: JoinHandle<()>,
    _dir: TempDir,
}

impl OpenServer {
    async fn start(platform: &Platform, names: &[ServiceName], availability: &Availability) -> Result<Self, Error> {
        let platform = Platform { signing_keys: None, ..platform.clone() };
        let routes = Services::open(&platform, names, availability).await?.routes;
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
