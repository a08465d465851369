use std::{convert::Infallible, time::Duration};

use keyset::Database;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::{sync::watch, time::error::Elapsed};
use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, Context, Poll, Service, http},
    server::NamedService,
};
use tower_layer::Layer;

/// How often the database is asked whether it answers.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long its answer may take, a new connection included. With the interval, less than a statement waits for a connection:
/// calls that wait behind those that hang are answered UNAVAILABLE as well, and not that the database is at its limit.
const TIMEOUT: Duration = Duration::from_millis(700);

/// Whether the database answers. While it does not, calls are answered UNAVAILABLE at once, those in flight included: a
/// database that hangs, unlike one that refuses, would otherwise hold each of them.
///
/// As a [`Layer`] it goes around each service that needs the database.
#[derive(Debug, Clone)]
pub struct Availability(watch::Receiver<bool>);

impl Availability {
    /// Watches this database for as long as anybody asks. It is taken to answer until it is found not to.
    pub fn watch(database: Database) -> Self {
        let (sender, receiver) = watch::channel(true);
        tokio::spawn(async move {
            let mut probe = Probe { database, connection: None };
            while !sender.is_closed() {
                let answers = probe.answers().await;
                let changed = sender.send_if_modified(|known| std::mem::replace(known, answers) != answers);
                match (changed, answers) {
                    (true, true) => tracing::info!("the database answers again"),
                    (true, false) => {
                        tracing::error!("the database does not answer; calls are UNAVAILABLE until it does")
                    }
                    (false, _) => {}
                }
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Self(receiver)
    }

    /// Waits until it answers no more, or again, and tells which. Never ends once nobody watches.
    pub async fn changed(&mut self) -> bool {
        match self.0.changed().await {
            Ok(()) => *self.0.borrow(),
            Err(watch::error::RecvError { .. }) => std::future::pending().await,
        }
    }

    /// Whether it answers.
    pub fn is_available(&self) -> bool {
        *self.0.borrow()
    }

    async fn lost(&mut self) {
        if self.0.wait_for(|is_available| !is_available).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Asks the database, over a connection that nobody else uses.
struct Probe {
    database: Database,
    connection: Option<PgConnection>,
}

impl Probe {
    async fn answers(&mut self) -> bool {
        let asked = tokio::time::timeout(TIMEOUT, self.ask()).await;
        let error: Box<dyn std::error::Error> = match asked {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => Box::new(error),
            Err(error @ Elapsed { .. }) => Box::new(error),
        };
        tracing::debug!(%error, "the database does not answer");
        // A server that comes back comes without the connections of before.
        self.database.forget_connections();
        false
    }

    async fn ask(&mut self) -> sqlx::Result<()> {
        // Taken, so that one whose answer did not come in time is not asked again.
        if let Some(mut connection) = self.connection.take() {
            if connection.ping().await.is_ok() {
                self.connection = Some(connection);
                return Ok(());
            }
            // A restart that is over before the next question ends the others too, and a write would be lost on each.
            self.database.forget_connections();
        }
        self.connection = Some(self.database.options().connect().await?);
        Ok(())
    }
}

impl<S> Layer<S> for Availability {
    type Service = WhileAvailable<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WhileAvailable { availability: self.clone(), inner }
    }
}

/// A service that answers while the database does.
#[derive(Debug, Clone)]
pub struct WhileAvailable<S> {
    availability: Availability,
    inner: S,
}

impl<S: NamedService> NamedService for WhileAvailable<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for WhileAvailable<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut availability = self.availability.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            tokio::select! {
                biased;
                () = availability.lost() => Ok(Status::unavailable("the database is unavailable; try again").into_http()),
                answer = answer => answer,
            }
        })
    }
}
