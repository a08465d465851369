//! The private Postgres, which is started again whenever it dies.

use std::{path::Path, time::Duration};

use database::Database;
use private_postgres::{Server, Settings};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    sync::oneshot::{self, Receiver, Sender},
    task::{JoinHandle, spawn_blocking},
};

use crate::error::Error;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait after a start that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// How to connect to a private Postgres.
pub(crate) fn options(server: &Server) -> PgConnectOptions {
    options_at(server.socket_dir())
}

/// How to connect to a private Postgres whose socket is in this directory.
pub(crate) fn options_at(socket_dir: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(private_postgres::PORT)
        .username(private_postgres::USER)
        .database("postgres")
}

/// What starts a private Postgres: [`Server::start`] or [`Server::start_again`].
type Start = fn(&Settings) -> Result<Server, private_postgres::Error>;

/// Starts a private Postgres.
pub(crate) async fn start(settings: &Settings, start: Start) -> Result<Server, Error> {
    let settings = settings.clone();
    Ok(spawn_blocking(move || start(&settings)).await??)
}

/// Looks after a private Postgres that runs, until it is told to stop it.
pub(crate) struct Keeper {
    stop: Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

impl Keeper {
    /// Keeps the server running, and tells the database where it is each time it was started again.
    pub(crate) fn new(server: Server, settings: Settings, database: Database) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(keep(server, settings, database, stopped)) }
    }

    /// Stops the server.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        // It listens for as long as it has a server to stop.
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
    loop {
        tokio::select! {
            _ = &mut stopped => return Ok(spawn_blocking(move || server.stop()).await??),
            () = death(&server) => {
                let reason = server.last_error();
                tracing::error!(reason, "the private Postgres has died; restarting it");
            }
        }
        // Until then it holds its data directory.
        spawn_blocking(move || drop(server)).await?;
        server = loop {
            match start(&settings, Server::start_again).await {
                Ok(server) => break server,
                Err(error) => tracing::error!(%error, "the private Postgres did not start; trying again"),
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
