//! The signals that end or reload the program.

use nix::sys::signal;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// The signals that a server has received.
pub(crate) struct Signals {
    /// The first SIGINT or SIGTERM cancels it.
    pub(crate) stopping: CancellationToken,
    /// SIGHUP: read the certificates and keys again.
    pub(crate) reload: Signal,
}

/// Listens for the signals of a server.
pub(crate) fn listen() -> Result<Signals, Error> {
    let reload = signal(SignalKind::hangup()).map_err(Error::Signal)?;
    let interrupted = interrupted()?;
    let stopping = CancellationToken::new();
    let cancelled = stopping.clone();
    tokio::spawn(async move {
        interrupted.await;
        stopping.cancel();
    });
    Ok(Signals { stopping: cancelled, reload })
}

/// Lets SIGINT and SIGTERM end the process at once, with the exit status of [`Error::Interrupted`].
pub(crate) fn end_when_interrupted() -> Result<(), Error> {
    let interrupted = interrupted()?;
    // A task of its own ends the process even while the command blocks its thread, as when it reads standard input.
    tokio::spawn(async move { end(&interrupted.await) });
    Ok(())
}

/// Listens for SIGINT and SIGTERM, and waits for the first, for a command that has to save something before it ends with
/// the returned [`Error::Interrupted`]. The second signal ends the process at once, because that can take a minute, as when
/// the private Postgres hangs. The private Postgres ends with the process.
pub(crate) fn interrupted() -> Result<impl Future<Output = Error> + Send, Error> {
    let listen = |kind| signal(kind).map_err(Error::Signal);
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut received = async move || {
        tokio::select! {
            _ = interrupt.recv() => Error::Interrupted(signal::SIGINT),
            _ = terminate.recv() => Error::Interrupted(signal::SIGTERM),
        }
    };
    let (sender, first) = oneshot::channel();
    tokio::spawn(async move {
        // Nobody receives it after the command is done.
        drop(sender.send(received().await));
        let second = received().await;
        tracing::warn!("received a second stop signal: exiting at once");
        end(&second);
    });
    Ok(async move {
        match first.await {
            Ok(interrupted) => interrupted,
            // The task ends only with the process.
            Err(oneshot::error::RecvError { .. }) => std::future::pending().await,
        }
    })
}

fn end(interrupted: &Error) -> ! {
    std::process::exit(interrupted.exit_status().into())
}
