//! `quire exporter`: serves metrics of a server's jobs to Prometheus, and reads them over gRPC when it is scraped.

mod collector;
mod jobs;
mod labels;
mod metrics;
mod pages;
mod queue;
mod reading;
mod server;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::time::sleep;

use self::{collector::Collector, pages::Exporter, server::Server};
use crate::{
    admin::{MAX_ADDRESS_CONNECTIONS, MAX_CONNECTIONS},
    arguments,
    error::Error,
    listener::{Connections, Places, Protocol, Timeouts},
    serve::bind,
    signals::{self, Signals},
    tls::{CurrentTls, ServerTls},
};

/// How long a connection may be in each state.
const TIMEOUTS: Timeouts = Timeouts {
    connection: Duration::from_secs(10),
    stall: Duration::from_secs(30),
    idle: Duration::from_secs(300),
    age: Duration::from_secs(3_600),
    call: pages::MAX_TIMEOUT,
};
/// How long scrapes may take to finish after the exporter is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until the process is told to stop.
pub(crate) async fn run(arguments: arguments::Exporter) -> Result<(), Error> {
    let Signals { stopping, mut reload } = signals::listen()?;
    let tls = ServerTls::read(&arguments.tls())?.map(|tls| Arc::new(ArcSwap::from_pointee(tls)));
    if !arguments.listen.ip().is_loopback() && tls.is_none() && !arguments.listen_insecure {
        return Err(Error::ExporterPlainText(arguments.listen));
    }
    let listener = bind(arguments.listen, "--listen")?;
    let server = Arc::new(Server::new(arguments.connect.clone()));
    let (window, cache) = (arguments.window, arguments.cache.unwrap_or_default());
    let exporter = Exporter {
        window,
        queue: Collector::new(server.clone(), window, cache),
        jobs: Collector::new(server.clone(), window, cache),
    };
    let connections = Connections {
        protocol: Protocol::Admin,
        router: exporter.router(),
        tls: tls.clone(),
        timeouts: TIMEOUTS,
        max_calls: 1,
        places: Places::new(MAX_CONNECTIONS, MAX_ADDRESS_CONNECTIONS),
        stopping: stopping.clone(),
    };
    let address = listener.local_addr().unwrap_or(arguments.listen);
    tracing::info!(%address, "serving metrics");
    let serving = tokio::spawn(connections.accept(listener));
    stopping.run_until_cancelled(check(&server)).await.transpose()?;
    let reloading = async {
        while let Some(()) = reload.recv().await {
            reload_tls(&arguments, tls.as_ref());
        }
        std::future::pending().await
    };
    let stopped = async {
        stopping.cancelled().await;
        sleep(DRAIN_TIMEOUT).await;
    };
    let done = tokio::select! {
        served = serving => Ok(served?),
        () = stopped => Ok(()),
        never = reloading => never,
    };
    server.close().await;
    done
}

/// Connects to the server. If it cannot be reached, the exporter runs nevertheless; another error is one of the arguments.
async fn check(server: &Server) -> Result<(), Error> {
    match server.client().await {
        Err(Error::Client(error @ (client::Error::Unreachable { .. } | client::Error::Session(_)))) => {
            tracing::warn!(%error, "the server cannot be read yet");
            Ok(())
        }
        connected => connected.map(drop),
    }
}

/// Reads the certificate again. If it cannot be used, the current one stays.
fn reload_tls(arguments: &arguments::Exporter, current: Option<&CurrentTls>) {
    match (ServerTls::read(&arguments.tls()), current) {
        (Ok(Some(new)), Some(current)) => {
            current.store(Arc::new(new));
            tracing::info!("reloaded the certificate");
        }
        (Ok(_), _) => {}
        (Err(error), _) => tracing::error!(%error, "cannot reload the certificate: it stays as it is"),
    }
}
