//! The signals of `quire serve`.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// The signals that a server has received.
pub(crate) struct Signals {
    /// The first SIGINT or SIGTERM cancels it.
    pub(crate) stopping: CancellationToken,
    /// SIGHUP: read the certificates and keys again.
    pub(crate) reload: Signal,
}

/// Listens for signals. The second SIGINT or SIGTERM ends the process at once, because stopping can take a minute, as
/// when the private Postgres hangs. The private Postgres ends with the process.
pub(crate) fn listen() -> Result<Signals, Error> {
    let listen = |kind| signal(kind).map_err(Error::Signal);
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut received = async move || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let stopping = CancellationToken::new();
    let cancelled = stopping.clone();
    tokio::spawn(async move {
        received().await;
        stopping.cancel();
        received().await;
        tracing::warn!("received a second stop signal: exiting at once");
        std::process::exit(1);
    });
    Ok(Signals { stopping: cancelled, reload: listen(SignalKind::hangup())? })
}
