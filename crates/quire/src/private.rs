//! The private Postgres, which is restarted if it dies.

use std::{path::Path, time::Duration};

use database::Database;
use platform::Rarely;
use private_postgres::{Server, Settings};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    sync::oneshot::{self, Receiver, Sender},
    task::{JoinHandle, spawn_blocking},
};

use crate::error::Error;

/// How often to check that it is running.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait after a failed start.
const PAUSE: Duration = Duration::from_secs(1);

/// The connection options of a private Postgres.
pub(crate) fn options(server: &Server) -> PgConnectOptions {
    options_at(server.socket_dir())
}

/// The connection options of a private Postgres with its socket in this directory.
///
/// Postgres tells this program why a statement was refused. It must not log that too, because the message may have values
/// of a caller in it.
pub(crate) fn options_at(socket_dir: &Path) -> PgConnectOptions {
    // It reads the environment, which `main` has rid of Postgres's variables.
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(private_postgres::PORT)
        .username(private_postgres::USER)
        .database("postgres")
        .options([("log_min_messages", "fatal")])
}

/// The function that starts a private Postgres: [`Server::start`] or [`Server::start_again`].
type Start = fn(&Settings) -> Result<Server, private_postgres::Error>;

/// Starts a private Postgres.
pub(crate) async fn start(settings: &Settings, start: Start) -> Result<Server, Error> {
    let settings = settings.clone();
    Ok(spawn_blocking(move || start(&settings)).await??)
}

/// Keeps a private Postgres running until it is stopped.
pub(crate) struct Keeper {
    stop: Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

impl Keeper {
    /// Keeps the server running. After a restart, the database connects to the new server.
    pub(crate) fn new(server: Server, settings: Settings, database: Database) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(keep(server, settings, database, stopped)) }
    }

    /// Stops the server.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        // An error means that the task has ended, so there is nothing to stop.
        let _ = self.stop.send(());
        self.task.await?
    }
}

async fn keep(
    mut server: Server,
    settings: Settings,
    database: Database,
    mut stopped: Receiver<()>,
) -> Result<(), Error> {
    static FAILED: Rarely = Rarely::new();
    loop {
        tokio::select! {
            _ = &mut stopped => return Ok(spawn_blocking(move || server.stop()).await??),
            () = death(&server) => {
                let reason = server.last_error();
                tracing::error!(reason, "the private Postgres has died; restarting it");
            }
        }
        // The old server holds the lock on the data directory until it is dropped.
        spawn_blocking(move || drop(server)).await?;
        server = loop {
            match start(&settings, Server::start_again).await {
                Ok(server) => break server,
                Err(error) => {
                    if let Some(times) = FAILED.times() {
                        tracing::error!(%error, times, "the private Postgres did not start; retrying");
                    }
                }
            }
            tokio::select! {
                _ = &mut stopped => return Ok(()),
                () = tokio::time::sleep(PAUSE) => {}
            }
        };
        database.move_to(options(&server));
        tracing::info!("the private Postgres is running again");
    }
}

async fn death(server: &Server) {
    while server.is_running() {
        tokio::time::sleep(INTERVAL).await;
    }
}
